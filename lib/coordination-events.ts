// What a coordinator writes into the event log: that it was elected, and to whom it gave a role, each with its reason. Registers of
// the origin that did it, in a ring: a network that elects often does not grow for ever, and each machine's latest are kept.
//
// `election/<slot>` -> [coordinator 16, before 16 or null, term, reason, wall ms, …]
// `handover/<slot>` -> [role, from 16 or null, to 16, [term, coordinator 16, number], reason, wall ms, …]
//
// Roles and reasons are written as they are called, since newer versions have more of them.
import { checker } from './check.ts';
import { decode, encode } from './codec.ts';
import { idToBytes, type PeerId } from './ids.ts';
import { TERM_MAX, VALUE_BYTES_MAX } from './limits.ts';
import type { Value } from './operation.ts';
import { type FencingToken, isRole, type Role, type Term } from './roles.ts';
import type { WallClock } from './time.ts';

/** Of each kind and origin. A household of six that restarts its machines daily has a week of them. */
export const COORDINATION_SLOTS = 64;
const SLOT = /^\d\d$/;
const SLOT_DIGITS = 2;
const REASON = /^[a-z-]{1,32}$/;

/** Place of an event in the ring. */
export type Slot = number;

export interface ElectionRecord {
  readonly coordinator: PeerId;
  /** Whom its electors knew as coordinator before; null: of none. */
  readonly before: PeerId | null;
  readonly term: Term;
  readonly reason: string;
  /** For people. */
  readonly at: WallClock;
}

export interface HandoverRecord {
  readonly role: Role;
  /** null: nobody that is known of had it. */
  readonly from: PeerId | null;
  readonly to: PeerId;
  readonly token: FencingToken;
  readonly why: string;
  /** For people. */
  readonly at: WallClock;
}

const check = checker('BAD_OPERATION');
const tuple = (value: Value, least: number): unknown[] => check.list(decode(value, { bytesMax: VALUE_BYTES_MAX, code: 'BAD_OPERATION' }), least);

/** @param count how many events of the kind this origin has written before */
export const slotOf = (count: number): Slot => count % COORDINATION_SLOTS;
const slotText = (slot: Slot): string => String(slot).padStart(SLOT_DIGITS, '0');

export const electionKey = (slot: Slot): string => `election/${slotText(slot)}`;
export const handoverKey = (slot: Slot): string => `handover/${slotText(slot)}`;

function parse(key: string, wanted: 'election' | 'handover'): Slot | undefined {
  const [kind, digits = '', more] = key.split('/');
  if (kind !== wanted || !SLOT.test(digits) || more !== undefined) return undefined;
  const slot = Number(digits);
  return slot < COORDINATION_SLOTS ? slot : undefined;
}

export const parseElectionKey = (key: string): Slot | undefined => parse(key, 'election');
export const parseHandoverKey = (key: string): Slot | undefined => parse(key, 'handover');

export const encodeElection = ({ coordinator, before, term, reason, at }: ElectionRecord): Value =>
  encode([idToBytes(coordinator), before && idToBytes(before), term, reason, at]);

/** @throws PeerError BAD_OPERATION */
export function decodeElection(value: Value): ElectionRecord {
  const [coordinator, before, term, reason, at] = tuple(value, 5);
  return { coordinator: check.id<PeerId>(coordinator), before: anyPeer(before), term: termOf(term), reason: reasonOf(reason), at: check.count(at) };
}

export const encodeHandover = ({ role, from, to, token, why, at }: HandoverRecord): Value =>
  encode([role, from && idToBytes(from), idToBytes(to), [token.term, idToBytes(token.coordinator), token.number], why, at]);

/** @throws PeerError BAD_OPERATION */
export function decodeHandover(value: Value): HandoverRecord {
  const [role, from, to, token, why, at] = tuple(value, 6);
  const [term, coordinator, number] = check.list(token, 3);
  return {
    role: isRole(role) ? role : check.fail('a role'),
    from: anyPeer(from),
    to: check.id<PeerId>(to),
    token: { term: termOf(term), coordinator: check.id<PeerId>(coordinator), number: check.count(number, 1) },
    why: reasonOf(why),
    at: check.count(at),
  };
}

const anyPeer = (value: unknown): PeerId | null => (value === null ? null : check.id<PeerId>(value));

function termOf(value: unknown): Term {
  const term = check.count(value);
  return term <= TERM_MAX ? term : check.fail('a term');
}

const reasonOf = (value: unknown): string => (typeof value === 'string' && REASON.test(value) ? value : check.fail('a reason'));
