// Sealed datagrams, and the proof that a boot lives: what opens, what is dropped and counted, and what is believed.
import fc from 'fast-check';
import t from 'tap';
import { CHALLENGE_PADDING_BYTES, type Proof } from '../../lib/boot-messages.ts';
import { generateIdentity, type Identity, isSignature } from '../../lib/identity.ts';
import { type BootId, type PeerId, randomId } from '../../lib/ids.ts';
import { Keyring } from '../../lib/keyring.ts';
import { CHALLENGES_PENDING_MAX, CHALLENGES_PER_HOST_MAX, DATAGRAM_BYTES_MAX, REPLAY_WINDOW, UNVERIFIED_SENDERS_MAX } from '../../lib/limits.ts';
import { encodeMessage } from '../../lib/messages.ts';
import { closeNetwork, type Network, openNetwork } from '../../lib/network-key.ts';
import { ReplayWindow } from '../../lib/replay-window.ts';
import { Opener, PAYLOAD_BYTES_MAX, SEAL_BYTES, Sealer } from '../../lib/seal.ts';
import { type Address, type BootEffect, type BootInput, BootVerifier, type BootTimer } from '../../peer/boot-verifier.ts';

const home = openNetwork('home');
const ring = (network: Network = home): Keyring => new Keyring(network, { wall: () => 0 });
const newSealer = (keys = ring()): Sealer & { readonly peer: PeerId; readonly bootId: BootId } => {
  const who = { peer: randomId<PeerId>(), bootId: randomId<BootId>() };
  return Object.assign(new Sealer({ keys, ...who }), who);
};
const outcome = (opener: Opener, datagram: Uint8Array): string => {
  const opened = opener.open(datagram);
  return opened.kind === 'opened' ? (opened.verified ? 'verified' : 'hint') : opened.reason;
};

t.test('what was sealed opens, with who sealed it, and 61 bytes longer', async (t) => {
  t.equal(SEAL_BYTES, 61);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: PAYLOAD_BYTES_MAX }), (payload) => {
      const sealer = newSealer();
      const datagram = sealer.seal(payload);
      const opened = new Opener({ keys: ring() }).open(datagram);
      return (
        datagram.length === payload.length + SEAL_BYTES &&
        opened.kind === 'opened' &&
        opened.sender === sealer.peer &&
        opened.bootId === sealer.bootId &&
        opened.counter === 1 &&
        !opened.verified &&
        Buffer.compare(opened.payload, payload) === 0
      );
    }),
  );
  t.throws(() => newSealer().seal(new Uint8Array(PAYLOAD_BYTES_MAX + 1)), RangeError);
});

t.test('a datagram with any one bit flipped does not open', async (t) => {
  const datagram = newSealer().seal(Buffer.from('the title of a song'));
  const opener = new Opener({ keys: ring() });
  for (let bit = 0; bit < datagram.length * 8; bit++) {
    const altered = Buffer.from(datagram);
    altered[bit >> 3] = (altered[bit >> 3] as number) ^ (1 << (bit & 7));
    if (opener.open(altered).kind !== 'dropped') t.fail(`bit ${bit}`);
  }
  t.equal(outcome(opener, datagram), 'hint', 'and none of them spoils the genuine one');
  const { foreign, version, forged } = opener.dropped;
  t.strictSame({ foreign, version, forged }, { foreign: 6 * 8, version: 8, forged: (datagram.length - 7) * 8 });
});

t.test('what is foreign, replayed, cut, oversized, of another version or our own is dropped and counted', async (t) => {
  const sealer = newSealer();
  const opener = new Opener({ keys: ring(), own: { peer: sealer.peer, bootId: sealer.bootId } });
  t.equal(outcome(opener, sealer.seal(Buffer.from('x'))), 'own');
  t.equal(outcome(opener, newSealer(ring(closeNetwork('home'))).seal(Buffer.from('x'))), 'foreign');
  t.equal(outcome(opener, Buffer.from('M-SEARCH * HTTP/1.1')), 'foreign');
  const datagram = newSealer().seal(Buffer.from('x'));
  t.equal(outcome(opener, datagram), 'hint');
  t.equal(outcome(opener, datagram), 'replayed');
  t.equal(outcome(opener, datagram.subarray(0, SEAL_BYTES - 1)), 'cut');
  t.equal(outcome(opener, new Uint8Array(2)), 'cut');
  t.equal(outcome(opener, new Uint8Array(DATAGRAM_BYTES_MAX + 1)), 'oversized');
  datagram[2] = (datagram[2] as number) + 1;
  t.equal(outcome(opener, datagram), 'version');
  t.strictSame(opener.dropped, { foreign: 2, version: 1, oversized: 1, cut: 2, forged: 0, replayed: 1, own: 1 });
});

