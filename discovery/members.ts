// What membership remembers and the words it speaks with its driver: inputs that carry `now`, effects that the driver carries
// out. A timer armed again replaces the one of the same name; one that fires for an old reason only looks at the clock
// again, so nothing ever needs to be cancelled.
import type { BootId, PeerId } from '../lib/ids.ts';
import type { Random } from '../lib/random.ts';
import type { Millis } from '../lib/time.ts';
import type { Address } from './address.ts';

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
  lastHeardAt: Millis;
  lastMulticastAt: Millis;
  /** When it last asked for unicast beats. */
  lastAskedAt: Millis;
  /** Its beats since one of them named us. */
  beatsUnnamed: number;
  /** Boots that a later one has replaced, newest last: their late datagrams are no restart. */
  formerBoots: readonly BootId[];
  /** While suspect: since when, since when in this round of probes, and how many probes it has had in it. */
  suspectAt: Millis;
  roundAt: Millis;
  probes: number;
  /** When its timer is due. */
  watchAt: Millis;
}

export interface Membership {
  readonly self: PeerId;
  readonly random: Random;
  readonly members: Map<PeerId, Member>;
  startedAt: Millis;
  beatAt: Millis;
  lastBeatAt: Millis;
  /** When the next one is due whatever happens, and the period that the last one said. */
  regularAt: Millis;
  everyMs: Millis;
  /** Whose turn it is to be named. */
  rotation: number;
  lastHeardAt: Millis;
  lastMulticastAt: Millis;
  lastNamesAt: Millis;
  /** When this process was last found to have been asleep. */
  stalledAt: Millis;
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
  /** A stream ended; `refused` when reconnecting was refused too, so that the process is gone. */
  | { readonly kind: 'closed'; readonly peer: PeerId; readonly bootId: BootId; readonly refused: boolean; readonly now: Millis }
  | { readonly kind: 'expired'; readonly timer: Timer; readonly now: Millis }
  /** This process or machine was asleep, by a clock that the timers here cannot see. */
  | { readonly kind: 'stalled'; readonly now: Millis }
  /** DNS-SD named a candidate. */
  | { readonly kind: 'named'; readonly now: Millis };

export type Reason = 'joined' | 'restarted' | 'returned' | 'refuted' | 'silent' | 'closed' | 'refused' | 'unanswered' | 'goodbye';

export type Effect =
  | { readonly kind: 'arm'; readonly timer: Timer; readonly ms: Millis }
  /** Multicast a beat. */
  | ({ readonly kind: 'beat' } & Beat)
  /** Send a beat by unicast too. */
  | ({ readonly kind: 'beatTo'; readonly peer: PeerId; readonly address: Address | undefined } & Beat)
  /** Ask by unicast whether it lives; any answer counts as heard. Attempts count from 1. */
  | { readonly kind: 'probe'; readonly peer: PeerId; readonly address: Address | undefined; readonly attempt: number }
  | { readonly kind: 'changed'; readonly peer: PeerId; readonly from: MemberState | 'unknown'; readonly to: MemberState; readonly reason: Reason };

export const NEVER = Number.NEGATIVE_INFINITY;
/** The slowest beat of those without a role in a network of up to 20, and of whom nothing is known yet. */
export const BEAT_EVERY_MS: Millis = 1_000;
/** 30% loss takes four beats in a row once in 120; a probe then refutes the suspicion. */
export const SILENCE_BEATS = 4;

export const createMembership = ({ self, random }: { readonly self: PeerId; readonly random: Random }): Membership => ({
  self,
  random,
  members: new Map(),
  startedAt: NEVER,
  beatAt: Number.POSITIVE_INFINITY,
  lastBeatAt: NEVER,
  regularAt: NEVER,
  everyMs: BEAT_EVERY_MS,
  rotation: 0,
  lastHeardAt: NEVER,
  lastMulticastAt: NEVER,
  lastNamesAt: NEVER,
  stalledAt: NEVER,
});

export const isHere = (member: Member): boolean => member.state === 'alive' || member.state === 'suspect';

export const hasOthers = (state: Membership): boolean => [...state.members.values()].some(isHere);

export const othersHere = (state: Membership, but?: Member): Member[] =>
  [...state.members.values()].filter((member) => member !== but && isHere(member));
