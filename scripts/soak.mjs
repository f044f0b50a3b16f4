// `npm run soak`: the lab's scenarios again and again, those of chance for minutes each, until one fails or the rounds are over.
// What happens once in a hundred runs is found here and not by a user.
//   npm run soak -- 50 fail-over faults     rounds (20), and only these scenarios
import { spawnSync } from 'node:child_process';

const [rounds = '20', ...words] = process.argv.slice(2);
for (let round = 1; round <= Number(rounds); round++) {
  console.log(`round ${round} of ${rounds}`);
  const { status } = spawnSync(process.execPath, ['scripts/test.mjs', '--lab', ...words], { stdio: 'inherit', env: { ...process.env, SPOTIFY_PEER_LAB_LONG: '1' } });
  if (status !== 0) process.exit(1);
}
