// `npm test`: the layers, then every layer of tests, each as parallel as it can be. Ends with what was skipped or is to do, and why,
// so that no machine passes by leaving something out in silence.
//   npm test -- replication gossip     only the files whose names hold one of these words
//
// The files are run by Node alone. The runner that comes with tap would load hooks for its coverage into every process that a test
// starts, in the hosts of the lab too: peers that are not those of users, and twice the time for a command.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { basename, join } from 'node:path';

const labOnly = process.argv.includes('--lab');
const words = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const startedAt = performance.now();

/** The longest first, so that none of them is begun when all others are over. */
const LONGEST = [
  ...['peer', 'page', 'services', 'commands', 'copies-peers', 'roles', 'scanner', 'discovery-sockets', 'copies-here', 'slices', 'duties', 'metrics', 'copy-director'],
  ...['mutants', 'simulation', 'durability', 'coordination', 'small-worlds'],
  ...['faults', 'replication', 'two-networks', 'firewall', 'harness', 'five-hosts', 'fail-over', 'damage', 'closed-network', 'lost-disks', 'two-of-a-house'],
];
/** They wait for nothing and claim no time: they have what the others leave, beside all of them. */
const COMPUTING = ['coordination', 'durability', 'membership', 'mutants', 'planner', 'shared-song', 'sim', 'simulation', 'small-worlds'];
/** Lab scenarios share two cores with five peers each. Those that claim times of a second or some run one at a time; the others
 *  mostly wait, and wait together. */
const ALONE = ['coordination', 'gateway', 'lossy', 'plays', 'role-names'];

const filesIn = (folder) =>
  existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => name.endsWith('.js') && (words.length === 0 || words.some((word) => name.includes(word))))
        .sort()
        .map((name) => join(folder, name))
    : [];

const isOneOf = (names) => (file) => names.includes(basename(file, '.js'));
const but = (names) => (file) => !isOneOf(names)(file);
const place = (file) => (LONGEST.indexOf(basename(file, '.js')) + 1 || LONGEST.length + 1);
const unit = filesIn('build/test/unit');
const scenarios = filesIn('build/test/lab/scenarios');

/** Longer than a file may take: its own tests end earlier, and say what hung. */
const FILE_SECONDS_MAX = labOnly || process.env.SPOTIFY_PEER_LONG ? 1_800 : 200;
/** Of those that wait for all others. */
const COMPUTING_SECONDS_MAX = 500;

const computing = { name: 'computing', files: unit.filter(isOneOf(COMPUTING)), jobs: 1, priority: constants.priority.PRIORITY_LOW, secondsMax: Math.max(COMPUTING_SECONDS_MAX, FILE_SECONDS_MAX) };
const layers = [
  { name: 'unit', files: [...unit.filter(but(COMPUTING)), ...filesIn('build/test/browser').filter(but(['chromium']))], jobs: 3, secondsMax: FILE_SECONDS_MAX },
  // the long forms write and play much more
  { name: 'lab-together', files: scenarios.filter(but(ALONE)), jobs: labOnly ? 2 : 3, secondsMax: FILE_SECONDS_MAX },
  { name: 'lab-alone', files: scenarios.filter(isOneOf(ALONE)), jobs: 1, secondsMax: FILE_SECONDS_MAX },
];

/** What was printed before the end is read long before. */
const LEFT_BEHIND_MS = 2_000;

/** Of a failed assertion: what was wanted, what was found, and where. */
const DIAGNOSTIC_LINES = 30;

let failed = 0;
let passed = 0;
const skipped = new Set();
const toDo = new Set();
const secondsSince = (at) => (performance.now() - at) / 1000;

