// `npm run sim`: whole networks of peers in virtual time, one of each subject (test/sim/subjects.ts) for each seed, until one violates
// an invariant or the seeds are over.
//   npm run sim -- --seed 0 --seeds 100000     a night
//   npm run sim -- --seed 42                   this one alone; its scenarios follow from it
//   --scenario NAME                            all of one family, of whichever subject, or one that is written by hand
//   --replay FILE                              this scenario, as a failure left it
//   --trace                                    shows the whole trace of the first seed
//   npm run sim -- --exhaustive                every schedule of the small worlds (test/sim/small-worlds.ts), or of --scenario NAME
import { fork, spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';

const PROGRESS_EVERY_MS = 10_000;

function asked() {
  try {
    const { values } = parseArgs({
      options: {
        seed: { type: 'string', default: '0' },
        seeds: { type: 'string', default: '1' },
        scenario: { type: 'string' },
        replay: { type: 'string' },
        trace: { type: 'boolean', default: false },
        exhaustive: { type: 'boolean', default: false },
      },
    });
    const [seed, seeds] = [Number(values.seed), Number(values.seeds)];
    if (!Number.isSafeInteger(seed) || seed < 0 || !Number.isSafeInteger(seeds) || seeds < 1) throw new Error('--seed takes a whole number, --seeds how many');
    return { seed, seeds, family: values.scenario ?? null, replay: values.replay ?? null, trace: values.trace, exhaustive: values.exhaustive };
  } catch (error) {
    console.error(error.message);
    process.exit(2);
  }
}

const { seed, seeds, family, replay, trace, exhaustive } = asked();
if (exhaustive) {
  // a million states are some gigabytes
  const { status } = spawnSync(process.execPath, ['--max-old-space-size=6144', 'build/test/sim/every-schedule.js', ...(family ? [family] : [])], { stdio: 'inherit' });
  process.exit(status ?? 1);
}
const startedAt = performance.now();
const stride = Math.min(2, availableParallelism(), seeds);
const progress = Array.from({ length: stride }, () => ({ seeds: 0, virtualMs: 0, happened: 0 }));
const total = (what) => progress.reduce((sum, part) => sum + part[what], 0);

function summary() {
  const seconds = (performance.now() - startedAt) / 1000;
  return `${Math.round(seconds)} s, ${Math.round(total('virtualMs') / 1000 / seconds)}x real time, ${Math.round(total('happened') / seconds)} events a second`;
}

let ended = 0;
let told = startedAt;
const workers = progress.map((_, i) => {
  const worker = fork('build/test/sim/worker.js');
  // by turns, so that no worker has all of a slow family
  worker.send({ first: seed + i, count: Math.ceil((seeds - i) / stride), stride, family, replay, trace: trace && i === 0 });
  worker.on('message', (report) => {
    if (report.kind === 'trace') console.log(report.text);
    if (report.kind === 'failed') fail(report.text);
    if (report.kind !== 'progress') return;
    progress[i] = report.progress;
    if (performance.now() - told < PROGRESS_EVERY_MS) return;
    told = performance.now();
    console.log(`${total('seeds')} of ${seeds} seeds, ${summary()}`);
  });
  worker.on('exit', (code) => {
    if (code !== 0) fail(`a worker ended with ${code}`);
    ended += 1;
    if (ended === stride) console.log(`${total('seeds')} seeds, 0 violations, ${summary()}`);
  });
  return worker;
});

function fail(text) {
  console.log(text);
  for (const worker of workers) worker.removeAllListeners('exit').kill();
  process.exit(1);
}
