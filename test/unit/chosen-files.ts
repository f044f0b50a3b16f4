// Of files with one sound and other tags: which one is read, and which one still when the machine that has it is gone.
import t from 'tap';
import { contentId, type FileId, type PayloadId, type PeerId, type SongId } from '../../lib/ids.ts';
import { CHOSEN_FILES_MAX } from '../../lib/limits.ts';
import type { FileDescription } from '../../lib/song.ts';
import { ChosenFiles } from '../../peer/music/chosen-files.ts';
import type { Copy, Song } from '../../storage/song-view.ts';

const id = <T extends string>(text: string): T => contentId<T>('test', text);
const [ann, ben, cleo] = [id<PeerId>('ann'), id<PeerId>('ben'), id<PeerId>('cleo')] as const;

const describe = (name: string, payload = 'sound'): FileDescription => ({
  song: id<SongId>('song'), file: id<FileId>(name), payload: id<PayloadId>(payload),
  tags: { title: name, artist: '', album: '', albumArtist: '', track: 0, disc: 0, year: 0, genre: [] },
  durationMs: 1_000, codec: 'flac', suffix: 'flac', bitrate: 0, prefixBytes: name.length, payloadBytes: 40_000, suffixBytes: 0,
  prefixHash: new Uint8Array(32), suffixHash: new Uint8Array(32),
});
const [hers, his] = [describe('hers'), describe('his')] as const;

const songOf = (files: readonly (readonly [FileDescription, PeerId])[], { name = 'song', copies = new Map<PayloadId, readonly Copy[]>() } = {}): Song => {
  const [first, ...rest] = files.map(([description, peer]) => ({ description, owners: [peer], providers: [peer] }));
  return { id: id<SongId>(name), files: [first!, ...rest], providers: [], owners: [], copiers: [], copies };
};
const both = songOf([[hers, ann], [his, ben]]);

function room() {
  const present = new Set([ann, ben]);
  const edgesHere = new Set<FileId>();
  /** What is asked for, and how to say whether it came. */
  const brought = new Map<string, (isHere: boolean) => void>();
  const calledOff: string[] = [];
  const bringStart = ({ tags: { title } }: FileDescription, signal: AbortSignal): Promise<boolean> => {
    signal.addEventListener('abort', () => calledOff.push(title));
    return new Promise((resolve) => brought.set(title, resolve));
  };
  let ring = (): void => {};
  const alarms = { now: () => 0, after: (_ms: number, rings: () => void) => ((ring = rings), () => (ring = () => {})) };
  const chosen = new ChosenFiles({ sources: { reaches: (peer) => present.has(peer) }, files: { holdsEdges: ({ file }) => edgesHere.has(file), bringStart }, alarms });
  const plays = (song = both, goesOn = false): string => chosen.of(song, { original: false, goesOn }).tags.title;
  const begins = (song = both, signal?: AbortSignal): Promise<string> => chosen.begin(song, { original: false, signal }).then(({ tags: { title } }) => title);
  return { present, edgesHere, chosen, plays, begins, brought, calledOff, ring: () => ring(), goesOn: (song = both): string => plays(song, true) };
}

t.test('who goes on gets the file that it began with, whoever is gone; who begins gets one that can be had', async (t) => {
  const { present, plays, goesOn } = room();
  present.delete(ann);
  t.equal(plays(), 'his', 'the first one is not to be had');
  present.add(ann);
  t.equal(goesOn(), 'his', 'though the first one is back');
  t.equal(plays(), 'his', 'another player too, while it can be had');
  present.delete(ben);
  t.equal(goesOn(), 'his');
  t.equal(plays(), 'hers');
  t.equal(goesOn(), 'hers', 'and that is the one to go on with from then on');
});

t.test('a file whose edges are here is played on, also from its beginning, as long as somebody has its sound', async (t) => {
  const { present, edgesHere, plays } = room();
  plays();
  edgesHere.add(hers.file);
  present.delete(ann);
  t.equal(plays(), 'hers', 'the other file has the same sound');
  present.clear();
  t.equal(plays(), 'hers', 'nobody has any: then the first one');

  const ogg = songOf([[describe('hers', 'pages'), ann], [describe('his', 'other pages'), ben]]);
  const there = room();
  there.edgesHere.add(hers.file);
  there.plays(ogg);
  there.present.delete(ann);
  t.equal(there.plays(ogg), 'his', 'its sound lies in other pages');
  there.present.add(ann);
  const copied = songOf([[describe('hers', 'pages'), ann], [describe('his', 'other pages'), ben]], { copies: new Map([[id<PayloadId>('pages'), [{ peer: cleo, files: [] }]]]) });
  const third = room();
  third.edgesHere.add(hers.file);
  third.plays(copied);
  third.present.delete(ann);
  third.present.add(cleo);
  t.equal(third.plays(copied), 'hers', 'somebody has copied them');
});

