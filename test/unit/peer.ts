// Whole peers, in this process and on the loopback interface: real sockets, real disks, real files. What needs several hosts
// is in test/lab.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readdir, readFile, rename, rm, stat, unlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { generateIdentity } from '../../lib/identity.ts';
import { type BootId, hex, type ItemId, type PlaylistId, randomId, type SongId } from '../../lib/ids.ts';
import { Keyring } from '../../lib/keyring.ts';
import { closeNetwork, codeOf as networkCodeOf, networkFromText, networkHash, openNetwork } from '../../lib/network-key.ts';
import { ROLES } from '../../lib/roles.ts';
import { Known } from '../../peer/known-peers.ts';
import type { Peer, PeerOptions } from '../../peer/peer.ts';
import { Replica } from '../../peer/replication/replica.ts';
import { Streams } from '../../peer/stream/streams.ts';
import { ChunkCache } from '../../storage/chunk-cache.ts';
import { OpenFiles } from '../../storage/open-files.ts';
import { until } from '../lab/until.ts';
import { m4a, mp3, wav } from '../fixtures/audio.ts';
import { PROGRAM } from '../fixtures/command.ts';
import { fillCache, madeSong } from '../fixtures/made-song.ts';
import { bytesOf, type Home, home, networkOf, original, SOON_MS, songsOf, startPeerOf, tags } from '../fixtures/whole-peer.ts';

t.setTimeout(120_000);
// each has a network of its own, and waits for most of the time
t.jobs = 3;

/** Nobody sees to copies, by which a song would outlive its machine: they are in copies-peers.ts. */
const WITHOUT_COPIES = ROLES.filter((role) => role !== 'music');
const start = (t: Test, home: Home, options: Partial<PeerOptions> = {}): Promise<Peer> => startPeerOf(t, home, { roles: WITHOUT_COPIES, ...options });

const titles = async (peer: Peer): Promise<string[]> => (await songsOf(peer)).map(({ title }) => title).sort();

const shows = (peer: Peer, wanted: readonly string[]): Promise<unknown> =>
  until(`${peer.name} shows ${wanted.join(', ') || 'nothing'}`, SOON_MS, () => titles(peer), (found) => found.join() === [...wanted].sort().join());

t.test('two peers on one machine find each other, and each plays what only the other has', { buffered: true }, async (t) => {
  const [one, two] = [await home(t), await home(t)];
  const files = { Alpha: await mp3({ seconds: 2, frequency: 300, tags: tags('Alpha') }), Beta: wav({ seconds: 2, frequency: 400, tags: tags('Beta') }) };
  await writeFile(join(one.music, 'a.mp3'), files.Alpha);
  await writeFile(join(two.music, 'b.wav'), files.Beta);
  const [a, b] = [await start(t, one, { name: 'a' }), await start(t, two, { name: 'b' })];
  await Promise.all([shows(a, ['Alpha', 'Beta']), shows(b, ['Alpha', 'Beta'])]);
  for (const peer of [a, b]) {
    for (const { id, title } of await songsOf(peer)) t.ok((await original(peer, id)).equals(files[title as keyof typeof files]), `${peer.name} plays ${title}`);
  }
  const [member] = (await a.status()).members;
  t.match(member, { id: b.id, name: 'b', state: 'alive' });
  await until('both say that they are in sync', SOON_MS, () => Promise.all([a.status(), b.status()]), (both) =>
    both.every(({ members }) => members.every(({ inSync }) => inSync)) && both[0]?.replication.digest === both[1]?.replication.digest);
  await b.stop();
  await until('the one that left has left', SOON_MS, () => a.status(), ({ members }) => members[0]?.state === 'left');
});

t.test('what was cached is played when its only other holder is gone, and offered to others', { buffered: true }, async (t) => {
  const [one, two] = [await home(t), await home(t)];
  const file = wav({ seconds: 5, frequency: 500, tags: tags('Kept') });
  await writeFile(join(one.music, 'kept.wav'), file);
  const [a, b] = [await start(t, one), await start(t, two)];
  await shows(b, ['Kept']);
  const [song] = await songsOf(b);
  t.ok((await original(b, song?.id as string)).equals(file));
  await until('the copy is announced', SOON_MS, async () => (await songsOf(a))[0]?.providers ?? [], (providers) => providers.includes(b.id));
  await a.stop();
  const audio = await b.audio(song?.id as SongId, { original: false });
  const played = await bytesOf(audio);
  t.ok(played.length > 0 && file.includes(played.subarray(100, 10_000)), 'its sound is still there');
});

