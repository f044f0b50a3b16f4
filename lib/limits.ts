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

/** Unverified senders whose counters are remembered, apart from the verified so that old captures cannot displace them. */
export const UNVERIFIED_SENDERS_MAX = 256;
/** Boots asked at once for a proof that they live: a network of 200 that all start together. */
export const CHALLENGES_PENDING_MAX = 256;
/** Of these, boots said to be at one host: the peers of a demo or a test on one machine. */
export const CHALLENGES_PER_HOST_MAX = 64;

/** Of an answer in one datagram: 1,171 bytes are free in a sealed one, 21 of them for numbers. A chunk makes 57. */
export const SLICE_BYTES = 1_150;
/** Asked for by one datagram: its loss costs no more than these, and who answers sends no burst of more. */
export const SLICES_PER_FETCH_MAX = 16;
/** Slices of one peer under way: 147 KB, which is 10 Mbit/s at 118 ms; half of that is lost and asked for again at the worst. */
export const SLICES_IN_FLIGHT_MAX = 128;
/** Answers of which slices may still be asked for: 16 chunks of some songs for some peers, 8 MiB. */
export const ANSWERS_KEPT_MAX = 128;

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

/** The first frame, before anybody has shown who they are: a name and some numbers. */
export const HELLO_BYTES_MAX = 4 * KiB;
/** Calls from one address that have not finished their handshake; a LAN behind one router shares an address. */
export const HANDSHAKES_PER_HOST_MAX = 32;
/** Bytes of one streamed reply on the way to its reader: fills 1 Gbit/s at 8 ms round trip. */
export const STREAM_CREDIT_BYTES = 1 * MiB;
/** A connection silent for so long is asked for a sign of life, and given as long again to answer. */
export const KEEPALIVE_MS = 10_000;

// --- songs

/** The unit that is asked for, verified and cached: 26 ms at 20 Mbit/s. */
export const CHUNK_BYTES = 64 * KiB;
/** Chunks asked for at once of one song: they fill 1 Gbit/s at 10 ms round trip, and three lines of 100 Mbit/s, measured. */
export const CHUNKS_IN_FLIGHT_MAX = 20;
/** Of one payload: peers that are asked for it, and receivers that a provider tells each other of. A household that begins the
 *  same album; beyond it each knows enough others. */
export const RECEIVERS_MAX = 32;
/** Who lied of which payload; each that is forgotten costs one more wrong chunk. */
export const LIES_REMEMBERED_MAX = 1_024;
/** Songs that play here, of which the next one is fetched before they end; a player in every room. */
export const PREFETCHES_MAX = 64;
/** Files that are brought on behind a piece that a player took, those that were taken last: what is brought is not evicted, and a cache may be small. */
export const GOING_ON_MAX = 8;
/** Of how many files it is known where the last piece ended. */
export const PIECES_REMEMBERED_MAX = 256;
/** Songs of which it is remembered which file was chosen to be read: a day of them on every player of a house, a megabyte. */
export const CHOSEN_FILES_MAX = 1_024;
/** Payloads of which it is remembered who fetches them from here. */
export const PAYLOADS_SERVED_MAX = 256;
/** Chunks read and on their way to the kernel, for all receivers together: what 1 Gbit/s takes in 8 ms. */
export const UPLOADS_AT_ONCE = 16;
/** Chunks fetched ahead into the cache that are chosen from: most songs, so that receivers of one song have different ones. */
export const FILL_CHUNKS_MAX = 256;
/** A payload of 32 GiB has a 16 MiB manifest; longer recordings than 20 hours of DSD are not songs. */
export const MANIFEST_BYTES_MAX = 16 * MiB;
/** Tags with pictures; larger ones are cut from the file's head, and the file is served as one payload. */
export const PREFIX_BYTES_MAX = 64 * MiB;
/** A piece of a manifest or of a file's edge: half a frame, so that chunks of other songs on the connection are not held up for long. */
export const PIECE_BYTES_MAX = 128 * KiB;
/** Pieces of one edge asked for at once: half a megabyte hides the round trip and still lets a chunk in between. */
export const PIECES_IN_FLIGHT_MAX = 4;
/** Chunks asked for or waiting in memory in front of one reader: 2 MiB, whatever its consumer does. */
export const READ_AHEAD_CHUNKS = 32;
/** Chunks that may wait for the cache's disk: 4 MiB. Beyond it a chunk is not cached, because playing must not wait for a disk. */
export const CACHE_WRITES_MAX = 64;
/** Files kept open for reading and caching: 16 streams with two files each, far below the usual bound of 1,024. */
export const OPEN_FILES_MAX = 64;
/** Manifests kept in memory: two hundred of an hour's recording, or two of the largest. */
export const MANIFESTS_CACHED_BYTES = 2 * MANIFEST_BYTES_MAX;
/** Prefixes and suffixes of files that are read here, kept in memory: a player asks twice, and their holder may leave before it asks again. Some covers. */
export const EDGES_CACHED_BYTES = 16 * MiB;
/** Hashes of the pieces of edges that are read from disk, of own files and as much of copies: those of 4 GiB of covers. */
export const EDGE_SUMS_CACHED_BYTES = 1 * MiB;

