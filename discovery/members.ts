// What membership remembers and the words it speaks with its driver: inputs that carry `now`, effects that the driver carries
// out. A timer armed again replaces the one of the same name; one that fires for an old reason only looks at the clock
// again, so nothing ever needs to be cancelled.
import type { BootId, PeerId } from '../lib/ids.ts';
import type { Random } from '../lib/random.ts';
import type { Millis } from '../lib/time.ts';
import type { Address } from './address.ts';
import { type Awareness, createAwareness } from './awareness.ts';
import type { Relaying } from './relays.ts';

export type MemberState = 'alive' | 'suspect' | 'dead' | 'left';
/** How something of a peer's reached us. */
export type Via = 'multicast' | 'unicast' | 'stream';
/** How this peer and the others meet, for `status`. */
export type Mode = 'multicast' | 'names' | 'unicast';

/** What a beat says for membership. */
export interface Beat {
  /** The sender's period: after four of them in silence it may be suspected. */
  readonly everyMs: Millis;
  /** Some of those whom the sender hears, in rotation. */
  readonly hears: readonly PeerId[];
  /** "I do not hear your multicast": the receiver shall send its beats here by unicast. */
  readonly asks: boolean;
}

export interface Member {
  readonly peer: PeerId;
  bootId: BootId;
  state: MemberState;
  /** Where it was last heard from, at its own port. */
  address: Address | undefined;
  everyMs: Millis;
  /** By us or by somebody who told us. */
  lastHeardAt: Millis;
  /** By us: what may be told to others. Hearsay told on and on, each time younger by the way it took, would never grow old. */
  lastDirectAt: Millis;
  lastMulticastAt: Millis;
  /** When it last asked for unicast beats. */
  lastAskedAt: Millis;
  /** Its beats since one of them named us. */
  beatsUnnamed: number;
  /** Boots that a later one has replaced, newest last: their late datagrams are no restart. */
  formerBoots: readonly BootId[];
  /** When it came into its state, and why. */
  since: Millis;
  why: Reason;
  /** When somebody else last said that it is dead. */
  doubtedAt: Millis;
  /** When its machine last refused a connection. */
  refusedAt: Millis;
  /** While suspect: since when in this round of questions, how many of the round have been asked, and through whom. */
  roundAt: Millis;
  questions: number;
  relays: readonly PeerId[];
  /** When its timer is due. */
  watchAt: Millis;
}

export interface Membership {
  readonly self: PeerId;
  readonly random: Random;
  readonly members: Map<PeerId, Member>;
  /** Is it coordinator or holder of a role, which others must miss soon? */
  quick: boolean;
  /** When it last had to be heard by everybody: at its start, and when its pace or its interfaces changed. */
  announcedAt: Millis;
  /** When the next beat and the next pulse are due; a pulse only while quick or asked for. */
  beatAt: Millis;
  pulseAt: Millis;
  lastBeatAt: Millis;
  /** Beat or pulse. */
  lastSaidAt: Millis;
  /** When what coordination says changed last. */
  spokenAt: Millis;
  /** When the next beat is due whatever happens, and the period of beats when the last one was said. */
  regularAt: Millis;
  periodMs: Millis;
  /** Whose turn it is to be named. */
  rotation: number;
  /** With own ears. */
  lastHeardAt: Millis;
  lastMulticastAt: Millis;
  lastNamesAt: Millis;
  /** When this process was last found to have stood still for a moment, and for so long that it has missed everything. */
  stalledAt: Millis;
  jumpedAt: Millis;
  readonly awareness: Awareness;
  /** Whom others have asked about here. */
  relaying: readonly Relaying[];
}

export type Timer = { readonly kind: 'beat' } | { readonly kind: 'watch'; readonly peer: PeerId };

