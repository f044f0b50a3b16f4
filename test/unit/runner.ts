// `npm test` itself: what must not make it hang, nor pass in silence.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';

const RUNNER = join(import.meta.dirname, '../../../scripts/test.mjs');
/** Generous: two cores may be busy with other tests. */
const SOON_MS = 30_000;

/** Runs it over these files alone, by their paths in build/test. */
async function runner(t: Test, files: Readonly<Record<string, string>>, ...args: readonly string[]): Promise<{ readonly code: number | null; readonly text: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'runner-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, 'build/test', name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
  const child = spawn(process.execPath, [RUNNER, ...args], { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  child.stdout.on('data', (part) => (text += part));
  const timer = setTimeout(() => child.kill('SIGKILL'), SOON_MS);
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(timer);
  return { code, text };
}

t.test('a file that has ended is over, though a process that it started holds its output', async (t) => {
  const leaves = `import { spawn } from 'node:child_process'; spawn('sleep', ['20'], { stdio: ['ignore', 'inherit', 'ignore'] }).unref(); console.log('ok 1 - x');`;
  const { code, text } = await runner(t, { 'unit/a.js': leaves, 'package.json': '{ "type": "module" }' }, 'a');
  t.equal(code, 0);
  t.match(text, /unit\/a\.js has ended, and a process that it started has not/);
});

t.test('what is to do is named and does not count as passed', async (t) => {
  const { text } = await runner(t, { 'unit/a.js': `console.log('ok 1 - x\\nok 2 - y # TODO later\\nnot ok 3 - z # TODO known')` }, 'a');
  t.match(text, /to do {3}unit: y \(later\)\nto do {3}unit: z \(known\)/);
  t.match(text, /\n2 passed, 0 failed, 0 skipped, 2 to do/, 'x and its file');
});

t.test('a layer without tests fails, when all are to run', async (t) => {
  const { code, text } = await runner(t, { 'lab/scenarios/a.js': `console.log('ok 1 - x')` }, '--lab');
  t.match(text, /FAILED lab-alone: there are no tests/);
  t.equal(code, 1);
});