// --- operations

/** `holding/<song>/<file>` is 73; a play with the longest name of a profile is 247. */
export const KEY_BYTES_MAX = 256;
/** All of one song's tags; longer texts are cut at the scanner. */
export const VALUE_BYTES_MAX = 8 * KiB;
/** Operations of one frame of a delta. */
export const OPERATIONS_PER_FRAME = 256;
/** Starts of one origin that wrote: seven years of three a day. A vector of so many, 16 bytes each, fits one frame. */
export const EPOCHS_PER_ORIGIN_MAX = 8_192;
/** Peers that a network ever knew; a vector hash for each is 48 bytes. */
export const ORIGINS_MAX = 16_384;
/** Networks of one name that a person has united; each was somebody's own first. */
export const NETWORKS_MAX = 64;
/** Operations that wait for one before them; beyond it the beats' heads bring them anyway. */
export const GAP_OPERATIONS_MAX = 4_096;
/** Of one delta, which lies aside on the disk while it comes in: a machine with half a million songs. */
export const DELTA_BYTES_MAX = 256 * MiB;

// --- coordination

/** A counter of elections that no network ever reaches by counting: one a second for nine million years. */
export const TERM_MAX = 2 ** 48;
/** A term so far above one's own is a fault, and not followed: nobody could claim above those at the end of the range. */
export const TERM_LEAP_MAX = 2 ** 32;

// --- services

/** Params of a call or its answer: the ids of HTTP_SONGS_MAX songs are 14 KB, and SERVICE_CALLS_MAX of these fit a service's heap. */
export const SERVICE_MESSAGE_BYTES_MAX = 64 * KiB;
/** Calls under way in one service: a player in every room, twice. */
export const SERVICE_CALLS_MAX = 64;

// --- copies

/** Files whose beginnings and ends one copy has: of a song that everybody tagged otherwise. */
export const COPY_FILES_MAX = 64;
/** Machines for each song; more is a backup of everything on everything. */
export const COPIES_MAX = 8;
/** Songs that one machine is asked to fetch and has not fetched yet: a request of 9 KB, and minutes of work. */
export const COPIES_QUEUED_MAX = 256;
/** Own copies that are to be made whole again; what is left out is found at the next start. */
export const HEALS_QUEUED_MAX = 1_024;
/** Songs placed at once: the call and its answer fit SERVICE_MESSAGE_BYTES_MAX, with the machines. */
export const PLACED_SONGS_MAX = 500;
/** Machines that songs are placed on at once: a large LAN, within the same page. */
export const PLACED_TARGETS_MAX = 256;
/** Songs that one person keeps on one machine. */
export const PINS_MAX = 10_000;
/** Songs that `safe` lists of one machine; their number is told. */
export const VANISHING_SONGS_MAX = 1_000;

// --- people's texts

export const NAME_CHARACTERS_MAX = 63;
/** Fits `spotify-peer-<network>` into one DNS label of 63 bytes. */
export const NETWORK_NAME_CHARACTERS_MAX = 32;
/** Shorter ones are guessed from captured traffic, scrypt or not. */
export const PASSPHRASE_CHARACTERS_MIN = 12;
export const PASSPHRASE_CHARACTERS_MAX = 256;
export const TAG_CHARACTERS_MAX = 512;
export const TAG_VALUES_MAX = 16;
export const QUERY_CHARACTERS_MAX = 512;
/** Words of a query that are looked at: enough for any title, and the work of a search grows with them. */
export const QUERY_WORDS_MAX = 16;
/** Letters of a word that are looked at; longer words are equal if these are. */
export const WORD_CHARACTERS_MAX = 40;
export const SEARCH_RESULTS_MAX = 10_000;

// --- what people make

/** Of a profile: at most six bytes each in a key, so that `play/<profile>/<song>/<play>` stays within KEY_BYTES_MAX. */
export const PROFILE_CHARACTERS_MAX = 32;
export const PLAYLIST_NAME_CHARACTERS_MAX = 128;
/** Each is a register on every peer and a line of a table; a month of music without a pause. */
export const PLAYLIST_ITEMS_MAX = 10_000;
/** Inserting into the same gap again and again adds a character every sixth time; beyond this all items get fresh positions. */
export const POSITION_CHARACTERS_MAX = 128;
/** Of a playback session: 17 bytes each, which leaves VALUE_BYTES_MAX room for the rest. */
export const QUEUE_SONGS_MAX = 400;

// --- HTTP

