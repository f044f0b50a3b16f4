// Who yields to music that plays, also when it came later than the music.
import t from 'tap';
import { PlaybackGuard, QUIET_MS } from '../../peer/music/playback-guard.ts';

t.test('a listener is told at once whether music plays, and each change after that until it has ended', async (t) => {
  const guard = new PlaybackGuard();
  const [early, late]: [boolean[], boolean[]] = [[], []];
  const end = guard.onChange((playing) => early.push(playing));
  t.same(early, [false]);
  guard.touch();
  guard.touch();
  t.same(early, [false, true], 'once, however often it is read');
  // as a session of the next network does
  guard.onChange((playing) => late.push(playing));
  t.same([early, late], [[false, true], [true]]);
  end();
  await new Promise((resolve) => setTimeout(resolve, QUIET_MS + 50));
  t.same([early, late], [[false, true], [true, false]]);
});
