// What the simulator asks of a peer, and what a peer may ask of its simulated machine. Everything that the world does to a peer
// is an input, everything that a peer does to the world is a call; between two inputs a peer does nothing. What peers say to
// each other is theirs: the simulator carries `content` untouched and has to be told only its size.
import type { PeerId } from '../../lib/ids.ts';
import type { PeerError } from '../../lib/errors.ts';
import type { Random } from '../../lib/random.ts';
import type { Millis, WallClock } from '../../lib/time.ts';
import type { DiskBatch, DiskView } from './disk.ts';

/** A machine on the simulated LAN, by number. A peer is what its disk says, so a cloned one lives on two hosts. */
export type Host = number;
export type StreamId = number;

/** What a person does at a machine, or its scanner. */
export type Command =
  /** null deletes. */
  | { readonly kind: 'write'; readonly key: string; readonly value: string | null }
  /** Joins the network that the peer on `host` is in. */
  | { readonly kind: 'join'; readonly host: Host }
  | { readonly kind: 'forget'; readonly host: Host }
  /** The music folder is another now: see `SimEnv.files`. */
  | { readonly kind: 'scan' }
  /** Its Lamport clock runs ahead, as a broken program's would. */
  | { readonly kind: 'leap'; readonly by: number };

export type SimInput =
  | { readonly kind: 'started' }
  | { readonly kind: 'datagram'; readonly from: Host; readonly via: 'multicast' | 'unicast'; readonly content: unknown }
  /** One that was dialled here, or came from there. */
  | { readonly kind: 'streamOpened'; readonly stream: StreamId; readonly host: Host; readonly dialled: boolean }
  | { readonly kind: 'streamFrame'; readonly stream: StreamId; readonly content: unknown }
  /** The stream has ended, or could not be opened: `refused` when a machine answered that nobody listens. */
  | { readonly kind: 'streamClosed'; readonly stream: StreamId; readonly refused: boolean }
  | { readonly kind: 'expired'; readonly timer: string }
  /** A batch is on the disk, or is not. */
  | { readonly kind: 'diskDone'; readonly token: number; readonly error: PeerError | null }
  | { readonly kind: 'command'; readonly command: Command }
  /** A polite end: say goodbye, the process ends a moment later. */
  | { readonly kind: 'stopping' };

export interface SimPeer {
  input(input: SimInput): void;
}

export interface SimEnv {
  readonly host: Host;
  readonly identity: PeerId;
  /** This boot's own chance: ids, nonces, pauses. */
  readonly random: Random;
  /** Monotonic, and as quick on every host; it stands still while the machine is suspended. */
  readonly now: () => Millis;
  /** The same without standing still. */
  readonly awake: () => Millis;
  /** Wrong on every host in its own way. */
  readonly wall: () => WallClock;
  /** The music folder. */
  readonly files: () => readonly string[];
  readonly disk: DiskView;
  /** Ends with `diskDone` of this token. Batches reach the disk in the order in which they were given. */
  commit(token: number, batch: DiskBatch): void;
  multicast(content: unknown, bytes: number): void;
  send(to: Host, content: unknown, bytes: number): void;
  open(to: Host): StreamId;
  write(stream: StreamId, content: unknown, bytes: number): void;
  close(stream: StreamId): void;
  arm(timer: string, ms: Millis): void;
  disarm(timer: string): void;
  /** Tells the invariants what they cannot see: that a write was acknowledged, that an operation was sent. */
  tell(fact: unknown): void;
  /** A line of the trace; made only when somebody keeps one. */
  log(line: () => string): void;
}