t.test('who plays in pieces gets them all of one file, also when its only holder leaves in the middle', async (t) => {
  const [one, two, three] = [await home(t), await home(t), await home(t)];
  const sound = { seconds: 300, frequency: 500 };
  const files = [m4a({ ...sound, tags: tags('Twin') }), m4a({ ...sound, tags: { ...tags('Twin'), album: 'Another '.repeat(5_000), artist: 'Somebody else' } })] as const;
  await Promise.all([writeFile(join(one.music, 'a.m4a'), files[0]), writeFile(join(two.music, 'b.m4a'), files[1])]);
  const [a, b, c] = [await start(t, one), await start(t, two), await start(t, three)];
  const { value: [song] } = await until('both files are known', SOON_MS, () => songsOf(c), ([song]) => song?.files.length === 2);
  const url = `${c.httpUrl}/api/songs/${song?.id}/audio`;
  const part = async (from: number, to: number): Promise<{ readonly etag: string | null; readonly bytes: Buffer }> => {
    const answer = await fetch(url, { headers: { range: `bytes=${from}-${to - 1}` } });
    return { etag: answer.headers.get('etag'), bytes: Buffer.from(await answer.arrayBuffer()) };
  };
  const first = await part(0, 100_000);
  const [holder, file] = [[a, files[0]] as const, [b, files[1]] as const].find(([, bytes]) => bytes.subarray(0, 100_000).equals(first.bytes)) ?? [a, Buffer.alloc(0)];
  await holder.stop();
  await until('it is gone', SOON_MS, () => c.status(), ({ members }) => members.some(({ id, state }) => id === holder.id && state === 'left'));
  const parts = [first];
  for (let from = 100_000; from < file.byteLength; from += 100_000) parts.push(await part(from, Math.min(from + 100_000, file.byteLength)));
  t.ok(Buffer.concat(parts.map(({ bytes }) => bytes)).equals(file));
  t.same(new Set(parts.map(({ etag }) => etag)), new Set([first.etag]));
  t.same(await part(0, 100_000), first, 'and once more from its beginning');
});

t.test('who takes a song in pieces has the rest of it brought meanwhile, and hears it to its end when its only holder has gone', { buffered: true }, async (t) => {
  const [one, two] = [await home(t), await home(t)];
  const file = wav({ seconds: 60, frequency: 500, tags: tags('Whole') });
  await writeFile(join(one.music, 'whole.wav'), file);
  const [a, b] = [await start(t, one), await start(t, two)];
  await shows(b, ['Whole']);
  const [song] = await songsOf(b);
  const part = async (from: number, to: number): Promise<Buffer> => {
    const answer = await fetch(`${b.httpUrl}/api/songs/${song?.id}/audio`, { headers: { range: `bytes=${from}-${to - 1}` } });
    return Buffer.from(await answer.arrayBuffer());
  };
  const played = Math.ceil(file.byteLength / 8);
  const first = await part(0, played);
  await until('all of it is here', SOON_MS, async () => (await songsOf(b))[0]?.providers ?? [], (providers) => providers.includes(b.id));
  await a.stop();
  t.ok(Buffer.concat([first, await part(played, file.byteLength)]).equals(file));
});

/** Turns a bit over at each place, and leaves size and time as they were. */
async function rot(path: string, places: readonly number[]): Promise<void> {
  const { atimeMs, mtimeMs } = await stat(path);
  const bytes = await readFile(path);
  for (const place of places) bytes[place]! ^= 1;
  const handle = await open(path, 'r+');
  await handle.write(bytes, 0, bytes.length, 0);
  await handle.close();
  await utimes(path, atimeMs / 1000, mtimeMs / 1000);
}

