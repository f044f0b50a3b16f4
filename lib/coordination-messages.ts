// What peers say to each other about who coordinates and who holds which role. Elections are Bully's (Garcia-Molina, "Elections in
// a Distributed Computing System", IEEE Transactions on Computers 1982): ELECTION, ANSWER, COORDINATOR. That the coordinator lives,
// who holds a role and which leases go on is said by every beat, so that it needs no messages of its own.
import type { Checker } from './check.ts';
import { type BootId, idToBytes, type PeerId } from './ids.ts';
import { TERM_MAX } from './limits.ts';
import { ROLES, type Role, type Term } from './roles.ts';
import type { Millis } from './time.ts';

/** 2 is the coordinator's, 1 that of a peer that has been up for a minute and has what the others have. */
export type Rank = 0 | 1 | 2;

/** A role that the sender holds by a lease that has not run out. */
export interface Claim {
  readonly role: Role;
  /** The grant's, of the coordinator that the pulse names; 0 when an earlier coordinator granted it. */
  readonly number: number;
}

/** "Your lease of this grant goes on, counted from when you sent that beat." */
export interface Renewal {
  readonly number: number;
  /** The holder's beat that the coordinator has heard. */
  readonly echo: number;
}

/** The part of a beat that elections and leases live on; coordinator and holders send it alone between their beats. */
export interface Pulse {
  /** Counts what this boot sends of these, from 1. */
  readonly number: number;
  /** Whom the sender follows, itself if it coordinates; null while it knows of nobody. */
  readonly coordinator: PeerId | null;
  /** That coordinator's; else 0. */
  readonly term: Term;
  /** How long ago the sender heard it: a coordinator that anybody hears is heard by all. In steps of 10 ms; from
   *  655 s on as good as never. */
  readonly ageMs: Millis;
  readonly rank: Rank;
  /** "I hear nobody": a coordinator that says so does not count. */
  readonly lone: boolean;
  /** "Renew my leases now." */
  readonly asks: boolean;
  readonly claims: readonly Claim[];
  /** Of the coordinator only. */
  readonly renewals: readonly Renewal[];
}

/** A pulse by itself. The receiver notes that its sender lives, and who coordinates. */
export interface PulseMessage {
  readonly kind: 'pulse';
  readonly pulse: Pulse;
}

/** "There is no coordinator, and I would be it." Who is higher answers and takes over; who knows somebody higher answers too. */
export interface ElectionMessage {
  readonly kind: 'election';
  readonly rank: Rank;
  /** The greatest term that the sender has promised or heard of. */
  readonly term: Term;
}

/** "Somebody higher than you lives." Its candidate waits for a coordinator; others who would have answered keep silent. */
export interface AnswerMessage {
  readonly kind: 'answer';
  readonly candidate: PeerId;
  /** The sender itself, or whom it has heard lately. */
  readonly higher: PeerId;
}

/** "I am it." Its receivers follow, if they know of no greater one that lives. */
export interface CoordinatorMessage {
  readonly kind: 'coordinator';
  readonly term: Term;
}

/** "Your coordinator seems to be dead": said to those who would be next, which ask it themselves. */
export interface SuspectMessage {
  readonly kind: 'suspect';
  readonly coordinator: PeerId;
  readonly term: Term;
}

/** "A greater term than yours was promised": the coordinator claims anew, above it. */
export interface PromisedMessage {
  readonly kind: 'promised';
  readonly term: Term;
}

/** "Hold this role." The lease runs from when the receiver sent the beat that is echoed, if it is that boot. */
export interface GrantMessage {
  readonly kind: 'grant';
  readonly role: Role;
  readonly term: Term;
  readonly number: number;
  readonly boot: BootId;
  readonly echo: number;
}

/** "Hold this role no more." The receiver lets go of it and says so. */
export interface RevokeMessage {
  readonly kind: 'revoke';
  readonly role: Role;
  readonly term: Term;
}

/** "I do not hold this role any more": it can be granted at once. */
export interface ReleaseMessage {
  readonly kind: 'release';
  readonly role: Role;
  /** Of the grant; all later ones stand. */
  readonly term: Term;
  readonly number: number;
  readonly why: ReleaseReason;
}

/** On the wire a reason is its place in this list; new ones are appended. */
export const RELEASE_REASONS = ['revoked', 'leaving', 'failed', 'expired', 'unable', 'superseded'] as const;
/** `failed`: its service failed again and again. `unable`: this machine may not hold it any more. `superseded`: another holds it
 *  by a greater token. */
export type ReleaseReason = (typeof RELEASE_REASONS)[number];

/** "Is that member alive? I do not hear it." The receiver asks it, and passes its answer on. */
export interface RelayMessage {
  readonly kind: 'relay';
  readonly peer: PeerId;
}

/** "That member has answered me." The receiver takes it as heard. */
export interface RelayedMessage {
  readonly kind: 'relayed';
  readonly peer: PeerId;
  /** Which of its processes answered: a new one does not speak for the one before. */
  readonly boot: BootId;
}

/** "That process has ended": its machine refused a connection of the sender, or runs another. A coordinator knocks there itself, and passes its roles on;
 *  its own stream to it may not have told, since the end of a stream is one packet. */
export interface DiedMessage {
  readonly kind: 'died';
  readonly peer: PeerId;
  readonly boot: BootId;
}

export type ElectionTalk = ElectionMessage | AnswerMessage | CoordinatorMessage | SuspectMessage | PromisedMessage;
export type LeaseTalk = GrantMessage | RevokeMessage | ReleaseMessage;
export type CoordinationMessage = PulseMessage | ElectionTalk | LeaseTalk | DiedMessage | RelayMessage | RelayedMessage;

