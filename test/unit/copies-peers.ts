// Copies between whole peers, in this process and on the loopback interface.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { generateIdentity } from '../../lib/identity.ts';
import { type BootId, hex, type PayloadId, randomId, type SongId } from '../../lib/ids.ts';
import { Keyring } from '../../lib/keyring.ts';
import { TERM_MAX } from '../../lib/limits.ts';
import { closeNetwork, type Network, networkHash, openNetwork } from '../../lib/network-key.ts';
import { CHUNK_METHOD, chunkParams } from '../../peer/chunks/provider-link.ts';
import { COPY_METHOD, copyParams } from '../../peer/copies/messages.ts';
import type { AudioSource } from '../../peer/http/api-peer.ts';
import type { Peer, PeerOptions } from '../../peer/peer.ts';
import type { Connection } from '../../peer/stream/connection.ts';
import { Settings } from '../../peer/settings.ts';
import { Streams } from '../../peer/stream/streams.ts';
import { ChunkCache } from '../../storage/chunk-cache.ts';
import { openDatabase } from '../../storage/database.ts';
import { OpenFiles } from '../../storage/open-files.ts';
import { PinStore } from '../../storage/pin-store.ts';
import { until } from '../lab/until.ts';
import { mp3, wav } from '../fixtures/audio.ts';
import { type Ended, PROGRAM, run } from '../fixtures/command.ts';
import { fillCache, type MadeSong, madeSong } from '../fixtures/made-song.ts';
import { type Home, home, networkOf, original, SOON_MS, songsOf, startPeerOf, tags } from '../fixtures/whole-peer.ts';

t.setTimeout(120_000);
// each has a network of its own, and waits for most of the time
t.jobs = 3;

const start = (t: Test, home: Home, options: Partial<PeerOptions> = {}): Promise<Peer> => startPeerOf(t, home, { cacheBytes: 100e6, ...options });

const onMachines = (peer: Peer, songs: number, machines: number): Promise<unknown> =>
  until(`${peer.name} counts ${songs} songs on ${machines} machines`, SOON_MS, async () => [(await peer.status()).copies, await songsOf(peer)] as const, ([copies, found]) =>
    found.length === songs && found.every((song) => song.machines === machines) && copies?.songs[String(machines)] === songs && copies.toDo === 0);

t.test('every song is soon on two machines, and when one of three is gone for ever all play on, byte by byte, and are soon on two again', { buffered: true }, async (t) => {
  const homes = [await home(t), await home(t), await home(t)] as const;
  const files = new Map<string, Buffer>();
  for (const [i, { music }] of homes.entries()) {
    for (let j = 0; j < 4; j++) {
      const title = `${i}-${j}`;
      const file = j % 2 === 0 ? await mp3({ seconds: 1, frequency: 200 + 40 * i + 10 * j, tags: tags(title) }) : wav({ seconds: 1, frequency: 200 + 40 * i + 10 * j, tags: tags(title) });
      files.set(title, Buffer.from(file));
      await writeFile(join(music, `${title}.${j % 2 === 0 ? 'mp3' : 'wav'}`), file);
    }
  }
  const graceMs = 1_000;
  const [a, b, c] = [await start(t, homes[0], { name: 'a', graceMs }), await start(t, homes[1], { name: 'b', graceMs }), await start(t, homes[2], { name: 'c', graceMs })];
  const startedAt = Date.now();
  for (const peer of [a, b, c]) await onMachines(peer, 12, 2);
  t.comment(`after ${Date.now() - startedAt} ms`);
  const safe = await b.copies.safe(a.id);
  t.same([safe.wanted, safe.toDo, safe.missing, safe.vanishing?.total], [2, 0, 0, 0], 'nothing would vanish with one of them');
  await a.stop();
  // nobody says that it is gone for ever, and nobody plays what is to be copied
  for (const peer of [b, c]) await onMachines(peer, 12, 2);
  for (const peer of [b, c]) {
    for (const { id, title } of await songsOf(peer)) t.ok((await original(peer, id)).equals(files.get(title) as Buffer), `${peer.name} has ${title}`);
  }
});

/** Somebody of the network who is no whole peer. */
async function stranger(t: Test, { networkName, port }: Peer, purpose: 'bulk' | 'control'): Promise<{ readonly connection: Connection; readonly streams: Streams }> {
  const streams = new Streams({
    self: { identity: generateIdentity(), bootId: randomId<BootId>(), describe: () => ({ name: 'stranger', port: 0, httpPort: 0 }) },
    keys: new Keyring(openNetwork(networkName), { wall: () => Date.now() }),
    handlers: new Map(),
    report: (error) => t.fail(String(error)),
  });
  t.teardown(() => streams.close());
  return { connection: await streams.dial({ host: '127.0.0.1', port }, { purpose }), streams };
}

