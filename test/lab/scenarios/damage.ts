// Bytes that are not what they should be: a file that was altered after the scan and shows nothing of it, a cached song that rots on the
// disk, a peer that lies in every chunk. No player ever gets a wrong byte: it gets the right ones from somebody else, or fewer, or none.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import { readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Api } from '../api.ts';
import { type Host, Lab } from '../lab.ts';
import { makeLiar } from '../liar.ts';
import { musicFolder, wav } from '../music.ts';
import { meet } from '../network.ts';
import { dataOf, NO_COPIES, type Peer, programMissing, startPeer } from '../peers.ts';
import { until } from '../until.ts';

/** Twenty chunks, and not a whole number of them. */
const SOUND_BYTES = 1_300_001;
const PATIENCE_MS = 20_000;
const TEST_MS = 90_000;
/** Denser than chunks, and than the pages of a disk. */
const EVERY_BYTES = 3_001;

/** In front of the sound; every peer verifies it by one hash for all of it, also the liar. */
const HEADER_BYTES = 1_000;

/** Other bytes of the same length, and the same time of change. */
function alter(path: string, from = 0): void {
  const { atimeMs, mtimeMs } = statSync(path);
  const bytes = readFileSync(path);
  for (let at = from; at < bytes.byteLength; at += EVERY_BYTES) bytes[at] = (bytes[at] as number) ^ 0x40;
  writeFileSync(path, bytes);
  utimesSync(path, atimeMs / 1000, mtimeMs / 1000);
}

/** The files of a folder, those of its folders too. */
const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));