t.test('no bytes make an opener throw', async () => {
  const opener = new Opener({ keys: ring() });
  const genuine = newSealer().seal(Buffer.from('payload'));
  fc.assert(fc.property(fc.uint8Array({ maxLength: DATAGRAM_BYTES_MAX + 10 }), (bytes) => opener.open(bytes).kind === 'dropped'));
  fc.assert(
    fc.property(fc.nat(genuine.length), fc.uint8Array({ maxLength: 60 }), (keep, rest) => {
      const datagram = Buffer.concat([genuine.subarray(0, keep), rest]);
      return Buffer.compare(datagram, genuine) === 0 || opener.open(datagram).kind === 'dropped';
    }),
  );
});

t.test('a replay window takes each counter once, in any order within its width', async () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.nat(3000), fc.nat(2 ** 40)), { maxLength: 200 }), (offsets) => {
      const window = new ReplayWindow();
      const taken = new Set<number>();
      let highest = 0;
      for (const counter of offsets.map((offset) => offset + 1)) {
        const expected = !taken.has(counter) && counter > highest - REPLAY_WINDOW;
        if (window.isFresh(counter) !== expected) return false;
        if (expected) window.accept(counter);
        taken.add(counter);
        highest = Math.max(highest, counter);
      }
      return true;
    }),
  );
});

t.test('the edges of a replay window: the oldest it holds, one before it, its floor', async (t) => {
  const window = new ReplayWindow();
  window.accept(5000);
  t.ok(window.isFresh(5000 - REPLAY_WINDOW + 1));
  t.notOk(window.isFresh(5000 - REPLAY_WINDOW));
  t.notOk(window.isFresh(5000));
  t.notOk(window.isFresh(0), 'counters start at 1');
  window.raise(4500);
  t.notOk(window.isFresh(4500));
  t.ok(window.isFresh(4501));
});

t.test('old captures of many boots cannot make an opener forget a verified one', async (t) => {
  const opener = new Opener({ keys: ring() });
  const sealer = newSealer();
  opener.verify(sealer.peer, sealer.bootId, sealer.counter);
  const datagram = sealer.seal(Buffer.from('x'));
  t.equal(outcome(opener, datagram), 'verified');
  for (let i = 0; i < UNVERIFIED_SENDERS_MAX * 2; i++) opener.open(newSealer().seal(Buffer.from('capture')));
  t.equal(outcome(opener, datagram), 'replayed');
  t.equal(outcome(opener, sealer.seal(Buffer.from('x'))), 'verified');
});

t.test('who holds no key cannot make an opener remember anything', async (t) => {
  const opener = new Opener({ keys: ring() });
  const datagram = newSealer().seal(Buffer.from('x'));
  t.equal(outcome(opener, datagram), 'hint');
  for (let i = 0; i < UNVERIFIED_SENDERS_MAX * 2; i++) {
    const forged = newSealer().seal(Buffer.from('x'));
    forged.writeUInt8(forged.readUInt8(forged.length - 1) ^ 1, forged.length - 1);
    if (opener.open(forged).kind !== 'dropped') t.fail('a forged datagram opened');
  }
  t.equal(outcome(opener, datagram), 'replayed', 'still remembered');
});

t.test('of a verified boot only what was sealed after its proof is believed', async (t) => {
  const opener = new Opener({ keys: ring() });
  const sealer = newSealer();
  const captured = [sealer.seal(Buffer.from('1')), sealer.seal(Buffer.from('2'))];
  opener.verify(sealer.peer, sealer.bootId, sealer.counter);
  for (const datagram of captured) t.equal(outcome(opener, datagram), 'replayed');
  t.equal(outcome(opener, sealer.seal(Buffer.from('3'))), 'verified');
});

t.test('after a restart the peer\'s new boot is verified, and the old one a hint', async (t) => {
  const opener = new Opener({ keys: ring() });
  const before = newSealer();
  opener.verify(before.peer, before.bootId, 0);
  const bootId = randomId<BootId>();
  const after = new Sealer({ keys: ring(), peer: before.peer, bootId });
  t.equal(outcome(opener, after.seal(Buffer.from('x'))), 'hint');
  opener.verify(before.peer, bootId, after.counter);
  t.equal(outcome(opener, after.seal(Buffer.from('x'))), 'verified');
  t.equal(outcome(opener, before.seal(Buffer.from('x'))), 'hint');
});

