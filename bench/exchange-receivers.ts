// One provider on a cable, and ten peers that want the same song at once: they have it all in not much more time than one alone, if they
// give each other what they have. On one machine eleven peers share its processors, which are the limit at 100 Mbit/s; at 20 Mbit/s the
// cables are.
import { skip } from '../test/lab/world.ts'; // first: it runs this file again in a world of its own
import { Lab } from '../test/lab/lab.ts';
import { NO_COPIES } from '../test/lab/peers.ts';
import { drain, giveSong, goByLoss, idsByTitle, load, type Node, processorSeconds, row, startNodes } from './exchange-lab.ts';
import { quantile } from './figures.ts';

const RECEIVERS = 10;
const ROUNDS = 5;
const CABLES = [
  { rate: '100mbit', said: '100 Mbit/s', soundBytes: 25_000_000 },
  { rate: '20mbit', said: '20 Mbit/s', soundBytes: 10_000_000 },
] as const;
const GOAL = 2.5;

if (skip) throw new Error(`this bench needs network namespaces: ${skip}`);
const lab = await Lab.create({ name: 'exchange-receivers', hosts: RECEIVERS + 1 });
try {
  const provider = lab.host(1);
  giveSong([provider], 'warm', 1_000_000);
  for (const { rate, soundBytes } of CABLES) {
    for (let round = 0; round < ROUNDS; round++) for (const who of ['one', 'ten']) giveSong([provider], `${rate} ${who} ${round}`, soundBytes);
  }
  await goByLoss(lab);
  const nodes = await startNodes(lab, { songs: 2 * ROUNDS * CABLES.length + 1, holders: 1, args: ['--cache', '1GB', ...NO_COPIES] });
  const receivers = nodes.slice(1);
  const processor = (): number => nodes.reduce((sum, { peer }) => sum + processorSeconds(peer.process.pid), 0);
  const ids = await idsByTitle(receivers[0] as Node);
  const song = (title: string): string => ids.get(title) as string;
  await Promise.all(receivers.map((receiver) => drain(receiver, song('warm')))); // opens the connections
  for (const { rate, said, soundBytes } of CABLES) {
    await lab.rate(provider, rate);
    const ratios: number[] = [];
    const details: string[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const { ms: alone } = await drain(receivers[round % RECEIVERS] as Node, song(`${rate} one ${round}`));
      const [before, processorBefore] = [(await lab.traffic(provider)).sentBytes, processor()];
      const all = await Promise.all(receivers.map(async (receiver) => (await drain(receiver, song(`${rate} ten ${round}`))).ms));
      const sent = (await lab.traffic(provider)).sentBytes - before;
      ratios.push(Math.max(...all) / alone);
      details.push(`${(Math.max(...all) / 1000).toFixed(1)} to ${(alone / 1000).toFixed(1)} s, ${(sent / soundBytes).toFixed(1)} copies left the provider, ${((processor() - processorBefore) / ((RECEIVERS * soundBytes) / 1e9)).toFixed(0)} CPU s of all peers for a GB received`);
    }
    const median = quantile(ratios, 0.5);
    row('receivers', {
      what: `until ${RECEIVERS} receivers have one song of ${soundBytes / 1e6} MB of one provider at ${said}, over the time of one alone (${load()})`,
      goal: `under ${GOAL} times`,
      measured: `median ${median.toFixed(1)} times; ${details.join('; ')}`,
      reached: median < GOAL,
    });
  }
} finally {
  await lab.close();
}
process.exit();