t.setTimeout(TEST_MS);
t.test('an honest host, one whose disk rots, a listener, and a liar', { skip: skip || programMissing(), timeout: TEST_MS }, async (t: Test) => {
  const lab = await Lab.create({ name: 'damage', hosts: 4 });
  t.teardown(() => lab.close());
  const [honest, rotten, listener, liar] = lab.hosts as [Host, Host, Host, Host];
  const songs = new Map<string, Buffer>();
  const give = (title: string, hosts: readonly Host[]): void => {
    const file = wav({ title, artist: 'Entropy', album: 'Damage' }, title, SOUND_BYTES);
    songs.set(title, file);
    for (const host of hosts) writeFileSync(join(musicFolder(host), `${title}.wav`), file);
  };
  give('altered, and elsewhere', [honest, rotten]);
  give('altered', [rotten]);
  give('cached', [honest]);
  give('lied about', [liar]);
  for (let i = 0; i < 4; i++) give(`lied about, and elsewhere ${i}`, [honest, liar]);

  const start = (host: Host, options: { readonly program?: string } = {}): Promise<Peer> => startPeer(host, { folders: [musicFolder(host)], args: NO_COPIES, ...options });
  const program = makeLiar(join(lab.directory, 'program of the liar'));
  const [apis, peers] = await Promise.all([
    Promise.all(lab.hosts.map((host) => Api.open(host))),
    Promise.all(lab.hosts.map((host) => start(host, host === liar ? { program } : {}))),
  ]);
  const [, rottenApi, listenerApi] = apis as [Api, Api, Api, Api];
  const [honestPeer, rottenPeer, listenerPeer, liarPeer] = peers as [Peer, Peer, Peer, Peer];
  await meet(peers, PATIENCE_MS);
  const { value: catalogs } = await until(
    'everybody knows all songs, and both holders of those that have two',
    PATIENCE_MS,
    () => Promise.all(apis.map((api) => api.catalog())),
    (all) => all.every((catalog) => catalog.length === songs.size && catalog.every(({ title, providers }) => providers.length === (title.endsWith('elsewhere') || title.includes('elsewhere ') ? 2 : 1))),
  );
  const ids = new Map((catalogs[0] ?? []).map(({ title, id }) => [title, id]));

  /** How a play ended. Every byte that came is right, or it says `WRONG`. */
  const play = async (api: Api, title: string): Promise<'exact' | 'cut' | 'refused' | 'WRONG'> => {
    const expected = songs.get(title) as Buffer;
    const began = performance.now();
    const { status, complete, bytes } = await api.audio(ids.get(title) as string);
    if (bytes.byteLength > expected.byteLength || !bytes.equals(expected.subarray(0, bytes.byteLength))) return 'WRONG';
    const isExact = complete && bytes.byteLength === expected.byteLength;
    t.comment(`'${title}' on ${api.host.name}: ${bytes.byteLength} of ${expected.byteLength} bytes in ${Math.round(performance.now() - began)} ms`);
    if (status !== 200) return 'refused';
    return isExact ? 'exact' : 'cut';
  };
  const found = async (title: string) => (await listenerApi.catalog()).find(({ id }) => id === ids.get(title));
  const holders = async (title: string): Promise<readonly string[]> => (await found(title))?.providers ?? [];

  await t.test('a file that was altered after the scan, with its old size and time, is not played', { timeout: TEST_MS }, async (t: Test) => {
    for (const title of ['altered, and elsewhere', 'altered']) alter(join(musicFolder(rotten), `${title}.wav`));
    t.equal(await play(rottenApi, 'altered, and elsewhere'), 'exact', 'where it lies, the song comes from somebody else');
    t.equal(await play(listenerApi, 'altered, and elsewhere'), 'exact');
    for (const api of [rottenApi, listenerApi]) {
      const ended = await play(api, 'altered');
      t.ok(['cut', 'refused'].includes(ended), `nobody else has it: ${ended} on ${api.host.name}`);
    }
    await rottenPeer.process.event('file-changed', PATIENCE_MS);
    t.pass('its peer says so');
    // of the one that it has heard from elsewhere it may have a copy by now
    const { ms } = await until('nobody takes it for a holder any more', PATIENCE_MS, () => found('altered'), (song) => song === undefined);
    t.comment(`after ${ms} ms`);
  });

  await t.test('a cached song that rots on the disk is not played, and not given on', { timeout: TEST_MS }, async (t: Test) => {
    t.equal(await play(listenerApi, 'cached'), 'exact');
    const kept = () => until('it is kept, all of it', PATIENCE_MS, () => holders('cached'), (peersOf) => peersOf.includes(listenerPeer.id));
    await kept();
    const rot = (): number => {
      const large = filesIn(join(dataOf(listener), 'cache')).filter((path) => statSync(path).size > SOUND_BYTES / 2);
      // behind what says where things lie
      for (const path of large) alter(path, Math.floor(SOUND_BYTES / 4));
      return large.length;
    };
    t.ok(rot() > 0);
    t.equal(await play(listenerApi, 'cached'), 'exact', 'where it rots');
    await listenerPeer.process.event('damaged', PATIENCE_MS);
    t.pass('its peer says so');
    await kept();
    rot();
    const ended = await Promise.all([play(rottenApi, 'cached'), play(listenerApi, 'cached')]);
    t.same(ended, ['exact', 'exact'], 'and elsewhere, though the holder of a rotten copy is asked too');
    await kept();
    rot();
    await (peers[0] as Peer).process.kill('SIGKILL');
    const ending = Promise.all([play(listenerApi, 'cached'), play(apis[3] as Api, 'cached')]);
    await listenerPeer.process.line((line) => line.includes(honestPeer.id) && line.includes('"dead"'), { what: 'death of the honest one', timeoutMs: PATIENCE_MS });
    peers[0] = await start(honest);
    const alone = await ending;
    t.notOk(alone.includes('WRONG'), `with nobody else to ask for a moment: ${alone}`);
    await meet(peers, PATIENCE_MS);
  });

  await t.test('a peer that lies in every chunk is put aside, and named', { timeout: TEST_MS }, async (t: Test) => {
    for (const title of songs.keys()) if (title.startsWith('lied about')) alter(join(musicFolder(liar), `${title}.wav`), HEADER_BYTES);
    t.equal((await (apis[3] as Api).audio(ids.get('lied about') as string)).complete, true, 'it plays its lies to itself');
    t.equal(await play(apis[3] as Api, 'lied about'), 'WRONG', 'so it does lie');
    const ending = play(listenerApi, 'lied about');
    for (let i = 0; i < 4; i++) t.equal(await play(listenerApi, `lied about, and elsewhere ${i}`), 'exact', 'somebody else has it too');
    const ended = await ending;
    t.ok(['cut', 'refused'].includes(ended), `nobody else has it: ${ended}`);
    await listenerPeer.process.line((line) => line.includes('"liar"') && line.includes(liarPeer.id), { what: 'word of the liar', timeoutMs: PATIENCE_MS });
    t.pass('the log of who listened names it');
    t.ok(((await listenerApi.status()).playback?.wrongChunks ?? 0) > 0, 'and its status counts wrong chunks');
  });
});
