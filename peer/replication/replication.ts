// Replication as one machine: the ledger, gossip, what people write, and what happens where networks meet, wired together.
// It is the same on a real peer and in the simulator: both feed it datagrams, connections, answers of the disk and timers,
// and carry out its effects.
//
// A pure machine: no clock, timer, socket, disk or chance of its own.
import { PeerError } from '../../lib/errors.ts';
import type { EpochId, NetworkId, PeerId } from '../../lib/ids.ts';
import { forgetKey } from '../../lib/forget.ts';
import { LAMPORT_LEAP_MAX } from '../../lib/lamport.ts';
import type { ReplicaBeat } from '../../lib/messages.ts';
import type { Operation } from '../../lib/operation.ts';
import type { Random } from '../../lib/random.ts';
import type { Millis } from '../../lib/time.ts';
import { headOf } from '../../lib/vector.ts';
import type { StoredState } from '../../storage/operation-batch.ts';
import type { Acknowledgement } from './acknowledgement.ts';
import { type Effect as GossipEffect, initial, type Input as GossipInput, type State as GossipState, step as stepGossip, type Timer as GossipTimer } from './gossip.ts';
import { Keeper, type KeeperTimer } from './keeper.ts';
import { Ledger, type LedgerEffect, type LedgerInput, type Task, type TaskId } from './ledger.ts';
import { meet, type Meeting } from './networks.ts';
import type { Change } from './transaction.ts';
import { UserWrites, type UserWritesEffect, type UserWritesTimer } from './user-writes.ts';

export type ReplicationInput =
  | { readonly kind: 'started'; readonly now: Millis }
  /** Own data or a user's: the latter is `acknowledged`, the former `done`. */
  | { readonly kind: 'write'; readonly id: TaskId; readonly changes: readonly Change[]; readonly user: boolean; readonly now: Millis }
  | { readonly kind: 'task'; readonly task: Extract<Task, { readonly kind: 'append' | 'apply' | 'merge' | 'view' }>; readonly now: Millis }
  | { readonly kind: 'beat'; readonly from: PeerId; readonly beat: ReplicaBeat; readonly now: Millis }
  /** Operations came by datagram. */
  | { readonly kind: 'operations'; readonly from: PeerId; readonly network: NetworkId | null; readonly operations: readonly Operation[]; readonly now: Millis }
  /** A peer asks to be told once its write is on this disk; the operations come along if they are few. */
  | { readonly kind: 'asked'; readonly id: number; readonly from: PeerId; readonly epoch: EpochId; readonly seq: number; readonly operations: readonly Operation[]; readonly now: Millis }
  /** What a peer said to an `ask`; an `ask` that failed is one that is not held. */
  | { readonly kind: 'answered'; readonly id: TaskId; readonly peer: PeerId; readonly held: boolean; readonly now: Millis }
  | { readonly kind: 'linked'; readonly peer: PeerId; readonly now: Millis }
  | { readonly kind: 'gone'; readonly peer: PeerId; readonly now: Millis }
  | { readonly kind: 'behind'; readonly peer: PeerId; readonly now: Millis }
  | { readonly kind: 'pulled'; readonly peer: PeerId; readonly now: Millis }
  /** Another process lives with our identity, as a fresh proof shows. `yields`: it falls to us to take a new key. */
  | { readonly kind: 'cloned'; readonly yields: boolean; readonly now: Millis }
  /** What the disk says; see the ledger. */
  | { readonly kind: 'disk'; readonly input: Exclude<LedgerInput, { readonly kind: 'task' }>; readonly now: Millis }
  | { readonly kind: 'expired'; readonly timer: ReplicationTimer; readonly now: Millis };

export type ReplicationTimer = 'mint' | 'reconcile' | 'settle' | GossipTimer | UserWritesTimer | KeeperTimer;

export type ReplicationEffect =
  | Exclude<LedgerEffect, { readonly kind: 'leapt' }>
  | { readonly kind: 'acknowledged'; readonly task: TaskId; readonly operations: readonly Operation[]; readonly how: Acknowledgement }
  | { readonly kind: 'multicast'; readonly network: NetworkId; readonly operations: readonly Operation[] }
  | { readonly kind: 'announce' }
  /** Pull from this peer; end with `pulled`. */
  | { readonly kind: 'pull'; readonly peer: PeerId; readonly origin: PeerId | null }
  /** Ask this peer to keep these; end with `answered`. */
  | { readonly kind: 'ask'; readonly id: TaskId; readonly peer: PeerId; readonly operations: readonly Operation[] }
  /** Answer an `asked`. */
  | { readonly kind: 'answer'; readonly id: number; readonly held: boolean }
  /** Make the own registers equal to the disk. */
  | { readonly kind: 'reconcile' }
  /** Take a new key, and begin anew with it. */
  | { readonly kind: 'rekey' }
  /** The network has this id now. */
  | { readonly kind: 'network'; readonly id: NetworkId }
  | { readonly kind: 'tell'; readonly news: News }
  | { readonly kind: 'arm'; readonly timer: ReplicationTimer; readonly ms: Millis };

