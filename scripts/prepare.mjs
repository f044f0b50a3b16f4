// Runs at `npm install`. A published package ships build/ and no compiler (`--omit=dev`): nothing to do then.
// A clone compiles here, so that `npm install && npm start` is all that a newcomer types.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const run = (bin, args) => {
  const { status } = spawnSync(process.execPath, [bin, ...args], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
};

const tsc = 'node_modules/typescript/bin/tsc';
if (existsSync(tsc)) {
  run(tsc, ['-p', 'tsconfig.json']);
  // tap generates its plugin bundle once; without this its first run on a fresh clone fails
  run('node_modules/tap/dist/esm/run.mjs', ['build']);
} else if (!existsSync('build/bin/spotify-peer.js')) {
  console.error('spotify-peer: build/ is missing and TypeScript is not installed; run `npm install` without --omit=dev');
  process.exit(1);
}