const AGE_STEP_MS: Millis = 10;
/** Older than this is as good as unknown, and fits two bytes. */
const AGE_STEPS_MAX = 0xffff;
const FLAG_LONE = 4;
const FLAG_ASKS = 8;

const roleNumber = (role: Role): number => ROLES.indexOf(role);

/** A role of a version to come is undefined. */
const roleOf = (value: unknown, check: Checker): Role | undefined => ROLES[check.count(value)];

function termOf(value: unknown, check: Checker): Term {
  const term = check.count(value);
  return term <= TERM_MAX ? term : check.fail('a term');
}

export function pulseTuple({ number, coordinator, term, ageMs, rank, lone, asks, claims, renewals }: Pulse): unknown[] {
  return [
    number,
    coordinator && idToBytes(coordinator),
    term,
    Math.min(Math.ceil(ageMs / AGE_STEP_MS), AGE_STEPS_MAX),
    rank | (lone ? FLAG_LONE : 0) | (asks ? FLAG_ASKS : 0),
    claims.flatMap((claim) => [roleNumber(claim.role), claim.number]),
    renewals.flatMap((renewal) => [renewal.number, renewal.echo]),
  ];
}

export function pulseOf(tuple: unknown, check: Checker): Pulse {
  const [number, coordinator, term, age, flags, claims, renewals] = check.list(tuple, 7);
  const bits = check.count(flags);
  return {
    number: check.count(number, 1),
    coordinator: coordinator === null ? null : check.id<PeerId>(coordinator),
    term: termOf(term, check),
    ageMs: check.count(age) * AGE_STEP_MS,
    rank: Math.min(bits & 3, 2) as Rank,
    lone: (bits & FLAG_LONE) !== 0,
    asks: (bits & FLAG_ASKS) !== 0,
    claims: pairsOf(claims, check).flatMap(([role, claimed]) => {
      const name = roleOf(role, check);
      return name ? [{ role: name, number: claimed }] : [];
    }),
    renewals: pairsOf(renewals, check).map(([renewed, echo]) => ({ number: renewed, echo })),
  };
}

/** Of numbers that follow each other. Nobody holds or grants more roles than there are. */
function pairsOf(value: unknown, check: Checker): (readonly [number, number])[] {
  const flat = check.list(value);
  if (flat.length % 2 !== 0 || flat.length > 2 * ROLES_TOLD_MAX) check.fail('pairs');
  return Array.from({ length: flat.length / 2 }, (_, i) => [check.count(flat[2 * i]), check.count(flat[2 * i + 1])] as const);
}

/** Roles of one pulse: those of today and of versions to come. */
const ROLES_TOLD_MAX = 16;

/** Roles that a machine may hold, one bit each. */
export const rolesBits = (roles: Iterable<Role>): number => [...roles].reduce((bits, role) => bits | (1 << roleNumber(role)), 0);
export const rolesOfBits = (bits: number): Role[] => ROLES.filter((_, place) => (bits & (1 << place)) !== 0);

/** Without its first element, the type. */
export function coordinationTuple(message: CoordinationMessage): unknown[] {
  switch (message.kind) {
    case 'pulse':
      return pulseTuple(message.pulse);
    case 'election':
      return [message.rank, message.term];
    case 'answer':
      return [idToBytes(message.candidate), idToBytes(message.higher)];
    case 'coordinator':
    case 'promised':
      return [message.term];
    case 'suspect':
      return [idToBytes(message.coordinator), message.term];
    case 'grant':
      return [roleNumber(message.role), message.term, message.number, idToBytes(message.boot), message.echo];
    case 'revoke':
      return [roleNumber(message.role), message.term];
    case 'release':
      return [roleNumber(message.role), message.term, message.number, RELEASE_REASONS.indexOf(message.why)];
    case 'relay':
      return [idToBytes(message.peer)];
    case 'relayed':
    case 'died':
      return [idToBytes(message.peer), idToBytes(message.boot)];
  }
}

/** @returns undefined where it is about a role that only a newer version knows */
export function coordinationOf(kind: CoordinationMessage['kind'], rest: readonly unknown[], check: Checker): CoordinationMessage | undefined {
  switch (kind) {
    case 'pulse':
      return { kind, pulse: pulseOf(rest, check) };
    case 'election':
      return { kind, rank: Math.min(check.count(rest[0]), 2) as Rank, term: termOf(rest[1], check) };
    case 'answer':
      return { kind, candidate: check.id<PeerId>(rest[0]), higher: check.id<PeerId>(rest[1]) };
    case 'coordinator':
    case 'promised':
      return { kind, term: termOf(rest[0], check) };
    case 'suspect':
      return { kind, coordinator: check.id<PeerId>(rest[0]), term: termOf(rest[1], check) };
    case 'relay':
      return { kind, peer: check.id<PeerId>(rest[0]) };
    case 'relayed':
    case 'died':
      return { kind, peer: check.id<PeerId>(rest[0]), boot: check.id<BootId>(rest[1]) };
    case 'grant':
    case 'revoke':
    case 'release': {
      const role = roleOf(rest[0], check);
      return role && leaseTalkOf(kind, { role, term: termOf(rest[1], check) }, rest, check);
    }
  }
}

function leaseTalkOf(kind: LeaseTalk['kind'], about: { readonly role: Role; readonly term: Term }, rest: readonly unknown[], check: Checker): LeaseTalk {
  switch (kind) {
    case 'grant':
      return { kind, ...about, number: check.count(rest[2], 1), boot: check.id<BootId>(rest[3]), echo: check.count(rest[4]) };
    case 'revoke':
      return { kind, ...about };
    case 'release':
      return { kind, ...about, number: check.count(rest[2]), why: RELEASE_REASONS[check.count(rest[3])] ?? 'unable' };
  }
}