t.test('during a rotation what was sealed with the older key opens, and counters of both are apart', async (t) => {
  const [older, newer] = [closeNetwork('home'), closeNetwork('home')];
  const keys = ring(older);
  keys.rotate(newer);
  const opener = new Opener({ keys });
  const senderKeys = ring(older);
  const sealer = newSealer(senderKeys);
  opener.verify(sealer.peer, sealer.bootId, 0);
  t.equal(outcome(opener, sealer.seal(Buffer.from('x'))), 'verified');
  senderKeys.rotate(newer);
  t.equal(outcome(opener, sealer.seal(Buffer.from('x'))), 'verified');
  t.equal(sealer.counter, 2);
});

// --- the proof that a boot lives

class World {
  readonly identity: Identity;
  readonly bootId: BootId;
  readonly verifier: BootVerifier;
  checks = 0;

  constructor(given: { readonly identity?: Identity } = {}) {
    this.identity = given.identity ?? generateIdentity();
    this.bootId = randomId<BootId>();
    this.verifier = new BootVerifier({
      peer: this.identity.peer,
      bootId: this.bootId,
      publicKey: this.identity.publicKey,
      networkHash: () => 'aabbccdd',
      nonce: () => Buffer.from(randomId(), 'hex'),
      sign: (text) => this.identity.sign(text),
      isSignature: (...parts) => {
        this.checks += 1;
        return isSignature(...parts);
      },
    });
  }

  get peer(): PeerId {
    return this.identity.peer;
  }

  step(input: BootInput): BootEffect[] {
    return this.verifier.step(input);
  }

  hint(from: { readonly peer: PeerId; readonly bootId: BootId }, now = 0, at: Address = address): BootEffect[] {
    return this.step({ kind: 'hint', peer: from.peer, bootId: from.bootId, address: at, now });
  }

  /** Lets all timers of a boot that never answers run out. */
  wait(from: { readonly peer: PeerId; readonly bootId: BootId }, now = 0): number {
    let challenges = 0;
    for (;;) {
      const effects = this.step({ kind: 'expired', timer: timerOf(from), now });
      if (effects.length === 0) return challenges;
      challenges += only(effects, 'challenge').length;
    }
  }

  /** The answer of `prover` to what this peer asks it. */
  prove(effects: readonly BootEffect[], prover: World, counter = 0): Proof {
    const [challenge] = only(effects, 'challenge');
    if (!challenge) throw new Error('no challenge');
    const [proof] = only(prover.step({ kind: 'challenged', by: this.peer, address, message: challenge.message, counter }), 'prove');
    if (!proof) throw new Error('no proof');
    return proof.message;
  }

  proved(from: { readonly peer: PeerId; readonly bootId: BootId }, message: Proof, now = 0): BootEffect[] {
    return this.step({ kind: 'proved', peer: from.peer, bootId: from.bootId, message, now });
  }

  /** The whole exchange. */
  meet(prover: World, { now = 0, counter = 0 } = {}): BootEffect[] {
    return this.proved(prover, this.prove(this.hint(prover, now), prover, counter), now);
  }
}

const address: Address = { host: '192.0.2.7', port: 17784 };
const timerOf = ({ peer, bootId }: { readonly peer: PeerId; readonly bootId: BootId }): BootTimer => `boot/${peer}/${bootId}`;
const only = <Kind extends BootEffect['kind']>(effects: readonly BootEffect[], kind: Kind): Extract<BootEffect, { kind: Kind }>[] =>
  effects.filter((effect): effect is Extract<BootEffect, { kind: Kind }> => effect.kind === kind);
const kinds = (effects: readonly BootEffect[]): string => effects.map(({ kind }) => kind).join(' ');

t.test('a boot is verified when its peer signs the nonce', async (t) => {
  const [me, other] = [new World(), new World()];
  const asked = me.hint(other);
  t.equal(kinds(asked), 'challenge arm');
  t.equal(kinds(me.hint(other)), '', 'further hints wait for the answer');
  const effects = me.proved(other, me.prove(asked, other, 42));
  t.strictSame(effects, [{ kind: 'verified', peer: other.peer, bootId: other.bootId, counter: 42, address, replaced: undefined }]);
  t.equal(me.wait(other), 0, 'nothing is asked any more');
});