export type Input =
  | { readonly kind: 'started'; readonly now: Millis }
  /** A verified datagram or stream message; with its beat, when it is one. */
  | {
      readonly kind: 'heard';
      readonly peer: PeerId;
      readonly bootId: BootId;
      readonly via: Via;
      readonly address?: Address;
      readonly beat?: Beat;
      readonly now: Millis;
    }
  | { readonly kind: 'goodbye'; readonly peer: PeerId; readonly bootId: BootId; readonly now: Millis }
  /** A stream ended; `refused` when its machine took connections before and refuses them now, so that the process is gone. */
  | { readonly kind: 'closed'; readonly peer: PeerId; readonly bootId: BootId; readonly refused: boolean; readonly now: Millis }
  /** Its machine took connections before and refuses them now; of our own stream to it nothing is known. */
  | { readonly kind: 'refused'; readonly peer: PeerId; readonly bootId: BootId; readonly now: Millis }
  | { readonly kind: 'expired'; readonly timer: Timer; readonly now: Millis }
  /** The peer became coordinator or holder of a role, or is neither any more. */
  | { readonly kind: 'pace'; readonly quick: boolean; readonly now: Millis }
  /** What a pulse says has changed: it is said at once. */
  | { readonly kind: 'speak'; readonly now: Millis }
  /** Network interfaces came or went. */
  | { readonly kind: 'interfaces'; readonly now: Millis }
  /** Somebody else heard that member, at `heardAt` by our clock: now less the age that was told. Where it says
   *  which boot it was, word of another than ours keeps nobody alive. */
  | { readonly kind: 'vouched'; readonly peer: PeerId; readonly bootId?: BootId; readonly heardAt: Millis; readonly now: Millis }
  /** Somebody else found that member dead. */
  | { readonly kind: 'doubted'; readonly peer: PeerId; readonly now: Millis }
  /** Somebody wants to know whether that member lives. */
  | { readonly kind: 'asked'; readonly by: PeerId; readonly about: PeerId; readonly now: Millis }
  /** This process or machine was asleep for over a second, by a clock that the timers here cannot see. */
  | { readonly kind: 'stalled'; readonly now: Millis }
  /** DNS-SD named a candidate. */
  | { readonly kind: 'named'; readonly now: Millis };

export type Reason =
  | 'joined'
  | 'restarted'
  | 'returned'
  | 'refuted'
  | 'vouched'
  | 'stalled'
  | 'silent'
  | 'closed'
  | 'doubted'
  | 'refused'
  | 'unanswered'
  | 'goodbye';

export type Effect =
  | { readonly kind: 'arm'; readonly timer: Timer; readonly ms: Millis }
  /** Multicast a beat. */
  | ({ readonly kind: 'beat' } & Beat)
  /** Send a beat by unicast too. */
  | ({ readonly kind: 'beatTo'; readonly peer: PeerId; readonly address: Address | undefined } & Beat)
  /** Multicast a pulse, or send it by unicast too. */
  | { readonly kind: 'pulse' }
  | { readonly kind: 'pulseTo'; readonly peer: PeerId; readonly address: Address | undefined }
  /** Ask by unicast whether it lives; any answer counts as heard. Attempts count from 1. */
  | { readonly kind: 'probe'; readonly peer: PeerId; readonly address: Address | undefined; readonly attempt: number }
  /** Ask `via` whether it hears that member. */
  | { readonly kind: 'probeVia'; readonly peer: PeerId; readonly via: PeerId; readonly address: Address | undefined }
  /** Tell who asked that this member lives. */
  | { readonly kind: 'relayed'; readonly to: PeerId; readonly peer: PeerId; readonly bootId: BootId; readonly address: Address | undefined }
  | { readonly kind: 'changed'; readonly peer: PeerId; readonly from: MemberState | 'unknown'; readonly to: MemberState; readonly reason: Reason };

export const NEVER = Number.NEGATIVE_INFINITY;
/** The slowest beat of those without a role in a network of up to 20, and of whom nothing is known yet. */
export const BEAT_EVERY_MS: Millis = 1_000;
/** Of the coordinator and of holders of roles, whose silent death is to be noticed within two seconds. */
export const QUICK_EVERY_MS: Millis = 300;
/** 30% loss takes four beats in a row once in 120; a probe then refutes the suspicion. */
export const SILENCE_BEATS = 4;

export const createMembership = ({ self, random }: { readonly self: PeerId; readonly random: Random }): Membership => ({
  self,
  random,
  members: new Map(),
  quick: false,
  announcedAt: NEVER,
  beatAt: Number.POSITIVE_INFINITY,
  pulseAt: Number.POSITIVE_INFINITY,
  lastBeatAt: NEVER,
  lastSaidAt: NEVER,
  spokenAt: NEVER,
  regularAt: NEVER,
  periodMs: BEAT_EVERY_MS,
  rotation: 0,
  lastHeardAt: NEVER,
  lastMulticastAt: NEVER,
  lastNamesAt: NEVER,
  stalledAt: NEVER,
  jumpedAt: NEVER,
  awareness: createAwareness(),
  relaying: [],
});

export const isHere = (member: Member): boolean => member.state === 'alive' || member.state === 'suspect';

export const hasOthers = (state: Membership): boolean => [...state.members.values()].some(isHere);

export const othersHere = (state: Membership, but?: Member): Member[] =>
  [...state.members.values()].filter((member) => member !== but && isHere(member));
