// `npm test`: the layers, then every layer of tests, each as parallel as it can be. Ends with what was skipped and why,
// so that no machine passes by leaving something out in silence.
//   npm test -- replication gossip     only the files whose names hold one of these words
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const labOnly = process.argv.includes('--lab');
const words = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const startedAt = performance.now();

const filesIn = (folder) =>
  existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => name.endsWith('.js') && (words.length === 0 || words.some((word) => name.includes(word))))
        .sort()
        .map((name) => join(folder, name))
    : [];

/** Lab scenarios share two cores with five peers each. Those that claim times, or bear loss, run one at a time; the others mostly
 *  wait, and two at a time wait together. */
const ALONE = ['coordination', 'copies', 'fail-over', 'gateway', 'lossy', 'plays', 'replication', 'role-names'].map((name) => join('build/test/lab/scenarios', `${name}.js`));
const scenarios = filesIn('build/test/lab/scenarios');
const layers = [
  { name: 'unit', files: filesIn('build/test/unit'), jobs: 2 },
  { name: 'browser', files: filesIn('build/test/browser').filter((file) => !file.endsWith('chromium.js')), jobs: 1 },
  { name: 'lab-pairs', files: scenarios.filter((file) => !ALONE.includes(file)), jobs: 2 },
  { name: 'lab', files: scenarios.filter((file) => ALONE.includes(file)), jobs: 1 },
].filter(({ name, files }) => files.length > 0 && (!labOnly || name.startsWith('lab')));

/** Longer than a file may take: its own tests end earlier, and say what hung. */
const FILE_SECONDS_MAX = labOnly || process.env.SPOTIFY_PEER_LONG ? 1_000 : 200;

/** Of a failed assertion: what was wanted, what was found, and where. */
const DIAGNOSTIC_LINES = 30;

let failed = 0;
let passed = 0;
const skipped = [];

// beside the tests: on a fresh clone they wait for the disk most of the time
let checks = [];
if (words.length === 0 && !labOnly) {
  const layerRules = ['node_modules/dependency-cruiser/bin/dependency-cruise.mjs', '--config', '.dependency-cruiser.cjs', 'bin', 'lib', 'peer', 'discovery', 'storage'];
  checks = [layerRules, ['scripts/diagram.mjs', '--check']].map(
    (check) => new Promise((resolve) => spawn(process.execPath, check, { stdio: 'inherit' }).once('exit', resolve)),
  );
}

mkdirSync('build/results', { recursive: true });
for (const { name, files, jobs } of layers) {
  const output = `build/results/${name}.tap`;
  const { status } = spawnSync(
    process.execPath,
    ['node_modules/tap/dist/esm/run.mjs', 'run', `--jobs=${jobs}`, '--disable-coverage', `--timeout=${FILE_SECONDS_MAX}`, `--output-file=${output}`, `--reporter=${process.stdout.isTTY ? 'terse' : 'tap'}`, ...files],
    { stdio: ['ignore', process.stdout.isTTY ? 'inherit' : 'ignore', 'inherit'], env: { ...process.env, TAP_RCFILE: '' } },
  );
  console.log(`${name}: ${files.length} files, ${status === 0 ? 'clean' : 'FAILED'}`);
  const lines = existsSync(output) ? readFileSync(output, 'utf8').split('\n') : [];
  let layerFailed = 0;
  for (const [i, line] of lines.entries()) {
    const result = /^\s*(not )?ok \d+ - (.*)$/.exec(line);
    if (!result) continue;
    const skip = /^(.*?)\s*# SKIP\s*(.*)$/i.exec(result[2]);
    if (skip) skipped.push(`${name}: ${skip[1]} (${skip[2]})`);
    else if (result[1]) {
      layerFailed += 1;
      // the terminal's reporter has shown it already
      if (!process.stdout.isTTY) console.log(lines.slice(i, i + DIAGNOSTIC_LINES).join('\n'));
    }
    else passed += 1;
  }
  failed += status === 0 ? 0 : Math.max(1, layerFailed);
}

for (const status of await Promise.all(checks)) {
  if (status === 0) passed += 1;
  else failed += 1;
}

for (const line of [...new Set(skipped)]) console.log(`skipped ${line}`);
console.log(`${Math.round((performance.now() - startedAt) / 1000)} seconds`);
console.log(`${passed} passed, ${failed} failed, ${new Set(skipped).size} skipped`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
