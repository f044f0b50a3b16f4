// Datagrams over real sockets on the loopback interface: one peer's, and a stranger who holds the network's key and sends what it likes.
import { createSocket, type Socket } from 'node:dgram';
import { EventEmitter, once } from 'node:events';
import t, { type Test } from 'tap';
import { groupAddress } from '../../discovery/group.ts';
import type { Interface } from '../../discovery/interfaces.ts';
import { Unicast } from '../../discovery/unicast.ts';
import { CHALLENGE_PADDING_BYTES, type Challenge, NONCE_BYTES } from '../../lib/boot-messages.ts';
import { encode } from '../../lib/codec.ts';
import { generateIdentity, type Identity } from '../../lib/identity.ts';
import { type BootId, randomId } from '../../lib/ids.ts';
import { Keyring } from '../../lib/keyring.ts';
import { type Beat, decodeMessage, encodeMessage, type Message } from '../../lib/messages.ts';
import { openNetwork } from '../../lib/network-key.ts';
import { Opener, Sealer } from '../../lib/seal.ts';
import { systemClock } from '../../lib/time.ts';
import { proofText } from '../../peer/boot-verifier.ts';
import { Datagrams, type Received } from '../../peer/datagrams.ts';
import { NO_OFFER, NO_PULSE } from '../sim/pulse.ts';

const HOST = '127.0.0.1';
const loopback: Interface = { name: 'lo', address: HOST, netmask: '255.0.0.0', loopback: true };
const BASE = '239.255.83.100';
let nextPort = 10_000 + (process.pid % 9_000);
const ring = (): Keyring => new Keyring(openNetwork('home'), { wall: Date.now });

interface Peer {
  readonly identity: Identity;
  readonly datagrams: Datagrams;
  readonly port: number;
  readonly groupPort: number;
  /** Everything that it was told by peers. */
  readonly received: Received[];
}

async function startPeer(t: Test): Promise<Peer> {
  const identity = generateIdentity();
  const unicast = await Unicast.open({ port: 0 });
  const groupPort = nextPort++;
  const datagrams = new Datagrams({ identity, bootId: randomId<BootId>(), keys: ring(), group: { host: BASE, port: groupPort }, interfaces: [loopback], unicast, clock: systemClock });
  t.teardown(async () => {
    await datagrams.close();
    await unicast.close();
  });
  const received: Received[] = [];
  datagrams.on('message', (message) => received.push(message));
  return { identity, datagrams, port: unicast.port, groupPort, received };
}

/** One socket for everything, so that whatever is answered to any of its datagrams comes back here, in order. */
class Stranger extends EventEmitter<{ heard: [Message] }> {
  readonly identity = generateIdentity();
  readonly bootId = randomId<BootId>();
  readonly keys = ring();
  readonly sealer = new Sealer({ keys: this.keys, peer: this.identity.peer, bootId: this.bootId });
  /** What came, by kind. */
  readonly kinds: string[] = [];
  readonly #opener = new Opener({ keys: this.keys });
  readonly #peer: Peer;
  readonly #socket: Socket;

  private constructor(peer: Peer, socket: Socket) {
    super();
    this.#peer = peer;
    this.#socket = socket;
    socket.on('message', (bytes) => {
      const opened = this.#opener.open(bytes);
      const message = opened.kind === 'opened' ? decodeMessage(opened.payload) : undefined;
      if (!message) return;
      this.kinds.push(message.kind);
      this.emit('heard', message);
    });
  }

  static async meet(t: Test, peer: Peer): Promise<Stranger> {
    const socket = createSocket('udp4');
    socket.bind({ address: HOST, port: 0 });
    await once(socket, 'listening');
    socket.setMulticastInterface(HOST);
    socket.setMulticastLoopback(true);
    t.teardown(() => socket.close());
    return new Stranger(peer, socket);
  }

  unicast(payload: Message | Buffer): void {
    this.#send(payload, this.#peer.port, HOST);
  }

  multicast(payload: Message | Buffer): void {
    this.#send(payload, this.#peer.groupPort, groupAddress(BASE, 'members'));
  }

  /** A beat, which says where this stranger may be asked who it is. */
  beat(): Beat {
    const { port } = this.#socket.address();
    return { kind: 'beat', port, periodMs: 1_000, lamport: 0, root: new Uint8Array(8), head: null, heard: [], asks: false, network: null, user: false, pulse: NO_PULSE, offer: NO_OFFER };
  }

  async hears<Kind extends Message['kind']>(kind: Kind): Promise<Extract<Message, { kind: Kind }>> {
    for (;;) {
      const [message] = await once(this, 'heard');
      if (message.kind === kind) return message;
    }
  }