t.test('a song that rots in the cache is played right, told of in one line, and offered again when it is whole', { buffered: true }, async (t) => {
  const [one, two] = [await home(t), await home(t)];
  const file = wav({ seconds: 5, frequency: 510, tags: tags('Rotten') });
  await writeFile(join(one.music, 'rotten.wav'), file);
  const lines: unknown[] = [];
  const a = await start(t, one);
  const b = await start(t, two, { log: (event, facts) => event === 'damaged' && lines.push(facts) });
  await shows(b, ['Rotten']);
  const [song] = await songsOf(b);
  const announced = (wanted: boolean): Promise<unknown> =>
    until(`the copy is ${wanted ? 'announced' : 'withdrawn'}`, SOON_MS, async () => (await songsOf(a))[0]?.providers ?? [], (providers) => providers.includes(b.id) === wanted);
  t.ok((await original(b, song?.id as string)).equals(file));
  await announced(true);
  const cached = (await readdir(join(two.data, 'cache'), { recursive: true })).find((name) => name.endsWith('.chunks')) as string;
  await rot(join(two.data, 'cache', cached), [4_096 + 10, 4_096 + 2 * 65_536]);
  t.ok((await original(b, song?.id as string)).equals(file));
  await until('it is whole again', SOON_MS, () => readFile(join(two.data, 'cache', cached)), (bytes) => bytes.subarray(4_096).equals(file.subarray(file.indexOf('data') + 8).subarray(0, bytes.length - 4_096)));
  t.equal(lines.length, 1, 'of two damaged chunks one line');
  t.match(lines[0], { payload: cached.slice(-39, -7) });
  await announced(true);
});

t.test('a file altered without a trace is found out when somebody plays it, and is no longer said to be what it was', { buffered: true }, async (t) => {
  const [one, two] = [await home(t), await home(t)];
  const file = wav({ seconds: 3, frequency: 520, tags: tags('Altered') });
  for (const { music } of [one, two]) await writeFile(join(music, 'altered.wav'), file);
  const [a, b] = [await start(t, one), await start(t, two)];
  await until('both have it', SOON_MS, () => songsOf(a), ([song]) => song?.providers.length === 2);
  const id = (await songsOf(a))[0]?.id as string;
  await rot(join(one.music, 'altered.wav'), [file.length - 5_000]);
  t.ok((await original(a, id)).equals(file), 'the other one makes up for it');
  await until('only the other one has it', SOON_MS, () => songsOf(a), (songs) => {
    const [before, after] = [songs.find((song) => song.id === id), songs.find((song) => song.id !== id)];
    return before?.providers.join() === b.id && after?.providers.join() === a.id;
  });
});

t.test('a file that is retagged keeps its song, a deleted one goes, a new one comes, on every peer', { buffered: true }, async (t) => {
  const [one, two] = [await home(t), await home(t)];
  const path = join(one.music, 'song.mp3');
  await writeFile(path, await mp3({ seconds: 1, frequency: 330, tags: tags('Before') }));
  const [, b] = [await start(t, one), await start(t, two)];
  await shows(b, ['Before']);
  const [before] = await songsOf(b);
  await writeFile(path, await mp3({ seconds: 1, frequency: 330, tags: tags('After') }));
  await shows(b, ['After']);
  const [after] = await songsOf(b);
  t.equal(after?.id, before?.id);
  t.not(after?.files[0]?.id, before?.files[0]?.id);
  await rename(path, join(one.music, 'moved.mp3'));
  await writeFile(join(one.music, 'new.wav'), wav({ seconds: 1, frequency: 600, tags: tags('New') }));
  await shows(b, ['After', 'New']);
  await unlink(join(one.music, 'moved.mp3'));
  await shows(b, ['New']);
});

