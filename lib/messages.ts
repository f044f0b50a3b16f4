// Every datagram's payload, in one union. Each message says what its receiver does. They travel sealed (lib/seal.ts), so a
// decoder meets only what a holder of the network's key wrote; it still trusts nothing.
import type { Challenge, CloneNotice, Proof } from './boot-messages.ts';
import { checker } from './check.ts';
import { type CoordinationMessage, coordinationOf, coordinationTuple, type Pulse, pulseOf, pulseTuple, rolesBits, rolesOfBits } from './coordination-messages.ts';
import { decode, encode } from './codec.ts';
import { type BootId, type EpochId, hex, idToBytes, type NetworkId, type PeerId } from './ids.ts';
import type { Lamport } from './lamport.ts';
import { DATAGRAM_BYTES_MAX } from './limits.ts';
import { fromTuple, type Operation, toTuple } from './operation.ts';
import type { Role } from './roles.ts';
import { type Fetch, fetchOf, fetchTuple, type Refusal, refusalOf, refusalTuple, type Slice, sliceOf, sliceTuple } from './slice-messages.ts';
import type { Millis } from './time.ts';

/** What replication needs to know of a beat. */
export interface ReplicaBeat {
  readonly kind: 'beat';
  /** Where the sender takes unicast datagrams and streams. */
  readonly port: number;
  /** When the next beat may be expected. */
  readonly periodMs: Millis;
  readonly lamport: Lamport;
  /** Hash over all origins' vectors: equal roots mean nothing to sync. */
  readonly root: Uint8Array;
  /** The sender's own current log: who misses its end pulls. */
  readonly head: { readonly epoch: EpochId; readonly seq: number } | null;
  /** First 4 bytes, in hex, of members whom the sender lately heard: up to six, in rotation. */
  readonly heard: readonly string[];
  /** "I do not hear your multicast": the receiver sends its beats here by unicast as well. */
  readonly asks: boolean;
  /** The network's id, once it is minted. Operations pass between peers of one network only. */
  readonly network: NetworkId | null;
  /** Does the sender hold anything that a person made? Its network gives way to no other. */
  readonly user: boolean;
}

/** "I live." The receiver notes when it heard whom, who coordinates and who holds which role, compares what the sender holds with
 *  its own, and syncs if they differ. */
export interface Beat extends ReplicaBeat {
  readonly pulse: Pulse;
  readonly offer: Offer;
}

/** What the coordinator weighs when it grants roles. */
export interface Offer {
  /** Roles that the sender may hold. */
  readonly roles: readonly Role[];
  /** How busy its machine is, in roles: 2 for each processor's worth of work, shared by its processors. */
  readonly load: number;
  /** Doublings of its uptime since its first minute. */
  readonly stability: number;
}

/** "I leave." The receiver marks the sender as left without suspecting it first. */
export interface Goodbye {
  readonly kind: 'goodbye';
}

/** "Are you there?" The receiver answers with a pong of the same nonce to where it came from. */
export interface Ping {
  readonly kind: 'ping';
  readonly nonce: number;
}

export interface Pong {
  readonly kind: 'pong';
  readonly nonce: number;
}

/** New operations of their origin. The receiver applies those that follow what it holds and keeps the others aside, if they
 *  are of its own network. */
export interface Operations {
  readonly kind: 'operations';
  readonly network: NetworkId;
  readonly operations: readonly Operation[];
}

export type Message = Beat | Goodbye | Ping | Pong | Operations | Challenge | Proof | CloneNotice | Fetch | Slice | Refusal | CoordinationMessage;

/** First element of the tuple on the wire. Numbers are never used again for something else. */
const TYPE = {
  beat: 1,
  goodbye: 2,
  ping: 3,
  pong: 4,
  operations: 5,
  challenge: 6,
  proof: 7,
  fetch: 8,
  slice: 9,
  refusal: 10,
  clone: 11,
  pulse: 12,
  election: 13,
  answer: 14,
  coordinator: 15,
  suspect: 16,
  promised: 17,
  grant: 18,
  revoke: 19,
  release: 20,
  relay: 21,
  relayed: 22,
  died: 23,
} as const satisfies { readonly [kind in Message['kind']]: number };

const COORDINATION_KINDS = ['pulse', 'election', 'answer', 'coordinator', 'suspect', 'promised', 'grant', 'revoke', 'release', 'relay', 'relayed', 'died'] as const satisfies readonly CoordinationMessage['kind'][];
const coordinationKindOf = new Map<unknown, CoordinationMessage['kind']>(COORDINATION_KINDS.map((kind) => [TYPE[kind], kind]));

const FLAG_ASKS = 1;
const FLAG_USER = 2;
/** One byte of CBOR. */
const SMALL_MAX = 23;

const ROOT_BYTES = 8;
const HEARD_BYTES = 4;
/** Short names in one beat: six fit 150 bytes with everything else. */
export const HEARD_MAX = 6;

export const heardName = (peer: PeerId): string => peer.slice(0, HEARD_BYTES * 2);

