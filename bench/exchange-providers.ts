// Three providers on cables of 100 Mbit/s each have one song; a receiver on 1 Gbit/s takes it: how much of the three cables is music.
import { skip } from '../test/lab/world.ts'; // first: it runs this file again in a world of its own
import { Lab } from '../test/lab/lab.ts';
import { NO_COPIES } from '../test/lab/peers.ts';
import { drain, giveSong, goByLoss, idsByTitle, load, type Node, row, startNodes } from './exchange-lab.ts';
import { wireRate } from './exchange-wire.ts';
import { quantile } from './figures.ts';

const PROVIDERS = 3;
const ROUNDS = 5;
const SOUND_BYTES = 80_000_000;
const WARM_BYTES = 5_000_000;
const GOAL_MBIT = 270;

if (skip) throw new Error(`this bench needs network namespaces: ${skip}`);
const lab = await Lab.create({ name: 'exchange-providers', hosts: PROVIDERS + 1 });
try {
  const providers = lab.hosts.slice(0, PROVIDERS);
  giveSong(providers, 'warm', WARM_BYTES);
  for (let round = 0; round < ROUNDS; round++) giveSong(providers, `song ${round}`, SOUND_BYTES);
  await goByLoss(lab);
  const nodes = await startNodes(lab, { songs: ROUNDS + 1, holders: PROVIDERS, args: ['--cache', '1GB', ...NO_COPIES] });
  const receiver = nodes.at(-1) as Node;
  const ids = await idsByTitle(receiver);
  for (const host of providers) await lab.rate(host, '100mbit');
  await lab.rate(receiver.host, '1gbit');
  await drain(receiver, ids.get('warm') as string); // opens the connections
  const rates: number[] = [];
  const shares: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const sent = (): Promise<number[]> => Promise.all(providers.map(async (host) => (await lab.traffic(host)).sentBytes));
    const before = await sent();
    const { bytes, ms } = await drain(receiver, ids.get(`song ${round}`) as string);
    rates.push((8 * bytes) / ms / 1000);
    shares.push((await sent()).map((now, i) => Math.round((now - (before[i] as number)) / 1e6)).join('/'));
  }
  const wire = await wireRate(providers, receiver.host);
  const median = quantile(rates, 0.5);
  row('providers', {
    what: `one receiver, ${PROVIDERS} providers capped at 100 Mbit/s each, songs of ${SOUND_BYTES / 1e6} MB: bytes of the song (${load()})`,
    goal: `${GOAL_MBIT} Mbit/s`,
    measured: `median ${median.toFixed(0)} Mbit/s of ${rates.map((rate) => rate.toFixed(0)).join(', ')}; plain TCP over the same cables: ${wire.toFixed(0)}; MB on the three: ${shares.join(', ')}`,
    reached: median >= GOAL_MBIT,
  });
} finally {
  await lab.close();
}
process.exit();
