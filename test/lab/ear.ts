// Somebody who listens, by HTTP, as a player does: a bounded buffer, eaten at the song's bitrate once there is something to hear, and every
// byte compared with the original. A stall is an empty buffer before the song's end.
//
// Its clock may run faster than the world's, so that a song lasts seconds and any trouble on the network is so much harder to bridge. The
// clock stands still while this process gets no processor: a player that is not run stutters by itself, and says nothing of the peer.
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';
import type { Host } from './lab.ts';

const HTTP_HOST = '127.0.0.1:7700';
const TICK_MS = 10;
/** What of a pause between two ticks is believed: longer ones are this process's own. */
const TICK_MS_MAX = 25;
/** Nothing comes any more; what waits so long for a byte has hung. */
const SILENCE_MS_MAX = 60_000;

/** `stream`: one answer, taken as the buffer empties, as VLC does; `ranges`: piece after piece, as Safari does. */
export type Manner = 'stream' | 'ranges';

/** Of one socket, each way: three seconds of a song. */
const KERNEL_BYTES = 131_072;
const RANGE_BYTES = 256 * 1024;
/** In the player's seconds: it begins to play with so much, as VLC does. What comes first of many files is a header, and no sound. */
const BEGIN_SECONDS = 1;

export interface Listening {
  /** A socket that leads to the peer's HTTP. */
  readonly socket: string;
  readonly path: string;
  /** What has to come, from its first byte to its last: one of these, told apart by their lengths. */
  readonly expected: readonly [Buffer, ...Buffer[]];
  /** At the speed of the world. */
  readonly bytesPerSecond: number;
  /** How much faster the player's clock runs. */
  readonly speed: number;
  /** In the player's seconds. */
  readonly bufferSeconds: number;
  readonly manner: Manner;
  /** Where to begin, as somebody does who jumps. */
  readonly from?: number;
  /** Where to leave, as somebody does who picks another song. */
  readonly to?: number;
}

export interface Stall {
  /** By `performance.now`. */
  readonly at: number;
  /** In milliseconds of the world. */
  readonly ms: number;
}

export interface Heard {
  /** In milliseconds of the world. */
  readonly firstByteMs: number;
  /** When it began to play. */
  readonly firstSoundMs: number;
  readonly stalls: readonly Stall[];
  /** What came, heard or not. */
  readonly bytes: number;
  /** What went wrong; undefined when each byte came and was right. */
  readonly failure?: string;
}

/** Bounds what the kernel of the host keeps of a connection; else it takes whole songs, and a player that hardly reads holds nobody up. */
export async function boundKernelBuffers(host: Host): Promise<void> {
  const bytes = `'4096 65536 ${KERNEL_BYTES}'`;
  await host.run('sh', ['-c', `echo ${bytes} > /proc/sys/net/ipv4/tcp_rmem && echo ${bytes} > /proc/sys/net/ipv4/tcp_wmem`]);
}

/** Plays to the end, or to the first failure. Never rejects. */
export function listen(listening: Listening): Promise<Heard> {
  return new Promise((resolve) => new Ear(listening, resolve));
}

const ears = new Set<Ear>();
let ticking: NodeJS.Timeout | undefined;
let tickedAt = 0;

function tick(): void {
  const now = performance.now();
  const ms = Math.min(TICK_MS_MAX, now - tickedAt);
  tickedAt = now;
  for (const ear of ears) ear.passed(ms);
}

class Ear {
  readonly #listening: Listening;
  readonly #done: (heard: Heard) => void;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #beganAt = performance.now();
  readonly #bufferBytes: number;
  readonly #beginBytes: number;
  readonly #bytesPerMs: number;
  /** The one that the first answer is of. */
  #expected: Buffer;
  #isChosen = false;
  /** Positions in it. */
  #received: number;
  #played: number;
  #firstByteMs: number | undefined;
  #firstSoundMs: number | undefined;
  readonly #stalls: { at: number; ms: number }[] = [];
  #stalled = false;
  #silentMs = 0;
  #asked: ClientRequest | undefined;
  #answer: IncomingMessage | undefined;

  constructor(listening: Listening, done: (heard: Heard) => void) {
    this.#listening = listening;
    this.#done = done;
    this.#expected = listening.expected[0];
    this.#received = this.#played = listening.from ?? 0;
    this.#bytesPerMs = (listening.bytesPerSecond * listening.speed) / 1000;
    this.#beginBytes = listening.bytesPerSecond * BEGIN_SECONDS;
    this.#bufferBytes = listening.bytesPerSecond * listening.bufferSeconds;
    if (ears.size === 0) {
      tickedAt = performance.now();
      ticking = setInterval(tick, TICK_MS);
    }
    ears.add(this);
    this.#ask();
  }