/** What a person has to know, each once. */
export type News =
  /** Another network of this name is here; both have user data, and nothing passes between them. */
  | { readonly kind: 'apart'; readonly peer: PeerId; readonly network: NetworkId }
  /** This peer has become part of another network, and dropped what it had of the one before. */
  | { readonly kind: 'adopted'; readonly network: NetworkId }
  /** A peer's times leap too far ahead to be attached. */
  | { readonly kind: 'leap'; readonly origin: PeerId; readonly lamport: number }
  /** Another process lives with our identity, because a data folder was copied: one of the two takes a new key. */
  | { readonly kind: 'cloned'; readonly yields: boolean }
  /** The disk took a batch no more: nothing is saved until the next start. */
  | { readonly kind: 'disk'; readonly why: string }
  /** Operations of an earlier state of this peer came back from others. */
  | { readonly kind: 'returned'; readonly operations: number };

export interface ReplicationOptions {
  readonly self: PeerId;
  readonly stored: StoredState;
  readonly random: Random;
  /** 8 random bytes. */
  readonly newEpoch: () => EpochId;
  readonly newNetwork: () => NetworkId;
}

/** A first peer mints the network's id when nobody has told it one for so long. */
const MINT_AFTER_MS: Millis = 1_500;
/** Reconciling reads everything that this machine holds. */
const RECONCILE_EVERY_MS: Millis = 10_000;
/** What comes back comes in several deltas. */
const RECONCILE_AFTER_MS: Millis = 200;
/** A clone that goes on living is proved again every 5 s (CLONE_REST_MS of boot-verifier.ts), if no proof is lost. */
const SETTLED_AFTER_MS: Millis = 12_000;
/** News of a kind that are remembered as told. */
const TOLD_MAX = 256;
/** CBOR true. */
export const TRUE = Uint8Array.of(0xf5);

export class Replication {
  readonly self: PeerId;
  readonly ledger: Ledger;
  readonly #options: ReplicationOptions;
  readonly #gossip: GossipState;
  readonly #userWrites = new UserWrites();
  readonly #keeper: Keeper;
  readonly #linked = new Set<PeerId>();
  /** User writes that are on their way to this disk, or wait for another peer's word. */
  readonly #writing = new Map<TaskId, readonly Operation[]>();
  readonly #told = new Set<string>();
  /** Who said of the network that was entered that it has user data, until that peer beats in it, or is gone. */
  #invitedBy: PeerId | null = null;
  /** `of` is the peer whose network is entered; null for one's own. */
  #entering: { readonly user: boolean; readonly of: PeerId | null } | null = null;
  /** Peers of another network that holds user data as ours does. */
  readonly #apart = new Set<PeerId>();
  /** Peers that know no network either, and when each was heard. */
  readonly #homeless = new Map<PeerId, Millis>();
  /** Own operations of another start that came from others, and were not told yet. */
  #returned = 0;
  #reconciledAt: Millis = Number.NEGATIVE_INFINITY;
  #reconcileArmed = false;
  /** While two live with one identity, both would write the same registers, each by its own disk. So own data is refused, and
   *  reconciled afterwards. */
  #isSettled = true;

  constructor(options: ReplicationOptions) {
    this.#options = options;
    this.self = options.self;
    this.ledger = new Ledger(options.self, options.stored, options.newEpoch);
    const head = (origin: PeerId, epoch: EpochId): number => headOf(this.ledger.vector(origin), epoch);
    this.#gossip = initial({ head, root: () => this.ledger.root }, options.random);
    this.#keeper = new Keeper(head);
  }

  /** The latest beat of each living member of our network. */
  get beats(): ReadonlyMap<PeerId, ReplicaBeat> {
    return this.#gossip.beats;
  }

  /** Writes of users that no other peer confirmed in time, since the start. */
  get localOnly(): number {
    return this.#userWrites.localOnly;
  }