t.test('a machine copies nothing while somebody at another listens to what it has, and then everything', { buffered: true }, async (t) => {
  const [one, two] = [await home(t), await home(t)];
  for (const i of [1, 2, 3]) await writeFile(join(one.music, `${i}.wav`), wav({ seconds: 1, frequency: 440 + 10 * i, tags: tags(`Song ${i}`) }));
  const b = await start(t, two, { name: 'b' });
  const { connection, streams } = await stranger(t, b, 'bulk');
  let listening = true;
  const listens = (async () => {
    while (listening) {
      await connection.requestBytes(CHUNK_METHOD, chunkParams(randomId<PayloadId>(), 0, 'soon')).catch(() => undefined); // it is not there, and asked for all the same
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  })();
  const a = await start(t, one, { name: 'a' });
  await until('b knows the songs', SOON_MS, () => songsOf(b), ({ length }) => length === 3);
  // longer than it takes until a song is given out
  await new Promise((resolve) => setTimeout(resolve, 4_000));
  t.equal((await b.status()).cache.songs, 0);
  listening = false;
  await listens;
  await streams.close();
  for (const peer of [a, b]) await onMachines(peer, 3, 2);
});

t.test('who does not hold the role has nothing copied, by whatever token, and spoils it for nobody', { buffered: true }, async (t) => {
  const [one, two] = [await home(t), await home(t)];
  await writeFile(join(one.music, 'x.wav'), wav({ seconds: 1, frequency: 440, tags: tags('Fenced') }));
  const a = await start(t, one);
  const { connection, streams } = await stranger(t, a, 'control');
  const token = { term: TERM_MAX, coordinator: a.id, number: 1_000 };
  await t.rejects(connection.request(COPY_METHOD, copyParams({ token, songs: [] })), { code: 'ROLE_UNAVAILABLE' });
  await streams.close();
  const b = await start(t, two);
  for (const peer of [a, b]) await onMachines(peer, 1, 2);
});

const command = ({ data }: Home, ...args: readonly string[]): Promise<Ended> => run(...args, '--data', data);

t.test('who leaves is told when all it had is elsewhere, and nobody copies where no copies are wanted', { buffered: true }, async (t) => {
  const [one, two] = [await home(t), await home(t)];
  const file = wav({ seconds: 1, frequency: 400, tags: tags('Only here') });
  await writeFile(join(one.music, 'x.wav'), file);
  const a = await start(t, one, { name: 'a' });
  t.match(await command(one, 'network', 'set', 'copies', '1'), { code: 0, stdout: /^no copies are made/ });
  t.match(await command(one, 'network', 'set', 'copies', '0x2'), { code: 2, stderr: /from 1 to 8/ });
  const interrupted = async (...args: readonly string[]): Promise<{ readonly code: number | null; readonly stdout: string }> => {
    const child = spawn(process.execPath, [PROGRAM, 'leave', ...args, '--data', one.data], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.teardown(() => child.kill('SIGKILL'));
    let stdout = '';
    child.stdout.on('data', (text) => (stdout += text));
    await until('it is said', SOON_MS, () => a.copies.leaving(), ({ leaving }) => leaving);
    child.kill('SIGINT');
    const [code] = (await once(child, 'close')) as [number | null];
    await a.copies.setLeaving(false);
    return { code, stdout };
  };
  t.match(await interrupted(), { code: 1, stdout: /1 song .*still only here\nno longer waiting; this machine still says that it leaves/ }, 'nobody switches it off by mistake');
  const { code, stdout } = await interrupted('--json');
  t.equal(code, 1);
  t.match(JSON.parse(stdout), { leaving: true, total: 1, others: 0, scanning: false });
  const b = await start(t, two, { name: 'b' });
  await until('b knows the song and the setting', SOON_MS, async () => [(await songsOf(b)).length, (await b.network()).copies], ([songs, copies]) => songs === 1 && copies === 1);
  t.match(await command(two, 'safe', 'a'), { code: 1, stdout: /^with a 1 song would vanish .*:\n {2}Only here by Somebody\n$/ });
  t.match(await command(one, 'events', '--json'), { stdout: /"setting":"copies"/ });
  const left = await command(one, 'leave');
  t.match(left, { code: 0, stdout: /can be switched off\n$/ });
  t.match(await command(two, 'safe', 'a'), { code: 0, stdout: /^by what is known now nothing would vanish with a\n/ });
  t.match(await command(one, 'leave', '--cancel'), { code: 0, stdout: 'this machine stays\n' });
  await a.stop();
  const [song] = await songsOf(b);
  t.equal(song?.machines, 1);
  t.ok((await original(b, song?.id as string)).equals(file));
});

t.test('who waits to leave is told when that is over because the machine changed networks, or somebody took it back', { buffered: true }, async (t) => {
  const one = await home(t);
  await writeFile(join(one.music, 'x.wav'), wav({ seconds: 1, frequency: 400, tags: tags('Here') }));
  const a = await start(t, one, { name: 'a' });
  for (const [end, reason] of [[() => a.closeNetwork({ newKey: false }), /another network/], [() => a.copies.setLeaving(false), /leave --cancel/]] as const) {
    const left = command(one, 'leave');
    await until('it is said', SOON_MS, () => a.copies.leaving(), ({ leaving }) => leaving);
    await end();
    t.match(await left, { code: 1, stdout: reason });
  }
});

t.test('whose music folder is missing confirms nothing: who leaves is told so, and may go when it is back', { buffered: true }, async (t) => {
  const [one, two] = [await home(t), await home(t)];
  await writeFile(join(one.music, 'x.wav'), wav({ seconds: 1, frequency: 400, tags: tags('Unplugged') }));
  const [a, b] = [await start(t, one, { name: 'a' }), await start(t, two, { name: 'b' })];
  for (const peer of [a, b]) await onMachines(peer, 1, 2);
  const says = (missing: number): Promise<unknown> =>
    until('b knows of the folder', SOON_MS, () => b.copies.safe(b.id), ({ foldersMissing, vanishing }) => foldersMissing.length === missing && vanishing?.total === missing);
  await rename(one.music, `${one.music}-unplugged`);
  await says(1);
  await b.copies.setLeaving(true);
  await until('b is in sync', SOON_MS, () => b.copies.leaving(), ({ inSync }) => inSync === 1);
  t.match(await b.copies.leaving(), { total: 0, unconfirmed: 1, foldersMissing: [{ id: a.id, name: 'a' }] });
  await rename(`${one.music}-unplugged`, one.music);
  await says(0);
  await until('b may go', SOON_MS, () => b.copies.leaving(), ({ unconfirmed, foldersMissing }) => unconfirmed === 0 && foldersMissing.length === 0);
});

t.test('a pinned song is there without its owner, also after a restart; others are named when several are meant', { buffered: true }, async (t) => {
  const [one, two] = [await home(t), await home(t)];
  const file = wav({ seconds: 1, frequency: 410, tags: tags('Rain song') });
  await writeFile(join(one.music, 'a.wav'), file);
  await writeFile(join(one.music, 'b.wav'), wav({ seconds: 1, frequency: 420, tags: tags('Rain dance') }));
  const [a, b] = [await start(t, one), await start(t, two)];
  await a.copies.setCopies(1);
  await until('b knows them', SOON_MS, () => songsOf(b), (songs) => songs.length === 2);
  t.match(await command(two, 'pin'), { code: 0, stdout: /^no song is pinned here/ });
  t.match(await command(two, 'pin', 'rain'), { code: 2, stderr: /2 songs match 'rain'.*Rain/ });
  t.match(await command(two, 'pin', 'nothing'), { code: 4, stderr: /no song matches/ });
  t.match(await command(two, 'pin', ''), { code: 2, stderr: /say words of the song/ }, 'a search for nothing finds everything');
  t.match(await command(two, 'pin', 'rain', 'song'), { code: 0, stdout: /Rain song is on its way/ });
  t.match(await command(one, 'pin', 'rain', 'song'), { code: 0, stdout: /is in a music folder of this machine/ });
  await until('it is here', SOON_MS, () => b.copies.pins(), ([pin]) => pin?.state === 'here');
  await Promise.all([a.stop(), b.stop()]);
  let again = await start(t, two);
  t.match(await again.copies.pins(), [{ title: 'Rain song', state: 'here' }]);
  const [pin] = await again.copies.pins();
  t.ok((await original(again, pin?.songId as string)).equals(file));
  const pinsAndSongs = async (peer: Peer): Promise<unknown> => [(await peer.copies.pins()).length, (await peer.status()).cache.songs];
  await again.closeNetwork({ newKey: false });
  t.same(await pinsAndSongs(again), [1, 1], 'with another key pins and cache go along');
  await again.openNetwork();
  t.same(await pinsAndSongs(again), [1, 1]);
  await again.stop();
  const elsewhere = await start(t, two, { network: `${networkOf(t)}-2` });
  t.same(await pinsAndSongs(elsewhere), [0, 0], 'of another network');
  t.ok((await elsewhere.status()).cache.bytesMax < 100e6, 'what was left there counts');
  await elsewhere.stop();
  again = await start(t, two);
  t.same(await pinsAndSongs(again), [1, 1], 'and it is there for whoever comes back');
  t.match(await again.copies.pins(), [{ title: 'Rain song', state: 'here' }]);
  t.match(await command(two, 'unpin', 'rain'), { code: 0, stdout: 'Rain song is pinned no more\n' });
  t.match(await command(two, 'unpin', 'rain'), { code: 4 });
  t.ok((await songsOf(again)).some(({ providers }) => providers.includes(again.id)));
  await again.stop();
  await rm(join(two.data, 'cache'), { recursive: true });
  const wiped = await start(t, two);
  // the scan has hardly begun
  t.notOk((await songsOf(wiped)).some(({ providers }) => providers.includes(wiped.id)), 'before a word is said nobody is promised what a wiped cache had');
});

t.test('a kill after the network was written down and before anything was moved leaves no pin and no copy behind', { buffered: true }, async (t) => {
  const one = await home(t);
  const network = networkOf(t);
  await (await start(t, one, { cacheBytes: 20e6 })).stop();
  const [before, after] = [openNetwork(network), closeNetwork(network)];
  const folder = (of: Network): string => join(one.data, 'cache', hex(networkHash(of)));
  // more than others' caches may keep
  const songs = Array.from({ length: 16 }, () => madeSong(1_000_000));
  const database = await openDatabase(one.data);
  await (await PinStore.open(database, hex(networkHash(before)))).pin(randomId<SongId>(), (songs[0] as MadeSong).payload);
  await database.close();
  const files = new OpenFiles();
  const cache = await ChunkCache.open(folder(before), { bytesMax: 20e6, files });
  for (const song of songs) await fillCache(cache, song);
  await cache.close();
  await files.close();
  await (await Settings.open(one.data)).saveNetwork(after, before);
  const found = async (): Promise<unknown> => {
    const peer = await start(t, one, { network: undefined, cacheBytes: 20e6 });
    const { cache: { songs } } = await peer.status();
    const pins = await peer.copies.pins();
    await peer.stop();
    return [peer.open, songs, pins.length];
  };
  t.same(await found(), [false, songs.length, 1]);
  t.same((await Settings.open(one.data)).moves, [], 'once');
  t.same(await found(), [false, songs.length, 1]);
});

t.test('the song that comes next is here before the one that plays ends', { buffered: true }, async (t) => {
  const [owner, listener] = [await home(t), await home(t)];
  await writeFile(join(owner.music, 'a.wav'), wav({ seconds: 4, frequency: 410, tags: tags('Now') }));
  await writeFile(join(owner.music, 'b.wav'), wav({ seconds: 4, frequency: 420, tags: tags('Next') }));
  await writeFile(join(owner.music, 'c.wav'), wav({ seconds: 4, frequency: 430, tags: tags('Some day') }));
  const a = await start(t, owner, { name: 'owner' });
  const b = await start(t, listener, { name: 'listener' });
  await b.copies.setCopies(1);
  const { value: found } = await until('the listener knows the songs', SOON_MS, () => songsOf(b), (songs) => songs.length === 3);
  const id = (title: string): string => found.find((song) => song.title === title)?.id as string;
  const source = (await b.audio(id('Now') as SongId, { original: false, next: id('Next') as SongId })) as AudioSource;
  for await (const _ of source.read(0, source.bytes, AbortSignal.timeout(SOON_MS)));
  await until('both are cached', SOON_MS, () => b.status(), ({ cache }) => cache.songs === 2);
  await a.stop();
  const next = (await b.audio(id('Next') as SongId, { original: false })) as AudioSource;
  let bytes = 0;
  for await (const part of next.read(0, next.bytes, AbortSignal.timeout(SOON_MS))) bytes += part.byteLength;
  t.equal(bytes, next.bytes, 'and what a decoder needs before its sound');
});