  passed(ms: number): void {
    this.#silentMs += ms;
    if (this.#silentMs > SILENCE_MS_MAX) return this.#end(`nothing came for ${SILENCE_MS_MAX} ms at byte ${this.#received}`);
    if (this.#firstSoundMs === undefined) return;
    const expected = this.#expected;
    this.#played += ms * this.#bytesPerMs;
    if (this.#played >= this.#received) {
      if (this.#received === expected.byteLength) return this.#end();
      const lackedMs = (this.#played - this.#received) / this.#bytesPerMs;
      this.#played = this.#received;
      if (!this.#stalled) this.#stalls.push({ at: performance.now(), ms: 0 });
      this.#stalled = true;
      (this.#stalls.at(-1) as { ms: number }).ms += lackedMs;
    }
    if (this.#played >= (this.#listening.to ?? Number.POSITIVE_INFINITY)) return this.#end();
    if (this.#room < 0 || this.#received === expected.byteLength) {
      this.#silentMs = 0; // it is we who do not want
      return;
    }
    if (this.#answer?.isPaused()) this.#answer.resume();
    if (this.#asked === undefined && (this.#room >= RANGE_BYTES || this.#buffered < this.#bufferBytes / 2)) this.#ask();
  }

  get #buffered(): number {
    return this.#received - this.#played;
  }

  get #room(): number {
    return this.#bufferBytes - this.#buffered;
  }

  #ask(): void {
    const { socket, path, manner } = this.#listening;
    const start = this.#received;
    const asksFor = manner === 'ranges' ? Math.min(start + RANGE_BYTES, this.#expected.byteLength) : undefined;
    const isPart = start > 0 || asksFor !== undefined;
    const asked = request({ socketPath: socket, path, agent: this.#agent, headers: { host: HTTP_HOST, ...(isPart && { range: `bytes=${start}-${asksFor === undefined ? '' : asksFor - 1}` }) } }, (answer) => {
      this.#answer = answer;
      if (answer.statusCode !== (isPart ? 206 : 200)) return this.#end(`answered ${answer.statusCode} at byte ${start}`);
      const bytes = Number(isPart ? answer.headers['content-range']?.split('/')[1] : answer.headers['content-length']);
      if (!this.#isChosen) this.#expected = this.#listening.expected.find(({ byteLength }) => byteLength === bytes) ?? this.#expected;
      this.#isChosen = true;
      const expected = this.#expected;
      const end = asksFor ?? expected.byteLength;
      if (bytes !== expected.byteLength) return this.#end(`of another file, of ${bytes} bytes, at byte ${start}`);
      if (Number(answer.headers['content-length']) !== end - start) return this.#end(`${answer.headers['content-length']} bytes were promised of ${end - start}`);
      answer.on('data', (part: Buffer) => this.#take(part, answer));
      answer.on('error', (error) => this.#end(`${error.message} at byte ${this.#received}`));
      answer.on('end', () => {
        if (this.#received < end) return this.#end(`cut at byte ${this.#received} of ${expected.byteLength}`);
        this.#asked = this.#answer = undefined;
      });
    });
    asked.on('error', (error) => this.#end(`${error.message} at byte ${this.#received}`));
    asked.end();
    this.#asked = asked;
  }

  #take(part: Buffer, answer: IncomingMessage): void {
    if (!ears.has(this)) return; // what was on its way when it failed
    const expected = this.#expected;
    this.#silentMs = 0;
    this.#firstByteMs ??= performance.now() - this.#beganAt;
    if (Buffer.compare(part, expected.subarray(this.#received, this.#received + part.byteLength)) !== 0) {
      const at = part.findIndex((byte, i) => byte !== expected[this.#received + i]);
      return this.#end(`WRONG byte ${this.#received + at}`);
    }
    this.#received += part.byteLength;
    this.#stalled = false;
    if (this.#buffered >= this.#beginBytes || this.#received === expected.byteLength) this.#firstSoundMs ??= performance.now() - this.#beganAt;
    if (this.#room < 0) answer.pause();
  }

  #end(failure?: string): void {
    if (!ears.delete(this)) return;
    if (ears.size === 0) clearInterval(ticking);
    this.#asked?.destroy();
    this.#agent.destroy();
    const { POSITIVE_INFINITY: never } = Number;
    this.#done({ firstByteMs: this.#firstByteMs ?? never, firstSoundMs: this.#firstSoundMs ?? never, stalls: this.#stalls, bytes: this.#received - (this.#listening.from ?? 0), ...(failure !== undefined && { failure }) });
  }
}