  get user(): boolean {
    if (this.ledger.user || this.#invitedBy !== null) return true;
    for (const beat of this.beats.values()) if (beat.user) return true;
    return false;
  }

  /** Is this user's write on the disk, and not acknowledged yet? */
  hasWritten(task: TaskId): boolean {
    return (this.#writing.get(task)?.length ?? 0) > 0;
  }

  meeting(beat: Pick<ReplicaBeat, 'network' | 'user'>): Meeting {
    const { network: id, networks: united } = this.ledger;
    return meet({ id, united, user: this.user }, { id: beat.network, user: beat.user });
  }

  step(input: ReplicationInput): ReplicationEffect[] {
    const { now } = input;
    switch (input.kind) {
      case 'started':
        return [
          ...this.#ledgerEffects(this.ledger.start(), now),
          ...this.#userEffects(this.#userWrites.step({ kind: 'started', now }), now),
          ...(this.ledger.network === null ? [{ kind: 'arm' as const, timer: 'mint' as const, ms: MINT_AFTER_MS }] : []),
        ];
      case 'write':
        if (!input.user) return this.#writeOwn({ kind: 'write', id: input.id, changes: input.changes }, now);
        this.#writing.set(input.id, []);
        return this.#userEffects(this.#userWrites.step(input), now);
      case 'task':
        return this.#task(input.task, now);
      case 'beat':
        return this.#meet(input.from, input.beat, now);
      case 'operations':
        return this.#isOurs(input.network) ? this.#gossipStep({ kind: 'received', operations: input.operations, now }, now) : [];
      case 'asked': {
        const { id, from, epoch, seq, operations } = input;
        return [
          ...this.#gossipStep(operations.length > 0 ? { kind: 'received', operations, now } : { kind: 'announced', peer: from, now }, now),
          ...this.#keeper.step({ kind: 'asked', id, origin: from, epoch, seq }),
        ];
      }
      case 'answered':
        return this.#userEffects(this.#userWrites.step(input), now);
      case 'linked':
        this.#linked.add(input.peer);
        return this.#gossipStep({ kind: 'joined', peer: input.peer, now }, now);
      case 'gone':
        this.#linked.delete(input.peer);
        this.#apart.delete(input.peer);
        this.#homeless.delete(input.peer);
        if (input.peer === this.#invitedBy) this.#invitedBy = null;
        return this.#gossipStep(input, now);
      case 'behind':
        return this.#gossipStep(input, now);
      case 'pulled':
        return this.#gossipStep({ kind: 'synced', peer: input.peer, now }, now);
      case 'cloned':
        return this.#cloned(input.yields);
      case 'disk':
        return this.#ledgerEffects(this.ledger.step(input.input), now);
      case 'expired':
        return this.#expired(input.timer, now);
    }
  }

  #expired(timer: ReplicationTimer, now: Millis): ReplicationEffect[] {
    switch (timer) {
      case 'mint':
        return this.#mint(now);
      case 'settle':
        return this.#settle(now);
      case 'reconcile':
        this.#reconcileArmed = false;
        if (!this.#isSettled) return [];
        this.#reconciledAt = now;
        return [{ kind: 'reconcile' }, ...this.#tellReturned()];
      case 'flush':
      case 'repeat':
      case 'sync':
        return this.#gossipStep({ kind: 'expired', timer, now }, now);
      case 'gate':
        return this.#userEffects(this.#userWrites.step({ kind: 'expired', timer }), now);
      default:
        if (timer.startsWith('keep/')) return this.#keeper.step({ kind: 'expired', timer: timer as KeeperTimer });
        return this.#userEffects(this.#userWrites.step({ kind: 'expired', timer: timer as UserWritesTimer }), now);
    }
  }

  // --- networks

  /** Of several that start together the one with the smallest id mints for all. */
  #mint(now: Millis): ReplicationEffect[] {
    if (this.ledger.network !== null) return [];
    const isFirst = [...this.#homeless].every(([peer, heardAt]) => peer > this.self || now - heardAt > MINT_AFTER_MS);
    if (!isFirst) return [{ kind: 'arm', timer: 'mint', ms: MINT_AFTER_MS }];
    return this.#enter(this.#options.newNetwork(), { user: false, of: null }, now);
  }

  #isOurs(network: NetworkId | null): boolean {
    return network !== null && this.ledger.networks.has(network);
  }

  #meet(peer: PeerId, beat: ReplicaBeat, now: Millis): ReplicationEffect[] {
    const network = beat.network as NetworkId;
    if (network === null) this.#homeless.set(peer, now);
    else this.#homeless.delete(peer);
    const meeting = this.meeting(beat);
    // what it said while it was one of us counts no more
    const left = meeting !== 'one' && this.beats.has(peer) ? this.#gossipStep({ kind: 'gone', peer, now }, now) : [];
    switch (meeting) {
      case 'one':
        if (peer === this.#invitedBy) this.#invitedBy = null;
        return [
          ...this.#attach(peer, beat, now),
          ...this.#gossipStep({ kind: 'beat', from: peer, beat, now }, now),
          // a person has made two networks one, and waits to see it
          ...(this.#apart.delete(peer) ? this.#gossipStep({ kind: 'joined', peer, now }, now) : []),
        ];
      case 'take':
      case 'adopt':
        return [...left, ...this.#enter(network, { user: beat.user, of: peer }, now)];
      case 'apart':
        this.#apart.add(peer);
        return [...left, ...this.#tell(network, { kind: 'apart', peer, network })];
      case 'wait':
        return left;
    }
  }

  #attach(peer: PeerId, { lamport }: ReplicaBeat, now: Millis): ReplicationEffect[] {
    const { clock } = this.ledger;
    if (lamport > clock.time + LAMPORT_LEAP_MAX) return this.#tell(`leap ${peer}`, { kind: 'leap', origin: peer, lamport });
    clock.catchUp(lamport);
    return this.#userEffects(this.#userWrites.step({ kind: 'attached' }), now);
  }

  /** @param entering.user what is said of that network: it is all that keeps us there until its data comes */
  #enter(network: NetworkId, entering: { readonly user: boolean; readonly of: PeerId | null }, now: Millis): ReplicationEffect[] {
    if (this.#entering) return [];
    this.#entering = entering;
    return this.#ledgerEffects(this.ledger.step({ kind: 'task', task: { kind: 'enter', id: ENTER, network } }), now);
  }

  #adopted(): ReplicationEffect[] {
    const { network } = this.ledger;
    return network === null ? [] : [{ kind: 'tell', news: { kind: 'adopted', network } }];
  }

  #networkChanged(): ReplicationEffect[] {
    const id = this.ledger.network;
    // others wait for it, or have to know that nothing passes between us any more
    return id === null ? [] : [{ kind: 'network', id }, { kind: 'announce' }];
  }

  // --- clones

  #cloned(yields: boolean): ReplicationEffect[] {
    this.#isSettled = false;
    const tell = this.#tell('cloned', { kind: 'cloned', yields });
    return yields ? [...tell, { kind: 'rekey' }] : [...tell, { kind: 'arm', timer: 'settle', ms: SETTLED_AFTER_MS }];
  }

  /** The other has taken a new key, or is gone. */
  #settle(now: Millis): ReplicationEffect[] {
    this.#isSettled = true;
    return this.#reconcileSoon(now);
  }

  #writeOwn(task: Task, now: Millis): ReplicationEffect[] {
    if (this.#isSettled) return this.#task(task, now);
    return [{ kind: 'refused', task: task.id, error: new PeerError('CLONE', 'another process lives with this identity') }];
  }

  // --- wiring

  #task(task: Task, now: Millis): ReplicationEffect[] {
    return this.#ledgerEffects(this.ledger.step({ kind: 'task', task }), now);
  }

