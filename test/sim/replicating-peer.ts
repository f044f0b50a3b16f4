// A simulated peer: the real machines (membership, boot verifier, replication) and the little that is around them on a real
// machine: datagrams (letters.ts), streams (links.ts), questions (talk.ts), a disk, a music folder, a person.
import type { Address } from '../../discovery/address.ts';
import { createMembership, type Effect as MembershipEffect, isHere, type Input as MembershipInput, step as stepMembership, type Timer as MembershipTimer } from '../../discovery/membership.ts';
import { answeredUntil, encodeHere, FORGET_VALUE, forgetKey, forgottenAt, HERE_KEY } from '../../lib/forget.ts';
import { peerOf } from '../../lib/identity.ts';
import type { BootId, EpochId, NetworkId, PeerId } from '../../lib/ids.ts';
import { uniteKey } from '../../lib/kinds.ts';
import { OPERATIONS_PER_FRAME } from '../../lib/limits.ts';
import { type Beat, heardName, type Message } from '../../lib/messages.ts';
import type { Operation } from '../../lib/operation.ts';
import type { Acknowledgement } from '../../peer/replication/acknowledgement.ts';
import type { Outcome } from '../../peer/replication/ledger.ts';
import { type News, Replication, type ReplicationEffect, type ReplicationInput, type ReplicationTimer, TRUE } from '../../peer/replication/replication.ts';
import type { Change, Delta, RegisterChange } from '../../peer/replication/transaction.ts';
import { hexDigits } from './chance.ts';
import { type DiskBatch, randomKey } from './disk.ts';
import { addressOf, hostOf, type Letter, Letters } from './letters.ts';
import { type Link, Links } from './links.ts';
import type { MemoryOperations } from './memory-operations.ts';
import type { Command, Host, SimEnv, SimInput, SimPeer } from './peer.ts';
import { NO_OFFER, NO_PULSE } from './pulse.ts';
import { Talk } from './talk.ts';

/** What the invariants are told. */
export type Fact =
  | { readonly kind: 'changed'; readonly changes: readonly RegisterChange[]; readonly moved: readonly PeerId[] }
  | { readonly kind: 'dropped' }
  | { readonly kind: 'acknowledged'; readonly operations: readonly Operation[]; readonly how: Acknowledgement }
  | { readonly kind: 'multicast'; readonly operations: readonly Operation[] }
  | { readonly kind: 'rekeyed'; readonly from: PeerId }
  | { readonly kind: 'news'; readonly news: News };

type SaidBeat = Pick<Extract<MembershipEffect, { kind: 'beat' }>, 'everyMs' | 'hears' | 'asks'>;
type Untimed<T> = T extends { readonly now: number } ? Omit<T, 'now'> : never;

/** One key for all: networks of other keys do not hear each other at all. */
const KEY = 'home';

/** In operations. */
export interface Sizes {
  /** Larger deltas lie aside. */
  readonly inMemory: number;
  /** What is merged at once of those. */
  readonly piece: number;
  /** What a frame of a delta carries. */
  readonly frame: number;
}

/** So small that a scenario of a few writes goes every way. */
export const TINY: Sizes = { inMemory: 6, piece: 4, frame: 2 };
/** As in peer/replication/sync.ts and storage/aside.ts. */
export const REAL: Sizes = { inMemory: 2_048, piece: 2_048, frame: OPERATIONS_PER_FRAME };

/** Timers that mean that something is still to be done. */
const WORK: ReadonlySet<string> = new Set(['reconcile', 'settle', 'sync', 'flush', 'repeat', 'mint']);
const HOLDING = 'holding/';

export class ReplicatingPeer implements SimPeer {
  readonly env: SimEnv;
  readonly #sizes: Sizes;
  #life: Life;

  constructor(env: SimEnv, sizes: Sizes = TINY) {
    this.env = env;
    this.#sizes = sizes;
    this.#life = new Life({ env, sizes, rekey: this.#rekey });
  }

  get life(): Life {
    return this.#life;
  }

  input(input: SimInput): void {
    this.#life.input(input);
  }

  /** What peer.ts does for a clone: ends the session, takes a new key, and begins anew on the same disk. */
  readonly #rekey = (): void => {
    const { env } = this;
    const from = this.#life.self;
    this.#life.end(() => {
      this.#life = new Life({ env, sizes: this.#sizes, rekey: this.#rekey, publicKey: randomKey(env.random) });
      env.tell({ kind: 'rekeyed', from } satisfies Fact);
      this.#life.input({ kind: 'started' });
    });
  };
}

