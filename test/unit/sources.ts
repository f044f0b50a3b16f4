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

function setUp(...songs: Song[]): { readonly sources: Sources; readonly told: string[]; become(song: Song): Promise<void>; holders(name: string): PeerId[] } {
  const catalog = new Map(songs.map((one) => [one.id, one]));
  const sources = new Sources({ self: ANN, linkTo: (peer) => ({ peer, requestBytes: async () => new Uint8Array() }), songOf: async (id) => catalog.get(id) });
  const told: string[] = [];
  for (const { id } of songs) {
    sources.watch(payloadOf(id), () => told.push(`payload of ${id}`));
    sources.watch(fileOf(id), () => told.push(`file of ${id}`));
  }
  return {
    sources,
    told,
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