/** Songs named by one request: 35 bytes each of HTTP_BODY_BYTES_MAX. */
export const HTTP_SONGS_MAX = 400;
/** Songs of one answer to a search: a few milliseconds to write as JSON, which delay no beat. */
export const HTTP_PAGE_SONGS_MAX = 1_000;
/** The largest body that any request needs is a network's code. */
export const HTTP_BODY_BYTES_MAX = 16 * KiB;
/** Players and pages of one household; each open page holds one for its events. */
export const HTTP_CONNECTIONS_MAX = 512;
/** Of those, pages that follow events. */
export const HTTP_EVENT_STREAMS_MAX = 128;
/** Events of one page of the log: a few milliseconds to read and to write as JSON. */
export const HTTP_PAGE_EVENTS_MAX = 1_000;
/** Events that one follower of the log may lag behind: the plays of a year that come with a machine, 10 MB. */
export const HTTP_LOG_QUEUE_EVENTS_MAX = 65_536;
/** Bytes that a page may lag behind its events before it is cut off; it reconnects and asks for everything. */
export const HTTP_EVENT_QUEUE_BYTES_MAX = 64 * KiB;
/** Play URLs remembered; the least recently used go first. */
export const PLAY_URLS_MAX = 4_096;
/** An evening of listening with pauses. */
export const PLAY_URL_LIFE_MS = 12 * 3_600_000;
/** Login links that are still unused. */
export const LOGIN_LINKS_MAX = 64;
/** Long enough to walk to the sofa with a phone. */
export const LOGIN_LINK_LIFE_MS = 15 * 60_000;
/** A browser stays logged in for half a year. */
export const HTTP_SESSION_LIFE_MS = 180 * 86_400_000;
/** Changes (POST) and logins of one address: a burst, and how many a second refill it. `join` derives keys on purpose slowly. */
export const HTTP_CHANGES_BURST = 60;
export const HTTP_CHANGES_PER_SECOND = 5;
/** Addresses whose rate is remembered. */
export const HTTP_ADDRESSES_MAX = 4_096;
/** Ports that are tried after the default one. */
export const HTTP_PORT_TRIES = 32;
/** Files that cannot be shared, as listed for a person. */
export const FILE_PROBLEMS_MAX = 10_000;

// --- music files (a file is as untrusted as a datagram: anybody can drop one into a folder)

/** Read at once while looking for a file's structure; ID3, STREAMINFO, `moov` and Ogg headers without pictures fit. */
export const SCAN_BLOCK_BYTES = 64 * KiB;
/** Junk tolerated between the tags and the first frame; farther in, a sync word is chance. */
export const FRAME_SEARCH_BYTES = 64 * KiB;
/** One read of the tag parser: a picture fits, a size field that lies about 256 MiB does not. */
export const TAG_READ_BYTES_MAX = 32 * MiB;
/** Tags stacked at one end of a file; real files have up to three. */
export const STACKED_TAGS_MAX = 16;
/** Boxes, chunks, metadata blocks or header pages walked to find a payload; fragmented recordings have more, and are one payload. */
export const CONTAINER_PARTS_MAX = 4_096;
/** A week: what says that it plays longer is damaged. */
export const DURATION_MS_MAX = 7 * 86_400_000;
/** 16 genres of three-byte characters still fit into VALUE_BYTES_MAX beside four full texts. */
export const GENRE_CHARACTERS_MAX = 32;
/** Folders in folders; deeper is a loop that inodes did not show (network and FUSE mounts). */
export const FOLDER_DEPTH_MAX = 32;
/** Files of one machine: a delta of DELTA_BYTES_MAX carries them all. */
export const FILES_MAX = 1_000_000;
/** A scan worker that reads nothing for so long hangs, in a parser or in a dead disk. */
export const SCAN_STALL_MS = 30_000;

// --- discovery

/** Linux lets one socket join 20 groups; a machine with more interfaces than this is a container host. */
export const INTERFACES_MAX = 16;
/** A host name as DNS allows it. */
export const HOST_CHARACTERS_MAX = 253;
/** Members in the table; beyond it the one that is gone longest makes room. */
export const MEMBERS_MAX = 1024;
/** Askers who wait here for a member's sign of life: each of 64 peers suspects the same one. */
export const RELAYS_PENDING_MAX = 64;
/** Addresses kept of one peer: a few interfaces, an advertised one, and what it had before. */
export const ADDRESSES_PER_PEER_MAX = 8;
/** Peers whose addresses are kept, and handed out at once. */
export const PEERS_REMEMBERED_MAX = 1024;
/** Instances that one browser remembers; it is replaced beyond that, since it forgets none by itself. */
export const INSTANCES_MAX = 1024;
/** Peers of other versions that are spoken of: a household that is being updated. Anybody can make them up. */
export const OTHER_VERSIONS_MAX = 64;
/** Addresses that claim one name of a gateway at a time; an attacker's are as good as anybody's, and the oldest is forgotten. */
export const LAN_NAME_CLAIMS_MAX = 16;
/** One label of a DNS name. */
export const LABEL_BYTES_MAX = 63;
/** One item of a TXT record has one byte for its length. */
export const TXT_BYTES_MAX = 255;