  #gossipStep(input: GossipInput, now: Millis): ReplicationEffect[] {
    return this.#gossipEffects(stepGossip(this.#gossip, input), now);
  }

  #gossipEffects(effects: readonly GossipEffect[], now: Millis): ReplicationEffect[] {
    return effects.flatMap((effect): ReplicationEffect[] => {
      switch (effect.kind) {
        case 'append':
          return this.#task({ kind: 'append', id: 0, operations: effect.operations }, now);
        case 'multicast': {
          const { network } = this.ledger;
          return network === null ? [] : [{ kind: 'multicast', network, operations: effect.operations }];
        }
        case 'sync':
          // a disk that failed keeps nothing of what would come
          if (this.ledger.hasFailed) return this.#gossipStep({ kind: 'synced', peer: effect.peer, now }, now);
          return [{ kind: 'pull', peer: effect.peer, origin: effect.origin }];
        case 'announce':
        case 'arm':
          return [effect];
      }
    });
  }

  #userEffects(effects: readonly UserWritesEffect[], now: Millis): ReplicationEffect[] {
    return effects.flatMap((effect): ReplicationEffect[] => {
      switch (effect.kind) {
        case 'commit':
          return this.#task({ kind: 'write', id: effect.id, changes: effect.changes }, now);
        case 'acknowledge': {
          const operations = this.#writing.get(effect.id) ?? [];
          this.#writing.delete(effect.id);
          return [{ kind: 'acknowledged', task: effect.id, operations, how: effect.how }];
        }
        case 'ask':
        case 'arm':
          return [effect];
      }
    });
  }

  #ledgerEffects(effects: readonly LedgerEffect[], now: Millis): ReplicationEffect[] {
    return effects.flatMap((effect): ReplicationEffect[] => {
      switch (effect.kind) {
        case 'changed':
          return [effect, ...this.#changed(effect, now)];
        case 'done':
          return this.#done(effect, now);
        case 'refused':
          this.#writing.delete(effect.task);
          if (effect.task !== ENTER) return [effect];
          this.#entering = null;
          return [];
        case 'dropped':
          return [effect, { kind: 'arm', timer: 'reconcile', ms: 0 }, ...this.#adopted()];
        case 'leapt': {
          const [first] = effect.operations as [Operation];
          return this.#tell(`leap ${first.origin}`, { kind: 'leap', origin: first.origin, lamport: first.lamport });
        }
        case 'read':
        case 'commit':
          return [effect];
      }
    });
  }

  #done(effect: Extract<LedgerEffect, { kind: 'done' }>, now: Millis): ReplicationEffect[] {
    const { task, outcome } = effect;
    if (task === ENTER) {
      const { user = false, of = null } = this.#entering ?? {};
      this.#invitedBy = user ? of : null;
      this.#entering = null;
      return [
        ...this.#gossipStep({ kind: 'entered', now }, now),
        ...this.#networkChanged(),
        // a pull that the connection gave reason for was refused before
        ...(of !== null && this.#linked.has(of) ? this.#gossipStep({ kind: 'joined', peer: of, now }, now) : []),
      ];
    }
    if (outcome.kind !== 'wrote' || !this.#writing.has(task)) return [effect];
    this.#writing.set(task, outcome.operations);
    return this.#userEffects(this.#userWrites.step({ kind: 'wrote', id: task, operations: outcome.operations, peers: this.#confidants, now }), now);
  }

  /** Who may keep what a user wrote: connected members of our network, and then those whose first beat is still to come, who refuse if
   *  they are none. */
  get #confidants(): PeerId[] {
    const members = [...this.#linked].filter((peer) => this.#isOurs(this.beats.get(peer)?.network ?? null));
    const unheard = [...this.#linked].filter((peer) => !this.beats.has(peer) && !this.#apart.has(peer));
    return [...members, ...unheard];
  }

  #changed({ changes, moved }: Extract<LedgerEffect, { kind: 'changed' }>, now: Millis): ReplicationEffect[] {
    const { self } = this;
    const { head } = this.ledger;
    const after = changes.map((change) => change.after);
    const own = after.filter(({ origin }) => origin === self);
    const written = own.filter(({ epoch }) => epoch === head?.epoch);
    const effects = [
      ...this.#gossipStep({ kind: 'wrote', operations: written, now }, now),
      ...this.#gossipStep({ kind: 'moved', origins: moved, now }, now),
      ...moved.flatMap((origin) => this.#keeper.step({ kind: 'moved', origin })),
    ];
    // a backup of ours came back, or others remember what this disk lost: the disk decides. And who is forgotten answers all
    // forgets at once: an answer to this one alone would take back that to another, of a clock that is far ahead
    const returned = own.length - written.length;
    this.#returned += returned;
    const isForgotten = after.some(({ origin, key }) => origin !== self && key === forgetKey(self));
    if (returned > 0 || isForgotten) effects.push(...this.#reconcileSoon(now));
    if (after.some(({ key }) => key.startsWith('unite/'))) effects.push(...this.#networkChanged());
    return effects;
  }

  #reconcileSoon(now: Millis): ReplicationEffect[] {
    if (this.#reconcileArmed || !this.#isSettled) return [];
    this.#reconcileArmed = true;
    const ms = Math.max(RECONCILE_AFTER_MS, this.#reconciledAt + RECONCILE_EVERY_MS - now);
    return [{ kind: 'arm', timer: 'reconcile', ms }];
  }

  #tellReturned(): ReplicationEffect[] {
    const operations = this.#returned;
    this.#returned = 0;
    return operations === 0 ? [] : [{ kind: 'tell', news: { kind: 'returned', operations } }];
  }

  #tell(name: string, news: News): ReplicationEffect[] {
    if (this.#told.has(name) || this.#told.size >= TOLD_MAX) return [];
    this.#told.add(name);
    return [{ kind: 'tell', news }];
  }
}

/** Who waits for the entering of a network: this machine itself. */
const ENTER: TaskId = -1;
