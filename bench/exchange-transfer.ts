// 100 MB from one process to another on loopback, hashed and written by the receiver: our exchange, WebTorrent, and HTTPS of node, by turns,
// so that all meet the same noise; and whole peers beside them, of which the receiving one gives the song on to a player by HTTP as well,
// which none of the others does. Processor time is that of both ends.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import type { SearchJson, StatusJson } from '../peer/http/schemas.ts';
import { wav } from '../test/lab/music.ts';
import { NO_COPIES } from '../test/lab/peers.ts';
import { until } from '../test/lab/until.ts';
import { load, processorSeconds, row } from './exchange-lab.ts';
import { fetchRival, RIVAL } from './exchange-rival.ts';
import { quantile } from './figures.ts';
import { startProgram } from './program.ts';

/** The first warms all up and does not count. */
const ROUNDS = 6;
const SONG_BYTES = 100_000_000;
const GB = 1e9;
const PATIENCE_MS = 60_000;
/** What comes after the last byte belongs to it: the disk's share, and what was left for later. */
const SETTLE_MS = 300;
const OURS = 'our exchange';
const WHOLE = 'two whole peers and a player';
const END = new URL('./exchange-transfer-end.js', import.meta.url).pathname;

class End {
  readonly child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(argv: readonly string[]) {
    this.child = spawn(process.execPath, [END, ...argv], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  }

  tell(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }

  async hear<T>(): Promise<T> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.child.spawnargs[2]} has ended`);
    return JSON.parse(value) as T;
  }
}

interface Contender {
  readonly name: string;
  /** Whose processor time counts. */
  readonly ends: readonly ChildProcess[];
  readonly taker: End;
  /** By which the taker knows the file of a round. */
  readonly names: readonly string[];
}

const folder = mkdtempSync(join(tmpdir(), 'bench-transfer-'));
const stops: (() => unknown)[] = [];

async function peers(music: string, songs: number): Promise<Contender> {
  const network = ['--network', `bench-${process.pid}`, ...NO_COPIES];
  const giver = await startProgram([music, '--data', join(folder, 'giver'), ...network]);
  await giver.event('scanned');
  const taker = await startProgram([join(folder, 'nothing'), '--data', join(folder, 'taker'), '--cache', '10GB', ...network]);
  stops.push(() => giver.child.kill('SIGKILL'), () => taker.child.kill('SIGKILL'));
  const catalog = async (): Promise<SearchJson['songs']> => ((await (await fetch(`${taker.http}/api/search?q=`)).json()) as SearchJson).songs;
  const { value } = await until('the taker knows all songs', PATIENCE_MS, catalog, ({ length }) => length === songs);
  const ids = new Map(value.map(({ title, id }) => [title, id]));
  const end = new End(['peer-take', folder, taker.http]);
  stops.push(async () => {
    const { cache } = (await (await fetch(`${taker.http}/api/status`)).json()) as StatusJson;
    console.log(`  the receiving peer kept ${(cache.bytes / 1e6).toFixed(0)} of ${(songs * SONG_BYTES) / 1e6} MB in its cache`);
  });
  return { name: WHOLE, ends: [giver.child, taker.child], taker: end, names: Array.from({ length: songs }, (_, i) => ids.get(`Song ${i}`) as string) };
}

function end(argv: readonly string[]): End {
  const one = new End(argv);
  stops.push(() => one.child.kill('SIGKILL'));
  return one;
}

/** The other end of `giver`, whose offer is what it printed. */
function taking(name: string, giver: End, kind: string, offer: object, rest: readonly string[] = []): Contender {
  const into = join(folder, kind);
  mkdirSync(into);
  const taker = end([`${kind}-take`, into, ...rest]);
  taker.tell(JSON.stringify(offer));
  return { name, ends: [giver.child, taker.child], taker, names: Array.from({ length: ROUNDS }, (_, i) => String(i)) };
}

try {
  const music = join(folder, 'music');
  for (const name of [music, join(folder, 'nothing')]) mkdirSync(name);
  const files = Array.from({ length: ROUNDS }, (_, i) => join(music, `${i}.wav`));
  for (const [i, file] of files.entries()) writeFileSync(file, wav({ title: `Song ${i}`, artist: 'Measured', album: 'Bench' }, `transfer/${i}`, SONG_BYTES));

  const exchange = end(['parts-give', ...files]);
  const contenders: Contender[] = [taking(OURS, exchange, 'parts', await exchange.hear())];
  try {
    const rival = fetchRival();
    const giver = end(['torrent-give', rival, ...files]);
    contenders.push(taking(RIVAL, giver, 'torrent', await giver.hear(), [rival]));
  } catch (error) {
    console.log((error as Error).message);
  }
  const giver = end(['https-give', ...files]);
  contenders.push(taking('HTTPS of node', giver, 'https', await giver.hear()));
  contenders.push(await peers(music, ROUNDS));

  const figures = new Map(contenders.map(({ name }) => [name, { rates: [] as number[], costs: [] as number[] }]));
  for (const contender of contenders) await contender.taker.hear();
  for (let round = 0; round < ROUNDS; round++) {
    for (const { name, ends, taker, names } of contenders) {
      const before = ends.map(({ pid }) => processorSeconds(pid as number));
      taker.tell(names[round] as string);
      const { ms } = await taker.hear<{ ms: number }>();
      await pause(SETTLE_MS);
      if (round === 0) continue;
      figures.get(name)?.rates.push(SONG_BYTES / 1e6 / (ms / 1000));
      figures.get(name)?.costs.push((ends.reduce((sum, child, i) => sum + processorSeconds(child.pid as number) - (before[i] as number), 0) * GB) / SONG_BYTES);
    }
  }
  const of = (name: string): { readonly rate: number; readonly cost: number } => ({
    rate: quantile(figures.get(name)?.rates ?? [], 0.5),
    cost: quantile(figures.get(name)?.costs ?? [], 0.5),
  });
  const [ours, theirs] = [of(OURS), of(RIVAL)];
  const shown = [...figures.keys()].map((name) => `${name} ${of(name).rate.toFixed(0)} MB/s, ${of(name).cost.toFixed(1)} CPU s/GB`).join('; ');
  const ratio = figures.has(RIVAL) ? `${(ours.rate / theirs.rate).toFixed(1)} times its MB/s at ${(ours.cost / theirs.cost).toFixed(2)} of its CPU: ` : '';
  row('transfer', {
    what: `verified transfer of ${SONG_BYTES / 1e6} MB between two processes, TLS (WebTorrent: none), hashed and written, medians of ${ROUNDS - 1} by turns (${load()})`,
    goal: `4 times ${RIVAL}'s MB/s, a quarter of its CPU`,
    measured: `${ratio}${shown}`,
    ...(figures.has(RIVAL) && { reached: ours.rate >= 4 * theirs.rate && ours.cost <= theirs.cost / 4 }),
  });
} finally {
  for (const stop of stops.reverse()) await stop();
  rmSync(folder, { recursive: true, force: true });
}
process.exit();
