// `npm run bench`: every measurement behind bench/RESULTS.md, one after the other, on an otherwise quiet machine.
//   npm run bench -- start meet     only these
import { spawnSync } from 'node:child_process';
import { cpus, loadavg } from 'node:os';

const all = ['start', 'first-byte', 'own-file', 'meet', 'scan', 'search', 'chunks', 'replication-writes', 'replication-apply', 'replication-join', 'replication-quiet', 'replication-sim', 'event-log', 'simulator', 'coordination-sim', 'coordination', 'exchange'];
const words = process.argv.slice(2);

console.log(`${new Date().toISOString().slice(0, 10)}, Node ${process.version}, ${cpus().length} cores (${cpus()[0]?.model}), load ${loadavg()[0].toFixed(1)}`);
let failed = false;
for (const name of all.filter((name) => words.length === 0 || words.includes(name))) {
  console.log(`\n## ${name}`);
  const { status } = spawnSync(process.execPath, [`build/bench/${name}.js`], { stdio: 'inherit' });
  failed ||= status !== 0;
}
process.exit(failed ? 1 : 0);