/** One session: one identity, one boot. */
class Life {
  readonly self: PeerId;
  readonly boot: BootId;
  readonly replication: Replication;
  readonly #env: SimEnv;
  readonly #sizes: Sizes;
  readonly #rekey: () => void;
  readonly #letters: Letters;
  readonly #links: Links;
  readonly #talk: Talk;
  readonly #membership;
  readonly #hosts = new Map<PeerId, Host>();
  readonly #networks = new Map<Host, NetworkId>();
  readonly #working = new Set<string>();
  readonly #tasks = new Map<number, (outcome: Outcome | null) => void>();
  readonly #commits = new Map<number, () => void>();
  readonly #asked = new Map<number, (held: boolean) => void>();
  readonly #inputs: Untimed<ReplicationInput>[] = [];
  /** What the latest beat said, for one that is not regular. */
  #said: SaidBeat | null = null;
  #stepping = false;
  #isReconciling = false;
  #mustReconcile = false;
  #numbers = 0;
  /** What comes after this one, once its last batch is on the disk; null while it lives. */
  #after: (() => void) | null = null;

  constructor({ env, sizes, rekey, publicKey = env.disk.publicKey }: { readonly env: SimEnv; readonly sizes: Sizes; readonly rekey: () => void; readonly publicKey?: Uint8Array }) {
    this.#env = env;
    this.#sizes = sizes;
    this.#rekey = rekey;
    const { random } = env;
    if (publicKey !== env.disk.publicKey) this.#commit({ publicKey }, () => {});
    this.self = publicKey === env.disk.publicKey ? env.disk.identity : peerOf(publicKey);
    this.boot = hexDigits(random, 32) as BootId;
    this.replication = new Replication({
      self: this.self,
      stored: this.store.load(),
      random,
      newEpoch: () => hexDigits(random, 16) as EpochId,
      newNetwork: () => hexDigits(random, 32) as NetworkId,
    });
    this.#membership = createMembership({ self: this.self, random });
    this.#letters = new Letters({
      env,
      self: this.self,
      boot: this.boot,
      publicKey,
      heard: (from, message) => this.#heard(from, message),
      met: (peer, boot, host) => {
        this.#hosts.set(peer, host);
        this.#member({ kind: 'heard', peer, bootId: boot, via: 'unicast', address: addressOf(host) });
      },
      clone: ({ peer, bootId }) => {
        if (peer === this.self) this.#feed({ kind: 'cloned', yields: this.boot < bootId });
      },
    });
    this.#links = new Links({
      env,
      self: this.self,
      boot: this.boot,
      living: () => this.#living(),
      linked: (link, host) => this.#linked(link, host),
      hasEnded: () => {}, // nobody is doubted here
      unlinked: ({ peer, boot }, refused) => this.#member({ kind: 'closed', peer, bootId: boot, refused }),
      frame: (link, content) => this.#talk.received(link, content),
      closed: (link) => this.#talk.closed(link),
    });
    this.#talk = new Talk({
      env,
      operationsPerFrame: sizes.frame,
      replication: this.replication,
      linkTo: (peer) => this.#links.to(peer),
      isOpen: (link) => this.#links.has(link),
      view: (origin, done) => this.#task((id) => ({ kind: 'view', id, origin }), (outcome) => done(outcome?.kind === 'viewed' ? outcome.vector : null)),
      beyond: (origin, base, until) => this.store.beyond(origin, base, until),
      apply: (delta, network, done) => this.#apply(delta, network, done),
      pulled: (peer) => this.#feed({ kind: 'pulled', peer }),
      behind: (peer) => this.#feed({ kind: 'behind', peer }),
      asked: (from, { epoch, seq, operations }, done) => {
        const id = this.#number();
        this.#asked.set(id, done);
        this.#feed({ kind: 'asked', id, from, epoch, seq, operations });
      },
    });
  }

  get store(): MemoryOperations {
    return this.#env.disk.operations(KEY);
  }

  /** Members that it takes to be here. */
  get here(): PeerId[] {
    return [...this.#living()].map(([peer]) => peer);
  }

  /** Is there nothing that it still means to do? */
  get isResting(): boolean {
    return this.#working.size === 0 && this.#tasks.size === 0;
  }

  /** Says goodbye. What is on its way to the disk still gets there, before anything else reads it. */
  end(after: () => void): void {
    this.#after = after;
    this.#sayGoodbye();
    this.#links.closeAll();
    for (const timer of this.#working) this.#env.disarm(`r/${timer}`);
    this.#goOn();
  }

  #goOn(): void {
    const after = this.#after;
    if (!after || this.#commits.size > 0) return;
    this.#after = () => {};
    after();
  }

  input(input: SimInput): void {
    if (this.#after) {
      if (input.kind === 'diskDone' && this.#commits.delete(input.token)) this.#goOn();
      return;
    }
    switch (input.kind) {
      case 'started':
        this.#member({ kind: 'started' });
        this.#links.start();
        this.#feed({ kind: 'started' });
        return this.#reconcile();
      case 'datagram':
        return this.#letters.receive(input.content as Letter, input.from, input.via);
      case 'streamOpened':
        return this.#links.opened(input.stream, input.host);
      case 'streamFrame':
        return this.#links.received(input.stream, input.content);
      case 'streamClosed':
        return this.#links.ended(input.stream, input.refused);
      case 'expired':
        return this.#expired(input.timer);
      case 'diskDone': {
        const done = this.#commits.get(input.token);
        this.#commits.delete(input.token);
        if (input.error) return this.#feed({ kind: 'disk', input: { kind: 'failed', error: input.error } });
        return done?.();
      }
      case 'command':
        return this.#command(input.command);
      case 'stopping':
        return this.#sayGoodbye();
    }
  }

  #expired(timer: string): void {
    if (timer === 'links') return this.#links.tick();
    if (timer.startsWith('boot/')) return this.#letters.expired(timer as `boot/${PeerId}/${BootId}`);
    if (timer.startsWith('m/')) return this.#member({ kind: 'expired', timer: timer === 'm/beat' ? { kind: 'beat' } : { kind: 'watch', peer: timer.slice('m/'.length) as PeerId } });
    const name = timer.slice('r/'.length) as ReplicationTimer;
    this.#working.delete(name);
    this.#feed({ kind: 'expired', timer: name });
  }

  // --- members

  #heard(from: { readonly peer: PeerId; readonly boot: BootId; readonly host: Host; readonly via: 'multicast' | 'unicast' }, message: Exclude<Message, { kind: 'challenge' | 'proof' | 'clone' }>): void {
    const { peer, boot: bootId, host, via } = from;
    this.#hosts.set(peer, host);
    if (message.kind === 'goodbye') return this.#member({ kind: 'goodbye', peer, bootId });
    const beat = message.kind === 'beat' ? message : undefined;
    const heard = { kind: 'heard' as const, peer, bootId, via, address: addressOf(host) };
    this.#member(beat ? { ...heard, beat: { everyMs: beat.periodMs, hears: beat.heard.includes(heardName(this.self)) ? [this.self] : [], asks: beat.asks } } : heard);
    if (beat) {
      if (beat.network) this.#networks.set(host, beat.network);
      this.#feed({ kind: 'beat', from: peer, beat });
    } else if (message.kind === 'operations') this.#feed({ kind: 'operations', from: peer, network: message.network, operations: message.operations });
    else if (message.kind === 'relay' && via === 'unicast') this.#member({ kind: 'asked', by: peer, about: message.peer });
    else if (message.kind === 'relayed' && via === 'unicast') this.#member({ kind: 'vouched', peer: message.peer, bootId: message.boot, heardAt: this.#env.now() });
    else if (message.kind === 'ping' && via === 'unicast') this.#letters.send(host, { kind: 'pong', nonce: message.nonce });
  }

  #member(input: Untimed<MembershipInput>): void {
    const effects = stepMembership(this.#membership, { ...input, now: this.#env.now() } as MembershipInput);
    for (const effect of effects) this.#carryOutMembership(effect);
  }

  #carryOutMembership(effect: MembershipEffect): void {
    switch (effect.kind) {
      case 'arm':
        return this.#env.arm(timerName(effect.timer), effect.ms);
      case 'beat':
        this.#said = effect;
        return this.#letters.multicast(this.#beat(effect));
      case 'pulse':
        return this.#letters.multicast({ kind: 'pulse', pulse: NO_PULSE });
      case 'beatTo':
        return this.#unicast(effect, this.#beat(effect));
      case 'pulseTo':
        return this.#unicast(effect, { kind: 'pulse', pulse: NO_PULSE });
      case 'probe':
        return this.#unicast(effect, { kind: 'ping', nonce: 1 });
      case 'probeVia':
        return this.#unicast(effect, { kind: 'relay', peer: effect.peer });
      case 'relayed':
        return this.#unicast(effect, { kind: 'relayed', peer: effect.peer, boot: effect.bootId });
      case 'changed': {
        const { peer, to } = effect;
        this.#env.log(() => `sees ${peer.slice(0, 8)} ${to} (${effect.reason})`);
        if (to === 'alive') this.#links.ensure(peer, this.#hosts.get(peer) as Host);
        if (to !== 'dead' && to !== 'left') return;
        this.#feed({ kind: 'gone', peer });
        this.#links.drop(peer);
      }
    }
  }

  #unicast({ address }: { readonly address: Address | undefined }, message: Message): void {
    if (address) this.#letters.send(hostOf(address), message);
  }

  #beat({ everyMs, hears, asks }: SaidBeat): Beat {
    const { ledger } = this.replication;
    return {
      kind: 'beat',
      port: 1,
      periodMs: everyMs,
      lamport: ledger.committedTime,
      root: ledger.root,
      head: ledger.head,
      heard: hears.map(heardName),
      network: ledger.network,
      asks,
      user: ledger.user,
      pulse: NO_PULSE,
      offer: NO_OFFER,
    };
  }

  *#living(): Generator<readonly [PeerId, Host]> {
    for (const member of this.#membership.members.values()) {
      const host = this.#hosts.get(member.peer);
      if (isHere(member) && host !== undefined) yield [member.peer, host];
    }
  }

  #linked({ peer, boot }: Link, host: Host): void {
    this.#hosts.set(peer, host);
    this.#letters.met(peer, boot);
    this.#member({ kind: 'heard', peer, bootId: boot, via: 'stream', address: addressOf(host) });
    this.#feed({ kind: 'linked', peer });
  }

  #sayGoodbye(): void {
    for (let i = 0; i < 3; i++) this.#letters.multicast({ kind: 'goodbye' });
  }

  // --- replication

  /** As peer/runtime.ts does: what an effect feeds waits its turn. */
  #feed(input: Untimed<ReplicationInput>): void {
    if (this.#after) return;
    this.#inputs.push(input);
    if (this.#stepping) return;
    this.#stepping = true;
    for (let next = this.#inputs.shift(); next; next = this.#inputs.shift()) {
      const effects = this.replication.step({ ...next, now: this.#env.now() } as ReplicationInput);
      for (const effect of effects) this.#carryOut(effect);
    }
    this.#stepping = false;
  }

  #carryOut(effect: ReplicationEffect): void {
    const { store } = this;
    switch (effect.kind) {
      case 'arm':
        if (WORK.has(effect.timer)) this.#working.add(effect.timer);
        return this.#env.arm(`r/${effect.timer}`, effect.ms);
      case 'read': {
        const operations = effect.piece && this.#env.disk.piece(effect.piece.aside, effect.piece.done);
        const piece = operations && { operations, held: store.held(operations) };
        return this.#feed({ kind: 'disk', input: { kind: 'read', held: store.held(effect.registers), piece } });
      }
      case 'commit':
        return this.#commit({ operations: { network: KEY, batch: effect.batch } }, () => this.#feed({ kind: 'disk', input: { kind: 'committed' } }));
      case 'done':
      case 'refused': {
        const done = this.#tasks.get(effect.task);
        this.#tasks.delete(effect.task);
        return done?.(effect.kind === 'done' ? effect.outcome : null);
      }
      case 'acknowledged':
        this.#tasks.delete(effect.task);
        return this.#tell(effect);
      case 'changed':
      case 'dropped':
        return this.#tell(effect);
      case 'multicast':
        this.#tell(effect);
        return this.#letters.multicast({ kind: 'operations', network: effect.network, operations: effect.operations });
      case 'announce':
        if (this.#said) this.#letters.multicast(this.#beat({ ...this.#said, asks: false }));
        return;
      case 'pull':
        return this.#talk.pull(effect.peer, effect.origin);
      case 'ask':
        return this.#talk.askToKeep(effect.peer, effect.operations, (held) => this.#feed({ kind: 'answered', id: effect.id, peer: effect.peer, held }));
      case 'answer':
        this.#asked.get(effect.id)?.(effect.held);
        this.#asked.delete(effect.id);
        return;
      case 'reconcile':
        return this.#reconcile();
      case 'rekey':
        return this.#rekey();
      case 'tell':
        return this.#tell({ kind: 'news', news: effect.news });
      case 'network':
    }
  }

  #tell(fact: Fact): void {
    this.#env.log(() => describe(fact));
    this.#env.tell(fact);
  }

  #number(): number {
    this.#numbers += 1;
    return this.#numbers;
  }

  #commit(batch: DiskBatch, done: () => void): void {
    const token = this.#number();
    this.#commits.set(token, done);
    this.#env.commit(token, batch);
  }

  #task(taskOf: (id: number) => Extract<ReplicationInput, { kind: 'task' }>['task'], done: (outcome: Outcome | null) => void): void {
    const id = this.#number();
    this.#tasks.set(id, done);
    this.#feed({ kind: 'task', task: taskOf(id) });
  }

  #write(changes: readonly Change[], user: boolean, done: () => void = () => {}): void {
    const id = this.#number();
    this.#tasks.set(id, done);
    this.#feed({ kind: 'write', id, changes, user });
  }

  /** A large delta goes aside first, as in sync.ts. */
  #apply(delta: Delta, network: NetworkId | null, done: (applied: boolean) => void): void {
    const { operations } = delta;
    const { inMemory, piece } = this.#sizes;
    if (operations.length <= inMemory) return this.#task((id) => ({ kind: 'apply', id, delta, network }), (outcome) => done(outcome !== null));
    const name = hexDigits(this.#env.random, 16);
    const pieces: (readonly Operation[])[] = [];
    for (let i = 0; i < operations.length; i += piece) pieces.push(operations.slice(i, i + piece));
    this.#commit({ aside: { name, pieces } }, () =>
      this.#task((id) => ({ kind: 'merge', id, delta, aside: name, pieces: pieces.length, network }), (outcome) => {
        this.#commit({ aside: { name, pieces: null } }, () => {});
        done(outcome !== null);
      }),
    );
  }

  /** What peer/library.ts does: the own registers become what the disk says. */
  #reconcile(): void {
    this.#mustReconcile = true;
    // what is on its way to the disk is not on it yet
    if (this.#isReconciling) return;
    this.#mustReconcile = false;
    const truth = new Set(this.#env.files().map((name) => `${HOLDING}${name}`));
    const changes: Change[] = [];
    for (const { origin, key, value } of this.store.registers(HOLDING)) {
      if (origin !== this.self) continue;
      if (!truth.has(key) && value !== null) changes.push({ key, value: null });
      if (truth.has(key) && value !== null) truth.delete(key);
    }
    for (const key of truth) changes.push({ key, value: TRUE });
    const [here] = this.store.held([{ origin: this.self, key: HERE_KEY }]);
    const forgotten = forgottenAt(this.store.registers(forgetKey(this.self)));
    if (answeredUntil(here) < forgotten) changes.push({ key: HERE_KEY, value: encodeHere(forgotten) });
    if (changes.length === 0) return;
    this.#isReconciling = true;
    this.#write(changes, false, () => {
      this.#isReconciling = false;
      if (this.#mustReconcile) this.#reconcile();
    });
  }

  // --- people

  #command(command: Command): void {
    switch (command.kind) {
      case 'write':
        return this.#write([{ key: command.key, value: command.value === null ? null : Buffer.from(command.value) }], true);
      case 'join': {
        const other = this.#networks.get(command.host);
        const { network } = this.replication.ledger;
        if (other && network && other !== network) this.#write([network, other].map((id) => ({ key: uniteKey(id), value: TRUE })), false);
        return;
      }
      case 'forget': {
        const peer = [...this.#hosts].find(([, host]) => host === command.host)?.[0];
        if (peer && peer !== this.self) this.#write([{ key: forgetKey(peer), value: FORGET_VALUE }], false);
        return;
      }
      case 'scan':
        return this.#reconcile();
      case 'leap':
        this.replication.ledger.clock.witness(this.replication.ledger.clock.time + command.by, { own: true });
    }
  }
}

const timerName = (timer: MembershipTimer): string => (timer.kind === 'beat' ? 'm/beat' : `m/${timer.peer}`);



const short = ({ origin, seq, lamport, key, value }: Operation): string => `${origin.slice(0, 4)}:${seq}@${lamport} ${key.slice(0, 24)}=${value === null ? 'x' : Buffer.from(value).toString('latin1').slice(0, 8)}`;

export function describe(fact: Fact): string {
  switch (fact.kind) {
    case 'changed':
      return `holds ${fact.changes.map(({ after }) => short(after)).join(', ')}`;
    case 'acknowledged':
      return `acknowledged ${fact.how}: ${fact.operations.map(short).join(', ')}`;
    case 'multicast':
      return `tells ${fact.operations.map(short).join(', ')}`;
    case 'news':
      return `says ${JSON.stringify(fact.news)}`;
    case 'rekeyed':
      return `was ${fact.from.slice(0, 8)} and takes a new key`;
    case 'dropped':
      return 'has dropped everything';
  }
}
