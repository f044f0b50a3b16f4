// A bound for everything that comes from outside, with its reason. Checked before anything is parsed or allocated.

const KiB = 1024;
const MiB = 1024 * KiB;

// --- datagrams

/** Fits an Ethernet frame with IPv6 and a tunnel's overhead: never fragmented, so one lost fragment loses nothing more. */
export const DATAGRAM_BYTES_MAX = 1232;
/** Asked of the kernel: Linux's default of 208 KiB holds 92 datagrams while the event loop is busy, this holds 910. */
export const RECEIVE_BUFFER_BYTES = 1 * MiB;
/** Above this rate new operations are not multicast: receivers lose bursts, and pulling a delta is cheaper. */
export const MULTICAST_PER_SECOND_MAX = 10;
/** Counters remembered per sender against replay; reordering beyond it counts as a replay. */
export const REPLAY_WINDOW = 1024;
/** Senders (bootIds) remembered: four times the largest LAN we model. */
export const SENDERS_MAX = 1024;

// --- frames and requests

/** One frame on a stream: a chunk with its header, or 256 operations. */
export const FRAME_BYTES_MAX = 256 * KiB;
/** Requests under way on one connection; 16 chunks pipelined for several songs. */
export const REQUESTS_IN_FLIGHT_MAX = 256;
/** Bytes queued for sending on one connection before its producer has to wait. */
export const SEND_QUEUE_BYTES_MAX = 4 * MiB;
export const CONNECTIONS_MAX = 512;
export const HANDSHAKE_TIMEOUT_MS = 5_000;
export const REQUEST_TIMEOUT_MS = 10_000;

// --- songs

/** The unit that is asked for, verified and cached: 26 ms at 20 Mbit/s. */
export const CHUNK_BYTES = 64 * KiB;
/** Chunks asked for at once of one song: a megabyte in flight fills 1 Gbit/s at 8 ms round trip. */
export const CHUNKS_IN_FLIGHT_MAX = 16;
/** A payload of 32 GiB has a 16 MiB manifest; longer recordings than 20 hours of DSD are not songs. */
export const MANIFEST_BYTES_MAX = 16 * MiB;
/** Tags with pictures; larger ones are cut from the file's head, and the file is served as one payload. */
export const PREFIX_BYTES_MAX = 64 * MiB;

// --- operations

/** `holding/<song>/<file>` is 73; playlist items will need two ids and a position. */
export const KEY_BYTES_MAX = 256;
/** All of one song's tags; longer texts are cut at the scanner. */
export const VALUE_BYTES_MAX = 8 * KiB;
/** Operations of one frame of a delta. */
export const OPERATIONS_PER_FRAME = 256;
/** Starts of one origin that wrote: 30 years of three a day. */
export const EPOCHS_PER_ORIGIN_MAX = 32_768;
/** Peers that a network ever knew; a vector hash for each is 48 bytes. */
export const ORIGINS_MAX = 16_384;
/** Operations that wait for one before them; beyond it the beats' heads bring them anyway. */
export const GAP_OPERATIONS_MAX = 4_096;
/** Operations of one delta: twice the million songs that one machine may have. */
export const DELTA_OPERATIONS_MAX = 2_000_000;

// --- people's texts

export const NAME_CHARACTERS_MAX = 63;
export const TAG_CHARACTERS_MAX = 512;
export const TAG_VALUES_MAX = 16;
export const QUERY_CHARACTERS_MAX = 512;
export const SEARCH_RESULTS_MAX = 10_000;