t.test('a closed network is entered by its code, and by nothing else; what is inside does not leak out', { buffered: true }, async (t) => {
  const homes = [await home(t), await home(t), await home(t)] as const;
  for (const [i, { music }] of homes.entries()) await writeFile(join(music, 'x.wav'), wav({ seconds: 1, frequency: 200 + 50 * i, tags: tags(`Of ${i}`) }));
  const [a, b, c] = [await start(t, homes[0]), await start(t, homes[1]), await start(t, homes[2])];
  await Promise.all([a, b, c].map((peer) => shows(peer, ['Of 0', 'Of 1', 'Of 2'])));
  const { code, open } = await a.closeNetwork({ newKey: false });
  t.notOk(open);
  await shows(a, ['Of 0']);
  await b.joinNetwork(code as string);
  await Promise.all([shows(a, ['Of 0', 'Of 1']), shows(b, ['Of 0', 'Of 1'])]);
  await t.rejects(c.joinNetwork(`${code}x`), { code: 'BAD_CODE' });
  t.ok((await c.network()).open, 'a wrong code changes nothing');
  await t.rejects(a.joinNetwork('lusab'), { code: 'BAD_CODE' });
  t.equal((await a.closeNetwork({ newKey: false })).code, code, 'closing it again changes nothing');
  // over a restart the code is still known
  await a.stop();
  const again = await start(t, homes[0], { network: undefined });
  await shows(again, ['Of 0', 'Of 1']);
  t.equal((await again.network()).code, code);
  t.notOk((await c.status()).members.some(({ id, state }) => id === again.id && state === 'alive'), 'who is outside sees nobody inside');
  const renewed = await again.closeNetwork({ newKey: true });
  t.not(renewed.code, code);
  await shows(again, ['Of 0']);
  // both at once: one after the other, and whole at the end
  await Promise.all([b.joinNetwork(renewed.code as string), b.joinNetwork(renewed.code as string)]);
  await shows(again, ['Of 0', 'Of 1']);
  await b.openNetwork();
  // what was said in the open stays said there
  await Promise.all([shows(b, ['Of 0', 'Of 1', 'Of 2']), shows(c, ['Of 0', 'Of 1', 'Of 2'])]);
});

t.test('a file that changed behind our back is never played wrong, and its other holder takes over', { buffered: true }, async (t) => {
  const [one, two, three] = [await home(t), await home(t), await home(t)];
  const file = wav({ seconds: 20, frequency: 700, tags: tags('Twice') });
  await writeFile(join(one.music, 'x.wav'), file);
  await writeFile(join(two.music, 'x.wav'), file);
  const [a, b, c] = [await start(t, one), await start(t, two), await start(t, three)];
  await until('both are known to have it', SOON_MS, async () => (await songsOf(c))[0]?.providers ?? [], (providers) => [a, b].every(({ id }) => providers.includes(id)));
  const spoilt = Buffer.from(file).fill(0, 1_000);
  await writeFile(join(one.music, 'x.wav'), spoilt);
  const [song] = await songsOf(c);
  t.ok((await original(c, song?.id as string)).equals(file));
});

t.test('without any music a sample plays, and it goes when a real song comes', { buffered: true }, async (t) => {
  const one = await home(t);
  const a = await start(t, one);
  const { value } = await until('the sample is offered', SOON_MS, () => a.status(), ({ sample }) => sample !== null);
  t.equal(value.catalog.songs, 0, 'it is no song of the catalog');
  t.equal((await bytesOf(a.sample())).subarray(0, 4).toString(), 'RIFF');
  await writeFile(join(one.music, 'x.wav'), wav({ seconds: 1, frequency: 300, tags: tags('Real') }));
  await shows(a, ['Real']);
  t.equal((await a.status()).sample, null);
  t.equal(a.sample(), null);
});

t.test('a forgotten machine takes its songs along, and brings them back when it returns', { buffered: true }, async (t) => {
  const [one, two] = [await home(t), await home(t)];
  await writeFile(join(two.music, 'x.wav'), wav({ seconds: 1, frequency: 310, tags: tags('Lost') }));
  const [a, b] = [await start(t, one), await start(t, two)];
  await shows(a, ['Lost']);
  await b.stop();
  await a.forget(b.id);
  await shows(a, []);
  await start(t, two);
  await shows(a, ['Lost']);
});