t.test('a boot that the opener has forgotten is verified again, and replaces nothing', async (t) => {
  const [me, other] = [new World(), new World()];
  me.meet(other);
  t.match(me.meet(other, { now: 10, counter: 9 }), [{ kind: 'verified', counter: 9, replaced: undefined }]);
  t.equal(kinds(me.hint(me)), '', 'of its own boot nobody is asked');
});

t.test('a boot that did not answer for long is asked with its next datagram once it has shaken hands over a stream', async (t) => {
  const [me, other] = [new World(), new World()];
  let now = 0;
  for (; now < 100_000; now += 100) if (me.hint(other, now).length > 0) me.wait(other, now);
  t.equal(kinds(me.hint(other, now)), '', 'it rests');
  t.equal(kinds(me.step({ kind: 'met', peer: other.peer, bootId: other.bootId })), '');
  t.equal(kinds(me.hint(other, now)), 'challenge arm');
});

t.test('yesterday\'s capture, replayed at a restarted peer, is never believed and answered with a bounded number of questions', async (t) => {
  const other = new World();
  const yesterday = new World();
  const asked = yesterday.hint(other);
  const capture = yesterday.prove(asked, other, 7);
  t.equal(kinds(yesterday.proved(other, capture)), 'verified', 'yesterday it was true');

  const restarted = new World({ identity: yesterday.identity });
  t.equal(kinds(restarted.proved(other, capture)), '', 'the old proof, unasked');
  t.equal(kinds(restarted.hint(other)), 'challenge arm', 'an old beat');
  t.equal(kinds(restarted.proved(other, capture)), '', 'the old proof, to a new nonce');
  t.equal(restarted.checks, 0, 'none of it cost a signature check');
  t.equal(restarted.wait(other), 4);
  let questions = 0;
  for (let now = 1; now < 600_000; now += 300) {
    questions += only(restarted.hint(other, now), 'challenge').length + restarted.wait(other, now);
  }
  t.ok(questions <= 5 * 16, `an hour's beats replayed within ten minutes: ${questions} questions`);
  t.equal(restarted.verifier.verifiedBoot(other.peer), undefined);
});

t.test('a proof of another peer, boot, verifier, network, nonce or counter is none', async (t) => {
  const [me, third, other] = [new World(), new World(), new World()];
  const asked = me.hint(other);
  const proof = me.prove(asked, other, 1);
  const otherBoot = new World({ identity: other.identity });
  for (const [what, wrong] of [
    ['counter', { ...proof, counter: 2 }],
    ['nonce', { ...proof, nonce: new Uint8Array(16) }],
    ['signature', { ...proof, signature: third.identity.sign(Buffer.from('x')) }],
    ['signer', me.prove(asked, third, 1)],
    ['signer under the other\'s name', { ...me.prove(asked, third, 1), publicKey: other.identity.publicKey }],
    ['boot', me.prove(asked, otherBoot, 1)],
    ['verifier', third.prove(asked, other, 1)],
  ] as const) {
    t.equal(kinds(me.proved(other, wrong)), '', what);
  }
  t.equal(kinds(me.proved(other, proof)), 'verified');
});

t.test('no answer is longer than its question', async (t) => {
  const [me, other] = [new World(), new World()];
  const asked = me.hint(other);
  const [challenge] = only(asked, 'challenge');
  if (!challenge) throw new Error('no challenge');
  const proof = me.prove(asked, other, 2 ** 48 - 1);
  t.ok(encodeMessage(challenge.message).length >= encodeMessage(proof).length, `${encodeMessage(challenge.message).length} >= ${encodeMessage(proof).length}`);
  const short = { ...challenge.message, padding: new Uint8Array(CHALLENGE_PADDING_BYTES - 1) };
  t.strictSame(other.step({ kind: 'challenged', by: me.peer, address, message: short, counter: 0 }), [], 'a short question gets none');
});

t.test('a restarted peer\'s new boot replaces the old, whose later captures change nothing', async (t) => {
  const me = new World();
  const before = new World();
  const after = new World({ identity: before.identity });
  me.meet(before);
  const crossing = me.hint(after);
  t.match(me.proved(after, me.prove(crossing, after)), [{ kind: 'verified', replaced: before.bootId }]);
  t.equal(kinds(me.hint(before, 1000)), 'challenge arm');
  t.equal(me.wait(before, 1000), 4, 'the dead do not answer');
  t.equal(me.verifier.verifiedBoot(before.peer), after.bootId);
});

