// The next song of a queue, fetched before the one before it ends.
import t from 'tap';
import type { SongId } from '../../lib/ids.ts';
import { PREFETCHES_MAX } from '../../lib/limits.ts';
import { Prefetch, PREFETCH_MS } from '../../peer/music/prefetch.ts';
import { ManualAlarms } from '../fixtures/manual-alarms.ts';

const song = (n: number): SongId => String(n).padStart(32, '0') as SongId;

function room(queues: ReadonlyMap<SongId, readonly SongId[]> = new Map()): { clock: ManualAlarms; fetched: SongId[]; errors: unknown[]; prefetch: Prefetch } {
  const clock = new ManualAlarms();
  const fetched: SongId[] = [];
  const errors: unknown[] = [];
  const fetch = async (id: SongId): Promise<void> => {
    fetched.push(id);
    if (id === song(13)) throw new Error('gone');
  };
  const prefetch = new Prefetch({ nextOf: async (id) => queues.get(id) ?? [], fetch, alarms: clock, onError: (error) => errors.push(error) });
  return { clock, fetched, errors, prefetch };
}

t.test('the next song is fetched half a minute before the end of the one that plays, and not earlier', async (t) => {
  const { clock, fetched, prefetch } = room(new Map([[song(1), [song(2), song(3)]]]));
  prefetch.began(song(1), 200_000);
  await clock.pass(200_000 - PREFETCH_MS - 1);
  t.strictSame(fetched, []);
  await clock.pass(1);
  t.strictSame(fetched, [song(2), song(3)], 'in both rooms where it plays');
});

t.test('what a player itself says comes next counts, and the queues are not asked', async (t) => {
  const { clock, fetched, prefetch } = room(new Map([[song(1), [song(2)]]]));
  prefetch.began(song(1), 10_000, song(7));
  await clock.pass(0);
  t.strictSame(fetched, [song(7)], 'at once, for a song that is shorter than half a minute');
});

t.test('who jumps within a song moves the moment', async (t) => {
  const { clock, fetched, prefetch } = room(new Map([[song(1), [song(2)]]]));
  prefetch.began(song(1), 100_000).over();
  await clock.pass(60_000);
  prefetch.began(song(1), 100_000);
  await clock.pass(15_000);
  t.strictSame(fetched, []);
  await clock.pass(55_000);
  t.strictSame(fetched, [song(2)], 'once');
});

t.test('who leaves in the middle has nothing fetched for him', async (t) => {
  const { clock, fetched, prefetch } = room(new Map([[song(1), [song(2)]]]));
  prefetch.began(song(1), 100_000).left();
  await clock.pass(100_000);
  t.strictSame(fetched, []);
});

t.test('nothing waits for ever: the songs that began last are remembered, and a stop forgets all', async (t) => {
  const { clock, fetched, prefetch } = room(new Map([[song(0), [song(5)]]]));
  for (let n = 0; n <= PREFETCHES_MAX; n++) prefetch.began(song(n), 100_000);
  t.equal(clock.alarms, PREFETCHES_MAX);
  await clock.pass(100_000);
  t.strictSame(fetched, [], 'the first one made room');
  prefetch.began(song(0), 100_000);
  prefetch.stop();
  t.equal(clock.alarms, 0);
});

t.test('one that cannot be fetched is told of, and tried again the next time', async (t) => {
  const { clock, fetched, errors, prefetch } = room();
  for (let i = 0; i < 2; i++) {
    prefetch.began(song(1), 0, song(13));
    await clock.pass(0);
  }
  t.equal(errors.length, 2);
  t.strictSame(fetched, [song(13), song(13)]);
});

t.test('one that nobody has holds no other up', async (t) => {
  const { clock, fetched, errors, prefetch } = room(new Map([[song(1), [song(13), song(2)]]]));
  prefetch.began(song(1), 0);
  await clock.pass(0);
  t.equal(errors.length, 1);
  t.strictSame(fetched, [song(13), song(2)]);
});

t.test('where two rooms play one song, the one that leaves takes nothing from the other', async (t) => {
  const { clock, fetched, prefetch } = room(new Map([[song(1), [song(2)]]]));
  const [first, second] = [prefetch.began(song(1), 100_000), prefetch.began(song(1), 90_000)];
  first.left();
  await clock.pass(60_000);
  t.strictSame(fetched, [song(2)], 'at the moment of the one that stayed');
  second.left();
  prefetch.began(song(1), 50_000, song(3)).over();
  prefetch.began(song(1), 80_000, song(4));
  prefetch.began(song(1), 90_000, song(5));
  t.equal(clock.alarms, 2, 'a player that has read what it asked for asks for more: that is no other player');
  await clock.pass(60_000);
  t.strictSame(fetched, [song(2), song(4), song(5)]);
});