t.test('a file that is no longer the song’s is begun by nobody, and gone on with by those who began it', async (t) => {
  const { edgesHere, plays, goesOn } = room();
  edgesHere.add(hers.file);
  plays();
  const retagged = songOf([[describe('anew'), ann], [his, ben]]);
  t.equal(goesOn(retagged), 'hers');
  t.equal(plays(retagged), 'anew');
});

t.test('the original is the file that is shown first, and the rest of it is of the same one', async (t) => {
  const { present, edgesHere, chosen, plays } = room();
  const original = (goesOn: boolean): string => chosen.of(both, { original: true, goesOn }).tags.title;
  present.delete(ann);
  t.equal(plays(), 'his');
  t.equal(original(false), 'his');
  present.add(ann);
  t.equal(original(true), 'his');
  t.equal(original(false), 'hers', 'whatever is played');
  edgesHere.add(hers.file);
  present.delete(ann);
  t.equal(original(false), 'his');
  t.equal(chosen.of(both, { original: true, file: hers.file }).tags.title, 'hers', 'one that is named is that one');
  t.throws(() => chosen.of(both, { original: true, file: id<FileId>('none') }), { code: 'NOT_FOUND' });
});

t.test('no more choices are remembered than the bound allows', async (t) => {
  const { present, plays, goesOn } = room();
  present.delete(ann);
  plays();
  present.add(ann);
  for (let n = 0; n < CHOSEN_FILES_MAX; n++) plays(songOf([[hers, ann]], { name: `${n}` }));
  t.equal(goesOn(), 'hers');
});

t.test('who begins gets the file whose beginning comes first, and goes on with it', async (t) => {
  const hanging = room();
  const first = hanging.begins();
  t.strictSame([...hanging.brought.keys()], ['hers'], 'the other one is not asked for at once');
  hanging.ring();
  t.strictSame([...hanging.brought.keys()], ['hers', 'his']);
  t.strictSame(hanging.calledOff, []);
  hanging.brought.get('his')?.(true);
  t.equal(await first, 'his');
  t.ok(hanging.calledOff.includes('hers'), 'what nobody waits for any more crosses no line');
  t.equal(hanging.goesOn(), 'his');

  const others = ['third', 'fourth', 'fifth'].map((title): readonly [FileDescription, PeerId] => [{ ...his, file: id<FileId>(title), tags: { ...his.tags, title } }, ben]);
  const many = songOf([[hers, ann], [his, ben], ...others], { name: 'many' });
  const late = room();
  const early = late.begins(many);
  late.ring();
  late.brought.get('his')?.(true);
  t.equal(await early, 'his');
  late.brought.get('hers')?.(false);
  await Promise.resolve();
  t.strictSame([...late.brought.keys()], ['hers', 'his'], 'what fails when there is one makes nobody try another');
  const bounded = room();
  const tried = bounded.begins(many);
  for (let n = 0; n < 5; n++) bounded.ring();
  t.equal(bounded.brought.size, 3);
  bounded.brought.get('third')?.(true);
  t.equal(await tried, 'third');

  const failing = room();
  const second = failing.begins();
  failing.brought.get('hers')?.(false);
  await Promise.resolve();
  t.strictSame([...failing.brought.keys()], ['hers', 'his'], 'without a pause');
  failing.brought.get('his')?.(false);
  t.equal(await second, 'hers', 'where none can be had, the first one says why');

  const left = room();
  const gone = new AbortController();
  void left.begins(both, gone.signal);
  gone.abort();
  t.strictSame(left.calledOff, ['hers'], 'for who has left nothing is brought');

  const well = room();
  const third = well.begins();
  well.brought.get('hers')?.(true);
  t.equal(await third, 'hers');
  well.ring();
  t.notOk(well.brought.has('his'), 'nor later');
});

t.test('where there is no choice nothing is brought before it is read', async (t) => {
  const { present, chosen, brought, begins } = room();
  t.equal((await chosen.begin(both, { original: true })).tags.title, 'hers');
  t.equal((await chosen.begin(both, { original: false, file: his.file })).tags.title, 'his');
  t.equal((await chosen.begin(both, { original: false, goesOn: true })).tags.title, 'hers');
  present.delete(ben);
  t.equal(await begins(), 'hers');
  t.equal(await begins(songOf([[his, ben]])), 'his');
  t.equal(brought.size, 0);
});