export function encodeMessage(message: Message): Buffer {
  switch (message.kind) {
    case 'beat':
      return encode([
        TYPE.beat,
        message.port,
        Math.round(message.periodMs),
        message.lamport,
        message.root.subarray(0, ROOT_BYTES),
        message.head ? [idToBytes(message.head.epoch), message.head.seq] : null,
        Buffer.from(message.heard.join(''), 'hex'),
        message.network ? idToBytes(message.network) : null,
        (message.asks ? FLAG_ASKS : 0) | (message.user ? FLAG_USER : 0),
        rolesBits(message.offer.roles),
        Math.min(message.offer.load, SMALL_MAX),
        Math.min(message.offer.stability, SMALL_MAX),
        pulseTuple(message.pulse),
      ]);
    case 'goodbye':
      return encode([TYPE.goodbye]);
    case 'ping':
    case 'pong':
      return encode([TYPE[message.kind], message.nonce]);
    case 'operations': {
      const [first] = message.operations;
      return encode([TYPE.operations, idToBytes(message.network), first ? idToBytes(first.origin) : null, message.operations.map(toTuple)]);
    }
    case 'challenge':
      return encode([TYPE.challenge, message.nonce, message.padding, message.boot && idToBytes(message.boot), message.verifier && idToBytes(message.verifier)]);
    case 'proof':
      return encode([TYPE.proof, message.nonce, message.counter, message.publicKey, message.signature, message.boot && idToBytes(message.boot)]);
    case 'clone':
      return encode([TYPE.clone, idToBytes(message.boot)]);
    case 'fetch':
      return encode([TYPE.fetch, ...fetchTuple(message)]);
    case 'slice':
      return encode([TYPE.slice, ...sliceTuple(message)]);
    case 'refusal':
      return encode([TYPE.refusal, ...refusalTuple(message)]);
    default:
      return encode([TYPE[message.kind], ...coordinationTuple(message)]);
  }
}

const check = checker('BAD_MESSAGE');
const idOrNull = <Id extends string>(value: unknown): Id | null => (value === null ? null : check.id<Id>(value));

/** @returns undefined for a kind that only a newer version knows
 *  @throws PeerError BAD_MESSAGE, BAD_OPERATION */
export function decodeMessage(bytes: Uint8Array): Message | undefined {
  const [type, ...rest] = check.list(decode(bytes, { bytesMax: DATAGRAM_BYTES_MAX, code: 'BAD_MESSAGE' }), 1);
  switch (type) {
    case TYPE.beat:
      return decodeBeat(rest);
    case TYPE.goodbye:
      return { kind: 'goodbye' };
    case TYPE.ping:
      return { kind: 'ping', nonce: check.count(rest[0]) };
    case TYPE.pong:
      return { kind: 'pong', nonce: check.count(rest[0]) };
    case TYPE.operations: {
      const network = check.id<NetworkId>(rest[0]);
      const origin = check.id<PeerId>(rest[1]);
      return { kind: 'operations', network, operations: check.list(rest[2], 1).map((tuple) => fromTuple(origin, tuple)) };
    }
    case TYPE.challenge:
      return {
        kind: 'challenge',
        nonce: check.bytes(rest[0], { exactly: 16 }),
        padding: check.bytes(rest[1], { atMost: DATAGRAM_BYTES_MAX }),
        boot: idOrNull<BootId>(rest[2]),
        verifier: idOrNull<PeerId>(rest[3]),
      };
    case TYPE.proof:
      return {
        kind: 'proof',
        nonce: check.bytes(rest[0], { exactly: 16 }),
        counter: check.count(rest[1]),
        publicKey: check.bytes(rest[2], { exactly: 32 }),
        signature: check.bytes(rest[3], { exactly: 64 }),
        boot: idOrNull<BootId>(rest[4]),
      };
    case TYPE.clone:
      return { kind: 'clone', boot: check.id<BootId>(rest[0]) };
    case TYPE.fetch:
      return fetchOf(rest, check);
    case TYPE.slice:
      return sliceOf(rest, check);
    case TYPE.refusal:
      return refusalOf(rest, check);
    default: {
      check.count(type);
      const kind = coordinationKindOf.get(type);
      return kind && coordinationOf(kind, rest, check);
    }
  }
}

function decodeBeat(tuple: readonly unknown[]): Beat {
  const [port, periodMs, lamport, root, head, heard, network, flags, roles, load, stability, pulse] = check.list(tuple, 12);
  const bits = check.count(flags);
  const names = hex(check.bytes(heard, { atMost: HEARD_MAX * HEARD_BYTES }));
  const ownHead = head === null ? null : check.list(head, 2);
  return {
    kind: 'beat',
    port: check.count(port, 1) < 65_536 ? (port as number) : check.fail('a port'),
    periodMs: check.count(periodMs, 1),
    // zero: before the sender's first event
    lamport: lamport === 0 ? 0 : check.lamport(lamport),
    root: check.bytes(root, { exactly: ROOT_BYTES }),
    head: ownHead && { epoch: check.epoch(ownHead[0]), seq: check.count(ownHead[1], 1) },
    heard: names.match(/.{8}/g) ?? [],
    network: idOrNull<NetworkId>(network),
    asks: (bits & FLAG_ASKS) !== 0,
    user: (bits & FLAG_USER) !== 0,
    offer: { roles: rolesOfBits(check.count(roles)), load: Math.min(check.count(load), SMALL_MAX), stability: Math.min(check.count(stability), SMALL_MAX) },
    pulse: pulseOf(pulse, check),
  };
}