t.test('two living processes with one identity are reported once both have proved themselves afresh', async (t) => {
  const me = new World();
  const one = new World();
  const two = new World({ identity: one.identity });
  me.meet(one);
  me.meet(two, { now: 100 });
  const duel = me.meet(one, { now: 200 });
  t.equal(kinds(duel), 'challenge arm', 'the newer has to show that it still lives');
  t.match(me.proved(two, me.prove(duel, two), 210), [
    { kind: 'clone', peer: one.peer, verified: two.bootId, bootId: one.bootId },
    { kind: 'tell', message: { kind: 'clone', boot: two.bootId } },
    { kind: 'tell', message: { kind: 'clone', boot: one.bootId } },
  ], 'and each is told of the other');
  t.equal(me.verifier.verifiedBoot(one.peer), two.bootId);
  t.equal(kinds(me.hint(one, 300)), '', 'not reported with every beat');
  t.equal(kinds(me.hint(one, 40_000)), 'challenge arm');
});

t.test('when a clone has died, the original is verified again', async (t) => {
  const me = new World();
  const original = new World();
  const clone = new World({ identity: original.identity });
  me.meet(original);
  me.meet(clone, { now: 100 });
  t.equal(kinds(me.meet(original, { now: 200 })), 'challenge arm');
  me.wait(clone, 3_000);
  t.equal(kinds(me.meet(original, { now: 3_100 })), 'verified');
});

t.test('when a clone says goodbye, because it takes another identity, the original is verified with its next datagram', async (t) => {
  const me = new World();
  const original = new World();
  const clone = new World({ identity: original.identity });
  me.meet(original);
  me.meet(clone, { now: 100 });
  const duel = me.meet(original, { now: 200 });
  t.match(me.proved(clone, me.prove(duel, clone), 210)[0], { kind: 'clone' });
  t.same(me.step({ kind: 'left', peer: original.peer, bootId: original.bootId }), []);
  t.equal(kinds(me.hint(original, 300)), '', 'the goodbye of who is not believed means nothing');
  me.step({ kind: 'left', peer: clone.peer, bootId: clone.bootId });
  t.equal(kinds(me.meet(original, { now: 310 })), 'verified');
  t.equal(me.verifier.verifiedBoot(original.peer), original.bootId);
});

t.test('a second process with my own identity is a clone, and never takes my place', async (t) => {
  const me = new World();
  const clone = new World({ identity: me.identity });
  t.strictSame(me.meet(clone), [{ kind: 'clone', peer: me.peer, verified: me.bootId, bootId: clone.bootId }]);
  t.equal(me.verifier.verifiedBoot(me.peer), me.bootId);
});

t.test('a slow boot that was given up is verified when it answers later, and is no clone', async (t) => {
  const me = new World();
  const before = new World();
  const after = new World({ identity: before.identity });
  me.meet(before);
  me.hint(after, 10);
  me.wait(after, 2_000);
  t.equal(kinds(me.hint(after, 2_100)), '', 'it rests first');
  t.equal(kinds(me.meet(after, { now: 3_100 })), 'verified');
});

t.test('a flood of captures is bounded, and does not keep a living boot out', async (t) => {
  const me = new World();
  const flood = (host: string): boolean => me.hint({ peer: randomId(), bootId: randomId() }, 0, { host, port: 1 }).length > 0;
  let asked = 0;
  for (let i = 0; i < CHALLENGES_PER_HOST_MAX * 2; i++) if (flood('192.0.2.1')) asked += 1;
  t.equal(asked, CHALLENGES_PER_HOST_MAX, 'no more for one host');
  const silent = { peer: randomId<PeerId>(), bootId: randomId<BootId>() };
  me.hint(silent, 0, { host: '192.0.2.250', port: 1 });
  for (let host = 2; asked < CHALLENGES_PENDING_MAX - 1; host += 1) {
    for (let i = 0; i < CHALLENGES_PER_HOST_MAX && asked < CHALLENGES_PENDING_MAX - 1; i++) if (flood(`192.0.2.${host}`)) asked += 1;
  }
  const living = new World();
  t.equal(kinds(me.hint(living)), '', 'full, and everybody was asked only once');
  me.step({ kind: 'expired', timer: timerOf(silent), now: 120 });
  t.equal(kinds(me.meet(living, { now: 130 })), 'verified', 'whoever was asked twice makes room');
});
