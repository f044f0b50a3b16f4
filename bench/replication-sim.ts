// How quickly changes spread among 200 simulated peers on a wired LAN that loses datagrams: one small change, and ten thousand
// from all peers at once. Times are virtual; the peers are the real machines, on disks that take 1 to 5 ms for a batch.
//   node build/bench/replication-sim.js [peers] [changes] [floods] [losses, as 0.1,0.3]
import { WIRED } from '../test/sim/network.ts';
import { quantile, summary } from './figures.ts';
import { SimulatedNetwork } from './simulated-network.ts';

const PEERS = Number(process.argv[2] ?? 200);
const CHANGES = Number(process.argv[3] ?? 200);
const WRITES_PER_PEER = 50;
/** So long apart are single changes; the next one comes while beats have not told everything of the last. */
const APART_MS = 2_000;
const FLOODS = Number(process.argv[4] ?? 3);
const LOSSES = (process.argv[5] ?? '0,0.1,0.3').split(',').map(Number);

const GOALS = [
  { loss: 0, onceMs: 100, floodMs: 1_000 },
  { loss: 0.1, onceMs: 500, floodMs: 2_000 },
  { loss: 0.3, onceMs: 2_000, floodMs: 5_000 },
] as const;

function measure(loss: number, seed: number): { readonly once: number[]; readonly floods: number[]; readonly datagrams: number } {
  let missing = 0;
  let writtenAt = 0;
  let completeAt = 0;
  /** Of the keys that are counted; none before the first. */
  let watched = '-';
  let datagrams = 0;
  const network = new SimulatedNetwork({
    peers: PEERS,
    model: { ...WIRED, loss },
    seed,
    holds: (key, _host, now) => {
      if (!key.startsWith(watched)) return;
      // nobody holds what its writer does not have on its disk
      if (missing === PEERS) writtenAt = now;
      missing -= 1;
      if (missing === 0) completeAt = now;
    },
    said: () => (datagrams += 1),
  });
  network.runUntil(() => network.isQuiet, 'all peers know each other');

  const once: number[] = [];
  for (let i = 0; i < CHANGES; i++) {
    watched = `star/one/${i}`;
    missing = PEERS;
    const startedAt = network.now;
    network.write((i * 37) % PEERS, watched);
    network.runUntil(() => missing === 0, 'all peers hold a change', 20);
    once.push(completeAt - writtenAt);
    network.runFor(Math.max(0, startedAt + APART_MS - network.now));
  }
  const said = datagrams / CHANGES;

  const floods: number[] = [];
  for (let flood = 0; flood < FLOODS; flood++) {
    watched = `star/many/${flood}/`;
    missing = PEERS * PEERS * WRITES_PER_PEER;
    const startedAt = network.now;
    for (let host = 0; host < PEERS; host++) for (let i = 0; i < WRITES_PER_PEER; i++) network.write(host, `${watched}${host}/${i}`);
    network.runUntil(() => missing === 0, 'all peers hold all changes', 50);
    floods.push(completeAt - startedAt);
    network.runUntil(() => network.isQuiet, 'the network is quiet again');
    network.runFor(APART_MS);
  }
  return { once, floods, datagrams: said };
}

for (const { loss, onceMs, floodMs } of GOALS) {
  if (!LOSSES.includes(loss)) continue;
  const startedAt = performance.now();
  const { once, floods, datagrams } = measure(loss, 1);
  console.log(`${PEERS} peers, ${loss * 100}% loss: one change on all of them, ms: ${summary(once, 0)}; goal p99 ${onceMs}`);
  console.log(`  ${WRITES_PER_PEER * PEERS} changes of all at once, ms: median ${quantile(floods, 0.5).toFixed(0)}, worst ${Math.max(...floods).toFixed(0)} (n ${floods.length}); goal ${floodMs}`);
  console.log(`  ${datagrams.toFixed(1)} operations multicast for one change; measured in ${((performance.now() - startedAt) / 1_000).toFixed(0)} s`);
}