/** @returns what it printed, and whether it came to its end without a failure */
async function runFile(file, { priority, secondsMax }) {
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, TAP_TIMEOUT: String(secondsMax) } });
  const timer = setTimeout(() => {
    child.kill('SIGKILL');
    child.stdout.destroy();
  }, secondsMax * 1000);
  // a process that it started may live on with its output, which then has no end
  let left = false;
  let leaving;
  child.once('exit', () => (leaving = setTimeout(() => (left = true, child.stdout.destroy()), LEFT_BEHIND_MS)));
  try {
    if (priority !== undefined) setPriority(child.pid, priority);
  } catch {
    // it has ended already
  }
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  const [code, signal] = await new Promise((resolve) => child.once('close', (...end) => resolve(end)));
  clearTimeout(timer);
  clearTimeout(leaving);
  if (left) console.log(`${file} has ended, and a process that it started has not`);
  const end = signal === null ? '' : `# ended with ${signal}; it may take ${secondsMax} s\n`;
  return { output: output + end, isClean: code === 0 && /^ok /m.test(output) };
}

async function runLayer({ name, files, jobs, ...how }) {
  const waiting = [...files].sort((a, b) => place(a) - place(b));
  const results = [];
  const work = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const at = performance.now();
      const { output, isClean } = await runFile(file, how);
      const seconds = secondsSince(at).toFixed(1);
      results.push(`# Subtest: ${file}\n${output.replace(/^(?=.)/gm, '    ')}${isClean ? '' : 'not '}ok ${results.length + 1} - ${file} # time=${seconds}s\n`);
      console.log(`${isClean ? 'ok    ' : 'FAILED'} ${seconds.padStart(6)} s  ${file}`);
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  const lines = `TAP version 14\n${results.join('\n')}\n1..${results.length}\n`.split('\n');
  writeFileSync(`build/results/${name}.tap`, lines.join('\n'));
  let depth = 0;
  for (const [i, line] of lines.entries()) {
    const result = /^( *)(not )?ok \d+ - (.*)$/.exec(line);
    if (!result) continue;
    const [, { length: indent }, not, what] = result;
    const skip = /^(.*?)\s*# SKIP\s*(.*)$/i.exec(what);
    const later = /^(.*?)\s*# TODO\s*(.*)$/i.exec(what);
    if (skip) skipped.add(`${name}: ${skip[1]} (${skip[2]})`);
    else if (later) toDo.add(`${name}: ${later[1]} (${later[2]})`);
    else if (not) {
      failed += 1;
      // what encloses a failure follows it, and fails too
      if (indent >= depth) console.log(lines.slice(i, i + DIAGNOSTIC_LINES).join('\n'));
      depth = indent;
    } else passed += 1;
  }
}

// beside the tests: on a fresh clone they wait for the disk most of the time
let checks = [];
if (words.length === 0 && !labOnly) {
  const layerRules = ['node_modules/dependency-cruiser/bin/dependency-cruise.mjs', '--config', '.dependency-cruiser.cjs', 'bin', 'lib', 'peer', 'discovery', 'storage'];
  checks = [layerRules, ['scripts/diagram.mjs', '--check']].map(
    (check) => new Promise((resolve) => spawn(process.execPath, check, { stdio: 'inherit' }).once('exit', resolve)),
  );
}

mkdirSync('build/results', { recursive: true });
if (!labOnly && words.length === 0) layers.push(...(computing.files.length === 0 ? [computing] : []));
const computed = labOnly || computing.files.length === 0 ? undefined : runLayer(computing);
for (const layer of layers) {
  if (labOnly && !layer.name.startsWith('lab')) continue;
  if (layer.files.length === 0) {
    if (words.length > 0) continue;
    failed += 1;
    console.log(`FAILED ${layer.name}: there are no tests`);
    continue;
  }
  await runLayer(layer);
  console.log(`${layer.name}: over after ${Math.round(secondsSince(startedAt))} s`);
}
await computed;

for (const status of await Promise.all(checks)) {
  if (status === 0) passed += 1;
  else failed += 1;
}

for (const line of skipped) console.log(`skipped ${line}`);
for (const line of toDo) console.log(`to do   ${line}`);
console.log(`${Math.round(secondsSince(startedAt))} seconds`);
console.log(`${passed} passed, ${failed} failed, ${skipped.size} skipped, ${toDo.size} to do`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
