// The exchange of songs: how soon one sounds, how fast it comes, from whom, and what that costs. Each measurement is a program of its own,
// since some run in network namespaces and one fetches a rival; this runs them one after the other.
//   node build/bench/exchange.js [first-byte|workload|transfer|providers|receivers|players]...
import { spawnSync } from 'node:child_process';

const ALL = ['first-byte', 'workload', 'transfer', 'providers', 'receivers', 'players'] as const;
const words = process.argv.slice(2);
const unknown = words.filter((word) => !ALL.some((name) => name === word));
if (unknown.length > 0) {
  console.error(`no measurement ${unknown.join(', ')}: ${ALL.join(', ')}`);
  process.exit(2);
}

console.log('| what | goal | measured | command |\n|---|---|---|---|');
for (const name of ALL.filter((name) => words.length === 0 || words.includes(name))) {
  const { status } = spawnSync(process.execPath, [new URL(`./exchange-${name}.js`, import.meta.url).pathname], { stdio: 'inherit' });
  if (status !== 0) process.exitCode = 1;
}