t.test('what is done on one machine stands in the event log of every one, in one order, and is settled soon', { buffered: true }, async (t) => {
  const homes = [await home(t), await home(t)] as const;
  const [a, b] = [await start(t, homes[0], { name: 'a' }), await start(t, homes[1], { name: 'b' })];
  // elections stand there too, as they come
  const isDone = ({ kind }: { readonly kind: string }): boolean => kind === 'forget';
  const log = async (peer: Peer) => (await peer.eventLog.read({ kind: 'last', count: 100 })).events.filter(isDone);
  const knows = (peer: Peer): Promise<unknown> => until('they know each other', SOON_MS, () => peer.status(), ({ members }) => members.some(({ inSync }) => inSync));
  await Promise.all([knows(a), knows(b)]);
  const told: string[][] = [];
  a.eventLog.follow({ came: (events) => told.push(events.map((toJson) => toJson()).filter(isDone).map(({ name }) => name)), over: () => t.fail('the log is over') });
  await Promise.all([a.forget(b.id), b.forget(a.id)]);
  for (const peer of [a, b]) {
    await until(`both are settled on ${peer.name}`, SOON_MS, () => log(peer), (events) => events.length === 2 && events.every(({ settled }) => settled));
  }
  const events = await log(a);
  t.same(await log(b), events);
  t.same(events.map(({ name }) => name).sort(), ['a', 'b'], 'each says where it was done');
  t.same(told.flat().sort(), ['a', 'b'], 'and who follows hears of each once');
  await b.stop();
  const again = await start(t, homes[1], { name: 'b' });
  t.same((await log(again)).map(({ key }) => key), events.map(({ key }) => key), 'after a restart too');

  const child = spawn(process.execPath, [PROGRAM, 'events', '--follow', '--json', '--data', homes[0].data], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (text) => (stderr += text));
  const closed = once(child, 'close') as Promise<[number | null]>;
  const lines: { readonly key: string; readonly kind: string }[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const event = JSON.parse(line) as (typeof lines)[number];
    if (!isDone(event)) continue;
    lines.push(event);
    if (lines.length === 2) await a.forget(b.id);
    if (lines.length === 3) await a.stop();
  }
  const [code] = await closed;
  t.same(lines.slice(0, 2).map(({ key }) => key), events.map(({ key }) => key), 'what there was');
  t.equal(lines[2]?.key, `forget/${b.id}`, 'and what came');
  t.equal(code, 3);
  t.match(stderr, /^spotify-peer: the peer at .* has ended[^\n]*\n$/, 'the end of the peer is one line');
});

t.test('what people make on one machine is on the other, and stays when the first is gone', { buffered: true }, async (t) => {
  const [one, two] = [await home(t), await home(t)];
  await writeFile(join(one.music, 'a.wav'), wav({ seconds: 1, frequency: 320, tags: tags('Alpha') }));
  await writeFile(join(two.music, 'b.wav'), wav({ seconds: 1, frequency: 330, tags: tags('Beta') }));
  const [a, b] = [await start(t, one), await start(t, two)];
  await Promise.all([a, b].map((peer) => shows(peer, ['Alpha', 'Beta'])));
  const [alpha, beta] = (await songsOf(b)).map(({ id }) => id as SongId) as [SongId, SongId];
  const heard = new Promise<void>((resolve) => b.onEvent(({ kind }) => kind === 'userData' && resolve()));
  const { id } = await a.userData.createPlaylist({ profile: 'Anna', name: 'Mix', songs: [alpha, beta] });
  await a.userData.star('Anna', { songs: [alpha], starred: true });
  await heard;
  const page = { limit: 100, offset: 0 };
  const of = async (peer: Peer): Promise<unknown> => [await peer.userData.playlists('ANNA'), (await peer.userData.stars('anna', page)).stars.map(({ songId }) => songId)];
  await until('both show the same', SOON_MS, () => Promise.all([of(a), of(b)]), ([mine, theirs]) => JSON.stringify(mine) === JSON.stringify(theirs) && JSON.stringify(theirs).includes(alpha));
  const { items } = await b.userData.playlist(id as PlaylistId, page);
  await b.userData.moveInPlaylist(id as PlaylistId, { item: items[1]?.id as ItemId, to: 0 });
  await b.userData.star('anna', { songs: [alpha], starred: false });
  await until('the other sees the move', SOON_MS, () => a.userData.playlist(id as PlaylistId, page), (playlist) => playlist.items[0]?.songId === beta);
  await a.stop();
  await b.forget(a.id);
  await shows(b, ['Beta']);
  const left = await b.userData.playlist(id as PlaylistId, page);
  t.same(left.items.map(({ songId, song }) => [songId, song?.title ?? null]), [[beta, 'Beta'], [alpha, null]], 'also what only the forgotten machine had');
  t.same(await b.userData.stars('anna', page), { total: 0, stars: [] });
  await b.stop();
  const again = await start(t, two);
  t.equal((await again.userData.playlists('anna'))[0]?.name, 'Mix', 'and after a restart');
  await start(t, one);
  await until('the song is back with its machine', SOON_MS, () => again.userData.playlist(id as PlaylistId, page), (playlist) => playlist.items[1]?.song?.title === 'Alpha');
});

