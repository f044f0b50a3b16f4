// How long nobody does what one has to do: from the loss of the coordinator, or of who holds a role, until all that live agree on
// others; beside keepalived and etcd (Debian's, where they are installed), in the same five network namespaces (test/lab), taking turns.
//   node build/bench/coordination.js [rounds]
//
// Time counts from the signal, or from the command that cuts the cable, until an answer shows that all is well again, so it holds a
// few milliseconds of asking. All data is on a tmpfs.
import { skip } from '../test/lab/world.ts'; // first: it runs this file again in a world of its own
import { loadavg } from 'node:os';
import { Lab } from '../test/lab/lab.ts';
import { installed } from '../test/lab/world.ts';
import type { Contender } from './fail-over.ts';
import { ETCD, Etcd } from './fail-over-etcd.ts';
import { KEEPALIVED, Keepalived } from './fail-over-keepalived.ts';
import { FiveOfUs } from './fail-over-peers.ts';
import { quantile, summary } from './figures.ts';

const ROUNDS = Number(process.argv[2] ?? 20);
/** A frame passes two ports of the switch, so that 30 of 100 are lost between two hosts. */
const PORT_LOSS_PERCENT = 100 * (1 - Math.sqrt(0.7));
/** Peers rank equally after a minute; it is not waited for where somebody just tries this out. */
const READY_FROM_ROUNDS = 10;

const GOALS: ReadonlyMap<string, string> = new Map([
  ['spotify-peer, no loss, process death', 'p50 100, p99 300'],
  ['spotify-peer, 30% loss, process death', 'p50 200, p99 1000'],
  ['spotify-peer, 30% loss, silent death', 'p50 1800, p99 2500'],
]);
const OURS = 'spotify-peer, no loss, ';

if (skip) throw new Error(`this bench needs network namespaces: ${skip}`);
const lab = await Lab.create({ name: 'coordination', hosts: 5 });
const times = new Map<string, number[]>();
const loads: number[] = [];
try {
  const peers = await FiveOfUs.start(lab, { ready: ROUNDS >= READY_FROM_ROUNDS });
  const rivals = new Set<Contender>();
  for (const [program, Rival] of [[KEEPALIVED, Keepalived], [ETCD, Etcd]] as const) {
    if (installed(program)) rivals.add(new Rival(lab));
    else console.log(`${program} is not installed here (Debian: apt-get install keepalived etcd-server)`);
  }
  const recordOf = (who: string) => (way: string, ms: number): void => {
    const name = `${who}, ${way}`;
    times.set(name, [...(times.get(name) ?? []), ms]);
  };
  for (let round = 1; round <= ROUNDS; round++) {
    loads.push(loadavg()[0] as number);
    await peers.round(recordOf(`${peers.name}, no loss`));
    await lab.loss('all', PORT_LOSS_PERCENT);
    await peers.round(recordOf(`${peers.name}, 30% loss`));
    await lab.heal();
    for (const rival of rivals) {
      await rival.round(recordOf(rival.name)).catch((error: unknown) => {
        rivals.delete(rival);
        console.log(`${rival.name} is left out from round ${round} on: ${(error as Error).message}`);
      });
    }
  }
  await peers.close();
} catch (error) {
  // what was measured until then is shown all the same
  console.log(`ended in round ${loads.length}: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  await lab.close();
}

const ours = (way: string): number => quantile(times.get(`${OURS}${way} of the coordinator`) ?? [Number.NaN], 0.5);
console.log(`five hosts, ${loads.length} rounds, load average ${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)}; from the loss until it is replaced, ms:`);
for (const [name, values] of times) {
  const goal = [...GOALS].find(([prefix]) => name.startsWith(prefix))?.[1];
  const way = name.includes('silent death') ? 'silent death' : 'process death';
  const ratio = name.startsWith('spotify-peer') ? '' : `; its p50 is ${(quantile(values, 0.5) / ours(way)).toFixed(1)} times the coordinator's of spotify-peer`;
  console.log(`  ${name}: ${summary(values, 0)}${goal === undefined ? '' : `; goal ${goal}`}${ratio}`);
}
console.log(`lost frames: each port of the switch loses ${PORT_LOSS_PERCENT.toFixed(1)}% each way, which is 30% between two hosts`);
console.log('keepalived that is killed leaves its address where it was; counted is when a living host has it');
console.log("documented defaults, not waited for here: Redis Sentinel declares a master down after 30,000 ms; VRRP's backup waits 3 adverts and its skew; etcd elects after 1,000 ms of silence");
process.exit();
