// Who is told when the catalog says something else of who has what is played.
import t from 'tap';
import type { FileDescription } from '../../lib/song.ts';
import type { FileId, PayloadId, PeerId, SongId } from '../../lib/ids.ts';
import { Sources } from '../../peer/chunks/sources.ts';
import type { Song } from '../../storage/song-view.ts';

const [ANN, BEN, CAT] = ['a', 'b', 'c'].map((letter) => letter.repeat(32)) as [PeerId, PeerId, PeerId];
const payloadOf = (name: string): PayloadId => `payload of ${name}` as PayloadId;
const fileOf = (name: string): FileId => `file of ${name}` as FileId;

/** Of these parts of a song, as much as says who has it. */
function song(name: string, providers: readonly PeerId[], copiers: readonly PeerId[] = []): Song {
  const description = { file: fileOf(name), payload: payloadOf(name) } as FileDescription;
  const copies = new Map([[payloadOf(name), copiers.map((peer) => ({ peer, files: [] }))]]);
  return { id: name as SongId, files: [{ description, providers }], copies } as unknown as Song;
}

function setUp(...songs: Song[]): { readonly sources: Sources; readonly told: string[]; readonly catalog: Map<SongId, Song>; become(song: Song): Promise<void>; holders(name: string): PeerId[] } {
  const catalog = new Map(songs.map((one) => [one.id, one]));
  const songOf = async (id: SongId): Promise<Song | undefined> => catalog.get(id);
  const sources = new Sources({ self: ANN, linkTo: (peer) => ({ peer, requestBytes: async () => new Uint8Array() }), songOf });
  const told: string[] = [];
  for (const { id } of songs) {
    sources.watch(payloadOf(id), () => told.push(`payload of ${id}`));
    sources.watch(fileOf(id), () => told.push(`file of ${id}`));
  }
  return {
    sources,
    told,
    catalog,
    become: async (one) => {
      catalog.set(one.id, one);
      await sources.refresh();
    },
    holders: (name) => sources.ofPayload(payloadOf(name)).map(({ peer }) => peer),
  };
}

/** Until what was begun without anybody who waits for it is over. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

t.test('a change of one song is told to those who play it, once, and to nobody else', async (t) => {
  const [one, other] = [song('one', [BEN]), song('other', [BEN])];
  const { sources, told, become, holders } = setUp(one, other);
  const release = sources.want(one);
  sources.want(other);
  await settle();
  t.strictSame(told, [], 'nothing has changed');
  await become(song('one', [BEN], [CAT]));
  t.strictSame([told, holders('one'), holders('other')], [['file of one', 'payload of one'], [BEN, CAT], [BEN]]);
  await sources.refresh();
  t.equal(told.length, 2, 'when something else changes, nothing is said of it');
  release();
  await become(song('one', []));
  t.strictSame([told.length, holders('one')], [2, []], 'when nobody plays it, nothing is followed');
});

t.test('who begins with what was read a moment ago hears what has been said since, and makes nobody else forget it', async (t) => {
  const [old, now] = [song('one', [BEN]), song('one', [BEN, CAT])];
  const { sources, told, holders } = setUp(now);
  sources.want(old);
  await settle();
  t.strictSame([holders('one'), told], [[BEN, CAT], ['file of one', 'payload of one']]);
  const release = sources.want(old);
  t.strictSame(holders('one'), [BEN, CAT]);
  release();
  t.strictSame(holders('one'), [BEN, CAT]);
});

t.test('of connections that come or go all are told, but for those who watch no more', async (t) => {
  const { sources, told } = setUp(song('one', []), song('other', []));
  const stop = sources.watch(payloadOf('one'), () => told.push('another'));
  sources.changed();
  t.strictSame(told, ['payload of one', 'another', 'file of one', 'payload of other', 'file of other']);
  stop();
  stop();
  sources.changed();
  t.strictSame(told.slice(5), ['payload of one', 'file of one', 'payload of other', 'file of other']);
});

t.test('a file that is no longer of a song is told of to who reads it', async (t) => {
  const { sources, told, become } = setUp(song('one', [BEN]));
  sources.want(song('one', [BEN]));
  await settle();
  told.length = 0;
  const other = song('other', [BEN]);
  await become({ ...other, id: 'one' as SongId });
  t.strictSame(told, ['file of one', 'payload of one']);
});

t.test('of two reads of the catalog the one that began last counts, whichever ends last, and one that fails keeps no other from it', async (t) => {
  const waiting: { readonly id: SongId; readonly give: (song: Song | Error) => void }[] = [];
  const songOf = (id: SongId): Promise<Song> =>
    new Promise((resolve, reject) => waiting.push({ id, give: (found) => (found instanceof Error ? reject(found) : resolve(found)) }));
  const sources = new Sources({ self: ANN, linkTo: (peer) => ({ peer, requestBytes: async () => new Uint8Array() }), songOf });
  const holders = (name: string): PeerId[] => sources.ofPayload(payloadOf(name)).map(({ peer }) => peer);
  sources.want(song('one', []));
  const refreshed = sources.refresh();
  waiting[1]?.give(song('one', [BEN, CAT]));
  await refreshed;
  waiting[0]?.give(song('one', [BEN]));
  await settle();
  t.strictSame(holders('one'), [BEN, CAT]);

  sources.want(song('other', []));
  const failing = sources.refresh();
  waiting[3]?.give(new Error('the disk is gone'));
  waiting[4]?.give(song('other', [CAT]));
  await t.rejects(failing, { message: 'the disk is gone' });
  t.strictSame(holders('other'), [CAT]);
});