t.test('two networks of one name that both hold something stay apart until a person joins them by id, and then nothing is lost', { buffered: true }, async (t) => {
  const homes = [await home(t), await home(t)] as const;
  const page = { limit: 10, offset: 0 };
  for (const [i, { music }] of homes.entries()) await writeFile(join(music, 'x.wav'), wav({ seconds: 1, frequency: 300 + 40 * i, tags: tags(`Of ${i}`) }));
  const alone = async (one: Home): Promise<Peer> => {
    const peer = await start(t, one);
    await until('its network has an id', SOON_MS, () => peer.network(), ({ id }) => id !== '');
    await shows(peer, [one === homes[0] ? 'Of 0' : 'Of 1']);
    return peer;
  };
  const first = await alone(homes[0]);
  await first.userData.star('Anna', { songs: [(await songsOf(first))[0]?.id as SongId], starred: true });
  t.equal((await first.status()).replication.localOnly, 1, 'nobody else had it in time');
  await first.stop();
  const b = await alone(homes[1]);
  await b.userData.createPlaylist({ profile: 'Ben', name: 'Mix', songs: [] });
  const a = await start(t, homes[0]);
  const { value } = await until('it says that another is here', SOON_MS, () => b.status(), ({ network }) => network.apart?.length === 1);
  const [other] = value.network.apart ?? [];
  t.match(other, { id: (await a.network()).id, peer: a.id });
  t.equal(value.members[0]?.apart, other?.id, 'and who is in it');
  t.same(await titles(b), ['Of 1'], 'nothing passes');
  const start8 = (id: string | undefined): string => (id ?? '').slice(0, 8);
  await t.rejects(b.joinNetwork('00000000'), { code: 'NOT_FOUND', message: /no other network whose id begins with 00000000/ });
  await t.rejects(b.joinNetwork(start8((await b.network()).id)), { code: 'BAD_USAGE', message: /already/ });
  t.ok((await b.network()).open, 'a wrong id is no passphrase');
  await b.joinNetwork(` ${start8(other?.id).toUpperCase()} `);
  await Promise.all([a, b].map((peer) => shows(peer, ['Of 0', 'Of 1'])));
  await until('each has what the other had', SOON_MS, async () => [(await a.userData.playlists('ben')).length, (await b.userData.stars('anna', page)).total], (counts) => counts.join() === '1,1');
  t.same((await b.status()).network.apart, []);
  await t.rejects(b.joinNetwork(start8(other?.id)), { code: 'BAD_USAGE', message: /already/ });
  await a.stop();
  t.same((await b.status()).network.apart, []);
});

t.test('whatever a member answers when it is asked for addresses, the peer lives on', { buffered: true }, async (t) => {
  const a = await start(t, await home(t));
  const identity = generateIdentity();
  let tell: () => void = () => undefined;
  const asked = new Promise<void>((resolve) => (tell = resolve));
  const streams = new Streams({
    self: { identity, bootId: randomId<BootId>(), describe: () => ({ name: 'liar', port: 0, httpPort: 0 }) },
    keys: new Keyring(openNetwork(networkOf(t)), { wall: () => Date.now() }),
    handlers: new Map([['addresses', () => {
      tell();
      return { kind: 'value' as const, value: [null, 5, 'x', [], [null], [a.id, 7, 'y'], [{}, '10.0.0.1', 1]] };
    }]]),
    report: (error) => t.fail(String(error)),
  });
  t.teardown(() => streams.close());
  const connection = await streams.dial({ host: '127.0.0.1', port: a.port }, { purpose: 'control' });
  await asked;
  // the answer has been read when a later request is answered
  await connection.request('addresses', []);
  const { members } = await a.status();
  t.ok(members.some(({ id }) => id === identity.peer));
});