  prove({ nonce }: Challenge): void {
    const { identity, bootId, keys, sealer } = this;
    const { counter } = sealer;
    const text = proofText({ verifier: this.#peer.identity.peer, nonce, signer: identity.peer, bootId, networkHash: keys.current.hash, counter });
    this.unicast({ kind: 'proof', nonce, counter, publicKey: identity.publicKey, signature: identity.sign(text), boot: null });
  }

  #send(payload: Message | Buffer, port: number, host: string): void {
    this.#socket.send(this.sealer.seal(Buffer.isBuffer(payload) ? payload : encodeMessage(payload)), port, host);
  }
}

const challenge = (): Challenge => ({ kind: 'challenge', nonce: Buffer.from(randomId(), 'hex').subarray(0, NONCE_BYTES), padding: new Uint8Array(CHALLENGE_PADDING_BYTES), boot: null, verifier: null });

for (const way of ['unicast', 'multicast'] as const) {
  t.test(`what a boot says by ${way} before it has proved that it lives is never delivered, what it says after is`, { timeout: 5_000 }, async (t) => {
    const peer = await startPeer(t);
    const stranger = await Stranger.meet(t, peer);
    const asked = stranger.hears('challenge');
    stranger[way]({ kind: 'goodbye' });
    stranger[way](stranger.beat());
    // it was taken in, for it is asked who it is
    const question = await asked;
    t.same(peer.received, []);

    const met = once(peer.datagrams, 'met');
    stranger.prove(question);
    const [who] = await met;
    t.match(who, { peer: stranger.identity.peer, bootId: stranger.bootId });
    const delivered = once(peer.datagrams, 'message');
    stranger[way]({ kind: 'ping', nonce: 7 });
    await delivered;
    t.match(peer.received, [{ peer: stranger.identity.peer, bootId: stranger.bootId, via: way, message: { kind: 'ping', nonce: 7 } }]);
    t.equal(peer.received.length, 1, 'and nothing of before');
  });
}

t.test('a challenge is answered when it comes by unicast, and not when it comes by multicast', { timeout: 5_000 }, async (t) => {
  const peer = await startPeer(t);
  const stranger = await Stranger.meet(t, peer);
  const asked = stranger.hears('challenge');
  stranger.multicast(challenge());
  stranger.multicast(stranger.beat());
  // the beat came after the challenge on the same socket, and the answers to both would come here on one
  await asked;
  t.same(stranger.kinds.filter((kind) => kind === 'proof'), []);

  const answer = stranger.hears('proof');
  const question = challenge();
  stranger.unicast(question);
  const { nonce, publicKey } = await answer;
  t.same([Buffer.from(nonce), Buffer.from(publicKey)], [question.nonce, peer.identity.publicKey]);
});

const senseless = [Buffer.alloc(0), Buffer.from('no CBOR at all'), encode('a text'), encode([]), encode(['ping', 1]), encode([3, 'x']), encode([1, 0]), encode([5, Buffer.alloc(16), [[1]]])];
const newer = [encode([4_000]), encode([4_001, 'of the future'])];

for (const way of ['unicast', 'multicast'] as const) {
  t.test(`payloads that make no sense, by ${way}, are counted and hurt nobody; those of a newer version are not among them`, { timeout: 5_000 }, async (t) => {
    const peer = await startPeer(t);
    const stranger = await Stranger.meet(t, peer);
    const asked = stranger.hears('challenge');
    for (const payload of [...senseless, ...newer]) stranger[way](payload);
    // what comes after them is taken in as ever
    stranger[way](stranger.beat());
    await asked;
    t.equal(peer.datagrams.malformed, senseless.length);
    t.equal(peer.datagrams.dropped.malformed, senseless.length);
    t.same(peer.received, []);
  });
}

t.test('what is not sealed with the key of the network is dropped, counted and not answered', { timeout: 5_000 }, async (t) => {
  const peer = await startPeer(t);
  const stranger = await Stranger.meet(t, peer);
  const foreign = new Sealer({ keys: new Keyring(openNetwork('elsewhere'), { wall: Date.now }), peer: stranger.identity.peer, bootId: stranger.bootId });
  const socket = createSocket('udp4');
  t.teardown(() => socket.close());
  socket.bind({ address: HOST, port: 0 });
  await once(socket, 'listening');
  socket.on('message', () => t.fail('answered'));
  const asked = stranger.hears('challenge');
  socket.send(foreign.seal(encodeMessage(challenge())), peer.port, HOST);
  await new Promise((sent) => socket.send(foreign.seal(encodeMessage(stranger.beat())), peer.port, HOST, sent));
  stranger.unicast(stranger.beat());
  await asked;
  t.equal(peer.datagrams.dropped.foreign, 2);
});
