// Fifty players at 320 kbit/s, each with a song of its own, at one peer: half of the songs lie on its disk, the others come from another
// peer and are kept. What that peer takes of a core and of memory meanwhile.
import { skip } from '../test/lab/world.ts'; // first: it runs this file again in a world of its own
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { boundKernelBuffers, listen } from '../test/lab/ear.ts';
import { Lab } from '../test/lab/lab.ts';
import { NO_COPIES } from '../test/lab/peers.ts';
import { giveSong, idsByTitle, load, type Node, processorSeconds, row, startNodes } from './exchange-lab.ts';

const PLAYERS = 50;
const BYTES_PER_SECOND = 40_000;
const SECONDS = Number(process.argv[2] ?? 60);
const BUFFER_SECONDS = 10;
/** They do not all begin in one moment. */
const SPREAD_MS = 2_000;
const SAMPLE_MS = 500;
const CORE_PERCENT = 10;
const RSS_MB = 200;

if (skip) throw new Error(`this bench needs network namespaces: ${skip}`);
const lab = await Lab.create({ name: 'exchange-players', hosts: 2 });
try {
  const files = Array.from({ length: PLAYERS }, (_, i) => giveSong([lab.host((i % 2) + 1)], `song ${i}`, SECONDS * BYTES_PER_SECOND));
  const nodes = await startNodes(lab, { songs: PLAYERS, holders: 1, args: ['--cache', '1GB', ...NO_COPIES] });
  const server = nodes[0] as Node;
  const ids = await idsByTitle(server);
  await boundKernelBuffers(server.host);
  // the process that was started enters the namespaces and then becomes the peer
  const { pid } = server.peer.process;
  const memory = (field: string): number => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

  const restRss = memory('VmRSS');
  const [before, beganAt] = [processorSeconds(pid), performance.now()];
  let [done, mostRss] = [false, 0];
  const watching = (async () => {
    for (; !done; await pause(SAMPLE_MS)) mostRss = Math.max(mostRss, memory('VmRSS'));
  })();
  const heard = await Promise.all(
    files.map(async (expected, i) => {
      await pause((i / PLAYERS) * SPREAD_MS);
      return listen({ socket: server.api.socket, path: `/api/songs/${ids.get(`song ${i}`)}/audio`, expected: [expected], bytesPerSecond: BYTES_PER_SECOND, speed: 1, bufferSeconds: BUFFER_SECONDS, manner: 'stream' });
    }),
  );
  const seconds = (performance.now() - beganAt) / 1000;
  const percent = (100 * (processorSeconds(pid) - before)) / seconds;
  done = true;
  await watching;
  const failures = heard.flatMap(({ failure }) => failure ?? []);
  const stalls = heard.flatMap(({ stalls }) => stalls.map(({ at, ms }) => `${Math.round(ms)} ms after ${((at - beganAt) / 1000).toFixed(1)} s`));
  row('players', {
    what: `${PLAYERS} players at 320 kbit/s from one peer, half of it another's songs, ${seconds.toFixed(0)} s (${load()})`,
    goal: `under ${CORE_PERCENT}% of a core, RSS under ${RSS_MB} MB`,
    measured: `${percent.toFixed(1)}% of a core, RSS ${mostRss.toFixed(0)} MiB at most (${restRss.toFixed(0)} before, peak ${memory('VmHWM').toFixed(0)}); ${stalls.length} stalls${stalls.length > 0 ? ` (${stalls.join(', ')})` : ''}, ${failures.length} failed${failures.length > 0 ? `: ${failures.join(', ')}` : ''}`,
    reached: percent < CORE_PERCENT && mostRss < RSS_MB && failures.length === 0 && stalls.length === 0,
  });
} finally {
  await lab.close();
}
process.exit();