t.test('kill -9 at any moment loses nothing that was found, and needs no repair', { buffered: true }, async (t) => {
  const { music, data } = await home(t);
  const files = 60;
  for (let i = 0; i < files; i++) await writeFile(join(music, `${i}.wav`), wav({ seconds: 0.2, frequency: 200 + i, tags: tags(`Song ${i}`) }));
  const seed = Number(process.env.SEED ?? Date.now() % 1e6);
  t.comment(`seed ${seed} (SEED=${seed} repeats the moments)`);
  let found = 0;
  for (let round = 0; round < 6; round++) {
    const child = spawn(process.execPath, [PROGRAM, 'start', music, '--data', data, '--network', networkOf(t), '--interface', 'lo', '--port', '0', '--http', '127.0.0.1:0', '--json'], { stdio: ['ignore', 'pipe', 'pipe'] });
    let songs = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      const event = JSON.parse(line) as { event: string; songs?: number; http?: string };
      if (event.event === 'ready') {
        // everything is there again that was reported before the kill
        const answer = (await (await fetch(`${event.http}/api/search?limit=500`)).json()) as { songs: unknown[] };
        t.ok(answer.songs.length >= found, `${answer.songs.length} of at least ${found} songs`);
        found = Math.max(found, answer.songs.length);
        setTimeout(() => child.kill('SIGKILL'), (seed * (round + 7)) % 500);
      }
      songs = Math.max(songs, event.songs ?? 0);
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
  const peer = await start(t, { music, data });
  await until('all songs are there', SOON_MS, () => songsOf(peer), (songs) => songs.length === files);
});

t.test('a network that cannot be entered, because its port was taken and then the disk failed, is left for the one before', async (t) => {
  const a = await start(t, await home(t));
  const { addresses, remember } = Known.prototype;
  t.teardown(() => Object.assign(Known.prototype, { addresses, remember }));
  const another = closeNetwork('another');
  let left = 1;
  // peers of other tests run meanwhile
  Known.prototype.addresses = async function (network) {
    if (network === hex(networkHash(another)) && left-- > 0) throw new Error('a block cannot be read');
    return addresses.call(this, network);
  };
  const remembered: string[] = [];
  Known.prototype.remember = async function (network, tuples) {
    remembered.push(network);
    await remember.call(this, network, tuples);
  };
  const before = (await a.network()).name;
  await t.rejects(a.joinNetwork(networkCodeOf(another)), { message: 'a block cannot be read' });
  t.equal((await a.status()).network.name, before);
  t.notOk(remembered.includes(hex(networkHash(another))), 'addresses that could not be read are not written over');
  t.equal((await a.joinNetwork(networkCodeOf(another))).open, false, 'and another try succeeds');
});

t.test('what was reported before the end is on disk at the end', async (t) => {
  const one = await home(t);
  const a = await start(t, one);
  await until('it has looked', SOON_MS, () => a.status(), ({ catalog }) => !catalog.scanning);
  const { write, close } = Replica.prototype;
  t.teardown(() => Object.assign(Replica.prototype, { write, close }));
  const order: string[] = [];
  // peers of other tests run meanwhile
  Replica.prototype.write = async function (changes) {
    if (this.self === a.id) {
      order.push('reported');
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    const operations = await write.call(this, changes);
    if (this.self === a.id) order.push('written');
    return operations;
  };
  Replica.prototype.close = async function () {
    if (this.self === a.id) order.push('closed');
    await close.call(this);
  };
  await writeFile(join(one.music, 'x.wav'), wav({ seconds: 1, frequency: 300, tags: tags('Late') }));
  await until('it is found', SOON_MS, () => order, ([first]) => first === 'reported');
  await a.stop();
  t.same(order, ['reported', 'written', 'closed']);
});

t.test('a start that fails at its very end says why, and leaves nothing open', async (t) => {
  const one = await home(t);
  await mkdir(join(one.data, 'running.json'), { recursive: true });
  const child = spawn(process.execPath, [PROGRAM, 'start', one.music, '--data', one.data, '--network', networkOf(t), '--interface', 'lo', '--http', '127.0.0.1:0', '--group', '239.255.83.91:21234'], { stdio: ['ignore', 'ignore', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  let said = '';
  child.stderr.on('data', (text) => (said += text));
  const timer = setTimeout(() => child.kill('SIGKILL'), SOON_MS);
  t.same(await once(child, 'close'), [1, null], 'it ends of itself');
  clearTimeout(timer);
  t.match(said, /running\.json cannot be written .*, by which commands find this peer/);
});

t.test('what could not be taken along is swept by nobody, and taken along at the next start', async (t) => {
  const one = await home(t);
  const folder = join(one.data, 'cache');
  const [from, to] = ['aaaaaaaa', 'bbbbbbbb'];
  await mkdir(join(folder, from), { recursive: true });
  await writeFile(join(folder, from, `${randomId()}.chunks`), Buffer.alloc(800_000, 1));
  await writeFile(join(one.data, 'settings.json'), JSON.stringify({ moves: [{ from, to }] }));
  // no folder becomes a file
  await writeFile(join(folder, to), '');
  const troubles: unknown[] = [];
  const options = { cacheBytes: 1_000_000, log: (event: string, facts?: object) => event === 'trouble' && troubles.push(facts) } as const;
  await (await start(t, one, options)).stop();
  t.match(troubles, [{ what: /taken along/ }]);
  t.equal((await readdir(join(folder, from))).length, 1);
  await rm(join(folder, to), { force: true });
  await (await start(t, one, { cacheBytes: 2_000_000 })).stop();
  t.equal((await readdir(join(folder, to))).length, 1);
  t.notOk((await readdir(folder)).includes(from));
});

t.test('with each change of networks what is too much of the caches of others goes, but that of the one just left', async (t) => {
  const one = await home(t);
  const a = await start(t, one, { cacheBytes: 1_000_000 });
  const folder = join(one.data, 'cache');
  const [left] = await readdir(folder) as [string];
  for (const network of [left, 'f'.repeat(64)]) {
    await mkdir(join(folder, network), { recursive: true });
    await writeFile(join(folder, network, `${randomId()}.chunks`), Buffer.alloc(400_000, 1));
  }
  await a.joinNetwork(networkCodeOf(closeNetwork('another')));
  const songs = async (network: string): Promise<number> => (await readdir(join(folder, network))).filter((name) => name.endsWith('.chunks')).length;
  t.same([await songs('f'.repeat(64)), await songs(left)], [0, 1]);
});

t.test('a disk that is full all through a change that fails leaves a network and its cache in one place, for this run and the next', async (t) => {
  const one = await home(t);
  const folder = join(one.data, 'cache');
  const before = hex(networkHash(openNetwork(networkOf(t))));
  const made = madeSong(100_000);
  const files = new OpenFiles();
  const cache = await ChunkCache.open(join(folder, before), { bytesMax: 10e6, files });
  await fillCache(cache, made);
  await cache.close();
  await files.close();
  const song = `${made.payload}.chunks`;
  const a = await start(t, one);
  const { addresses } = Known.prototype;
  t.teardown(() => Object.assign(Known.prototype, { addresses }));
  const full = join(one.data, 'settings.json.new');
  Known.prototype.addresses = async function (network) {
    if (network === before || !(await readdir(folder)).includes(network)) return addresses.call(this, network);
    await mkdir(full, { recursive: true });
    throw new Error('a block cannot be read');
  };
  await t.rejects(a.closeNetwork({ newKey: false }), { message: 'a block cannot be read' });
  Object.assign(Known.prototype, { addresses });
  const holding = async (): Promise<string[]> => {
    const holds = await Promise.all((await readdir(folder)).map(async (network) => [network, (await readdir(join(folder, network))).includes(song)] as const));
    return holds.filter(([, here]) => here).map(([network]) => network);
  };
  t.same([(await a.network()).open, await holding()], [true, [before]]);
  await a.stop();
  await rm(full, { recursive: true });
  const again = await start(t, one);
  const { open, code } = await again.network();
  t.notOk(open, 'the last that could be written down');
  t.same(await holding(), [hex(networkHash(await networkFromText(code as string, { name: 'any' })))], 'and its cache is there');
});
