// /metrics, read as Prometheus reads it, of a fake peer and of two real ones.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { payloadIdOf, sha256 } from '../../lib/content.ts';
import type { PeerId, SongId } from '../../lib/ids.ts';
import { CHUNK_BYTES } from '../../lib/limits.ts';
import type { ChunkCache } from '../../storage/chunk-cache.ts';
import { LocalFiles } from '../../storage/local-files.ts';
import { PayloadReader, RATE_TOLD_MS } from '../../peer/chunks/payload-reader.ts';
import { metricsOf } from '../../peer/http/metrics.ts';
import type { StatusJson } from '../../peer/http/schemas.ts';
import type { Peer } from '../../peer/peer.ts';
import { wav } from '../fixtures/audio.ts';
import { fakePeer } from '../fixtures/fake-peer.ts';
import { home, SOON_MS, songsOf, startPeerOf } from '../fixtures/whole-peer.ts';
import { until } from '../lab/until.ts';
import { seededRandom } from '../../lib/random.ts';

interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: { readonly name: string; readonly labels: Readonly<Record<string, string>>; readonly value: number }[];
}

/** The text format 0.0.4, and nothing more lenient. */
function parse(text: string): ReadonlyMap<string, Family> {
  const families = new Map<string, Family>();
  const series = new Set<string>();
  let help: readonly [name: string, text: string] | undefined;
  let current: readonly [name: string, family: Family] | undefined;
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const [, keyword, named, rest] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (keyword === 'HELP') {
      help = [named as string, rest as string];
    } else if (keyword === 'TYPE') {
      if (help?.[0] !== named || families.has(named as string)) throw new Error(`not after its help, or twice: ${line}`);
      current = [named as string, { type: rest as string, help: help?.[1] as string, samples: [] }];
      families.set(...(current as [string, Family]));
    } else {
      const [, name, labelled, value] = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/s.exec(line) ?? [];
      if (name === undefined || current === undefined) throw new Error(`no sample: ${line}`);
      const [family, { type, samples }] = current;
      const names = type === 'histogram' ? ['_bucket', '_sum', '_count'].map((ending) => family + ending) : [family];
      if (!names.includes(name)) throw new Error(`not of ${family}: ${line}`);
      const labels: Record<string, string> = {};
      const label = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/y;
      while (label.lastIndex < (labelled?.length ?? 0)) {
        const [, key, escaped] = label.exec(labelled as string) ?? [];
        if (key === undefined || key in labels) throw new Error(`no labels: ${line}`);
        labels[key] = (escaped as string).replace(/\\([\\"n])/g, (_, sign: string) => (sign === 'n' ? '\n' : sign));
      }
      if (series.has(`${name} ${JSON.stringify(labels)}`)) throw new Error(`twice: ${line}`);
      series.add(`${name} ${JSON.stringify(labels)}`);
      samples.push({ name, labels, value: Number(value) });
    }
  }
  return families;
}

/** The value of a series. */
function valueOf(families: ReadonlyMap<string, Family>, name: string, wanted: Readonly<Record<string, string>> = {}): number | undefined {
  for (const { samples } of families.values()) {
    for (const { name: is, labels, value } of samples) if (is === name && Object.entries(wanted).every(([key, label]) => labels[key] === label)) return value;
  }
  return undefined;
}

const peerText = async (change: Partial<StatusJson> = {}, peer = fakePeer()): Promise<string> =>
  (await metricsOf({ status: { ...(await peer.status()), ...change }, stats: peer.stats, version: '1.2.3' })).text;

t.test('every figure has a name, a type and a help as Prometheus wants them', async (t) => {
  const { network } = await fakePeer().status();
  const families = parse(await peerText({ network: { ...network, version: 4, dropped: { forged: 3, badFrames: 0 } } }));
  t.ok(families.size > 25);
  for (const [name, { type, help, samples }] of families) {
    t.match(name, /^(spotify_peer|process|nodejs)(_[a-z]+)+$/);
    t.ok(help.length > 10 && !help.endsWith('.'), `${name}: ${help}`);
    t.equal(name.endsWith('_total'), type === 'counter', `${name} is a ${type}`);
    t.notMatch(name, /_(ms|milliseconds|kb|mb|minutes|percent)(_|$)/, 'base units');
    if (type === 'counter') t.ok(samples.every(({ value }) => value >= 0), name);
  }
  t.equal(valueOf(families, 'spotify_peer_build_info', { version: '1.2.3', protocol: '4' }), 1);
  t.same(['alive', 'suspect', 'dead', 'left'].map((state) => valueOf(families, 'spotify_peer_members', { state })), [1, 0, 1, 0]);
  t.same(['gateway', 'users', 'music', 'recommendations'].map((role) => valueOf(families, 'spotify_peer_role_held', { role })), [0, 1, 1, 0], 'those that it holds itself');
  t.same(['coordinator', 'coordinator_known', 'coordination_term', 'catalog_songs', 'cache_bytes', 'cache_limit_bytes', 'cache_songs', 'replication_behind_operations'].map((name) => valueOf(families, `spotify_peer_${name}`)),
    [1, 1, 3, 60, 1_610_612_736, 10_737_418_240, 212, 0]);
  t.same([valueOf(families, 'spotify_peer_dropped_total', { reason: 'forged' }), valueOf(families, 'spotify_peer_dropped_total', { reason: 'badFrames' })], [3, 0]);
  t.ok((valueOf(families, 'process_cpu_seconds_total') as number) > 0);
  t.ok(Math.abs((valueOf(families, 'process_start_time_seconds') as number) - Date.now() / 1_000) < 600);
  t.ok((valueOf(families, 'process_resident_memory_bytes') as number) > 1e7);
  const follower = parse(await peerText({ coordinator: { id: 'ef'.repeat(16), term: 9, ageMs: 5 } }));
  t.same(['coordinator', 'coordinator_known', 'coordination_term'].map((name) => valueOf(follower, `spotify_peer_${name}`)), [0, 1, 9]);
  const alone = parse(await peerText({ coordinator: null, members: [] }));
  t.same(['coordinator', 'coordinator_known', 'coordination_term'].map((name) => valueOf(alone, `spotify_peer_${name}`)), [0, 0, 0]);
  t.equal(alone.get('spotify_peer_provider_bytes_per_second')?.samples.length, 0, 'of nobody there is no rate');
});

t.test('what was counted before the first scrape is in it, and nothing twice', async (t) => {
  const peer = fakePeer();
  const { stats } = peer;
  for (const time of [0.5, 1, 15, 90, 20_000]) stats.firstByte(time);
  stats.stalled(1_500);
  stats.failed();
  stats.gave('own', 100);
  stats.gave('cache', 20);
  stats.gave('peers', 3);
  stats.hedged();
  stats.wrong();
  stats.gaveOthers(64);
  for (const text of [await peerText({}, peer), await peerText({}, peer)]) {
    const families = parse(text);
    const first = 'spotify_peer_play_first_byte_seconds';
    t.equal(families.get(first)?.type, 'histogram');
    const buckets = families.get(first)?.samples.filter(({ name }) => name === `${first}_bucket`) ?? [];
    t.same(buckets.map(({ labels: { le } }) => le), ['0.001', '0.002', '0.005', '0.01', '0.02', '0.05', '0.1', '0.2', '0.5', '1', '2', '5', '10', '+Inf']);
    t.same(buckets.map(({ value }) => value), [2, 2, 2, 2, 3, 3, 4, 4, 4, 4, 4, 4, 4, 5], 'each counts all below');
    t.same([valueOf(families, `${first}_count`), valueOf(families, `${first}_sum`)], [5, 20.1065]);
    t.same(['play_stalls', 'play_stalled_seconds', 'play_failures', 'hedges', 'wrong_chunks', 'served_requests', 'served_bytes'].map((name) => valueOf(families, `spotify_peer_${name}_total`)), [1, 1.5, 1, 1, 1, 1, 64]);
    t.same(['own', 'cache', 'peers'].map((source) => valueOf(families, 'spotify_peer_read_bytes_total', { source })), [100, 20, 3]);
  }
});

/** Controls read as spaces; quotes and backslashes are as they were. */
const shownName = (name: string): string => name.toWellFormed().replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, ' ');
const HOSTILE = 'a"} 1\n# TYPE owned counter\nowned_total{x="\\';

t.test('a provider cannot write figures by its name', async (t) => {
  const peer = fakePeer();
  const playback = { plays: 1, failures: 0, firstByteMs: { p50: 1, p99: 1 }, stalls: 0, stalledMs: 0, bytes: { own: 0, cache: 0, peers: 1 }, hedges: 0, wrongChunks: 0 };
  const id = 'ab'.repeat(16);
  for (const [i, name] of [HOSTILE, '\\', '\\n', '"', '\r\n', '\ud800', '{}', '\u2028', '\u0000', ''].entries()) {
    const text = await peerText({ playback: { ...playback, providers: [{ id, name, bytesPerSecond: 7 }] } }, peer);
    const families = parse(Buffer.from(text).toString());
    t.same(families.get('spotify_peer_provider_bytes_per_second')?.samples.map(({ labels, value }) => [labels, value]), [[{ peer: id, name: shownName(name) }, 7]], `name ${i}`);
    t.notOk(families.has('owned'));
  }
});

t.test('a provider has a rate once it was measured, and until ten minutes after it was last asked', async (t) => {
  const bytes = Buffer.alloc(4 * CHUNK_BYTES, 7);
  const manifest = Buffer.concat(Array.from({ length: 4 }, () => sha256(bytes.subarray(0, CHUNK_BYTES))));
  const payload = payloadIdOf(manifest);
  let now = 0;
  let takesMs = 1;
  const local = { read: async () => null, manifestOf: async () => null } as unknown as LocalFiles;
  const cache = { hold: () => () => {}, hasChunk: () => false, manifestOf: async () => manifest, read: async () => null, begin: async () => false } as unknown as ChunkCache;
  const requestBytes = async (): Promise<Uint8Array> => {
    now += takesMs;
    return bytes.subarray(0, CHUNK_BYTES);
  };
  const link = { peer: 'cd'.repeat(16) as PeerId, requestBytes };
  const reader = new PayloadReader({
    self: 'ee'.repeat(16) as PeerId,
    local, cache, random: seededRandom(1), onLiar: () => {}, alarms: { now: () => now, after: () => () => {} },
    providers: { ofPayload: () => [link], ofFile: () => [], linkTo: () => undefined, watch: () => () => {} },
  });
  t.same([...reader.rates()], [], 'nobody was asked');
  const whole = { payload, payloadBytes: bytes.byteLength, start: 0, end: bytes.byteLength };
  for await (const _ of reader.open({ ...whole, end: 1 }));
  t.same([...reader.rates()], [], 'one chunk in a millisecond measures nothing');
  reader.close();
  takesMs = 10;
  for await (const _ of reader.open(whole));
  const [rate] = [...reader.rates()];
  t.equal(rate?.peer, link.peer);
  t.ok((rate?.bytesPerSecond as number) > 1e6 && (rate?.bytesPerSecond as number) < 6.6e6, `${rate?.bytesPerSecond} of 2.5 MB/s supposed and ${CHUNK_BYTES / 0.01} measured`);
  now += RATE_TOLD_MS - 100;
  t.equal([...reader.rates()].length, 1);
  now += 200;
  t.same([...reader.rates()], []);
});

async function start(t: Test, name: string): Promise<{ readonly peer: Peer; readonly music: string }> {
  const folders = await home(t);
  return { peer: await startPeerOf(t, folders, { name }), music: folders.music };
}

const scrape = async (t: Test, peer: Peer): Promise<ReadonlyMap<string, Family>> => {
  const answer = await fetch(`${peer.httpUrl}/metrics`);
  t.equal(answer.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  return parse(await answer.text());
};

t.test('a scrape counts no copies, which goes through all songs', { timeout: 60_000 }, async (t) => {
  const { peer } = await start(t, 'scraped');
  t.equal(valueOf(await scrape(t, peer), 'spotify_peer_copies_missing_songs'), undefined);
  t.equal((await peer.status({ copies: false })).copies, null);
  await until('they are counted', SOON_MS, async () => (await peer.status()).copies, (copies) => copies !== null);
  const families = await scrape(t, peer);
  t.same(['spotify_peer_copies_lacking_songs', 'spotify_peer_copies_missing_songs'].map((name) => valueOf(families, name)), [0, 0], 'and a later one tells what was counted');
  t.ok((valueOf(families, 'spotify_peer_copies_age_seconds') ?? -1) >= 0, 'and when');
});

t.test('the figures move when music is played, by where it came from', { timeout: 60_000 }, async (t) => {
  const [{ peer: holder, music }, { peer: listener }] = [await start(t, HOSTILE), await start(t, 'listener')];
  await writeFile(join(music, 'a.wav'), wav({ seconds: 60, frequency: 300, tags: { title: 'Alpha', artist: 'Somebody', album: 'Something' } }));
  const { value: songs } = await until('the song is everywhere', SOON_MS, () => songsOf(listener), ({ length }) => length === 1);
  const id = songs[0]?.id as SongId;
  const play = async (peer: Peer): Promise<number> => (await (await fetch(`${peer.httpUrl}/api/songs/${id}/audio`)).arrayBuffer()).byteLength;
  const sourcesOf = (families: ReadonlyMap<string, Family>): (number | undefined)[] => ['own', 'cache', 'peers'].map((source) => valueOf(families, 'spotify_peer_read_bytes_total', { source }));
  t.same(sourcesOf(await scrape(t, listener)), [0, 0, 0]);
  t.equal((await listener.status()).playback?.plays, 0);

  const bytes = await play(listener);
  const first = await scrape(t, listener);
  const sound = valueOf(first, 'spotify_peer_read_bytes_total', { source: 'peers' }) as number;
  t.ok(sound > 5_000_000 && sound <= bytes, `${sound} of ${bytes} are sound`);
  t.same(sourcesOf(first), [0, 0, sound]);
  t.equal(valueOf(first, 'spotify_peer_play_first_byte_seconds_count'), 1);
  t.ok((valueOf(first, 'spotify_peer_play_first_byte_seconds_sum') as number) > 0);
  t.ok((valueOf(first, 'spotify_peer_provider_bytes_per_second', { peer: holder.id, name: shownName(HOSTILE) }) as number) > 1_000, 'a rate, under its name');
  t.ok((valueOf(await scrape(t, holder), 'spotify_peer_served_bytes_total') as number) >= sound, 'what one reads the other serves');

  await until('it is cached', SOON_MS, () => listener.search('', { limit: 9, offset: 0 }), (found) => found.songs[0]?.providers.includes(listener.id) === true);
  await play(listener);
  t.same(sourcesOf(await scrape(t, listener)), [0, sound, sound]);
  await play(holder);
  const own = await scrape(t, holder);
  t.same(sourcesOf(own), [sound, 0, 0]);
  t.equal(valueOf(own, 'spotify_peer_play_first_byte_seconds_count'), 1);

  const { playback } = await listener.status();
  t.match(playback, { plays: 2, failures: 0, stalls: 0, bytes: { own: 0, cache: sound, peers: sound }, wrongChunks: 0, providers: [{ id: holder.id, name: HOSTILE }] });
  const { p50, p99 } = playback?.firstByteMs ?? {};
  t.ok(p50 && p99 && p99 >= p50, `${p50} and ${p99} ms`);
  await fetch(`${listener.httpUrl}/api/songs/${id}/audio?original=true`).then((answer) => answer.arrayBuffer());
  t.equal((await listener.status()).playback?.plays, 2, 'a download is no play');
});

t.test('a wrong chunk is counted, and nothing of it is played', { timeout: 60_000 }, async (t) => {
  const { read } = LocalFiles.prototype;
  t.teardown(() => void (LocalFiles.prototype.read = read));
  LocalFiles.prototype.read = async function (payload, index) {
    const chunk = await read.call(this, payload, index);
    return chunk && Uint8Array.from(chunk, (byte, i) => (i === 99 ? byte ^ 1 : byte));
  };
  const [{ music }, { peer: listener }] = [await start(t, 'liar'), await start(t, 'listener')];
  await writeFile(join(music, 'a.wav'), wav({ seconds: 1, frequency: 700, tags: { title: 'Alpha', artist: 'Somebody', album: 'Something' } }));
  const { value: songs } = await until('the song is known', SOON_MS, () => songsOf(listener), ({ length }) => length === 1);
  const gone = new AbortController();
  const source = await listener.audio(songs[0]?.id as SongId, { original: false });
  const reading = (async () => {
    let bytes = 0;
    for await (const part of source?.read(0, source.bytes, gone.signal) ?? []) bytes += part.byteLength;
    return bytes;
  })();
  const cut = t.rejects(reading, { code: 'CANCELLED' });
  await until('it is counted', SOON_MS, () => listener.status(), ({ playback }) => (playback?.wrongChunks ?? 0) > 0);
  gone.abort();
  await cut;
  const { playback } = await listener.status();
  t.match(playback, { plays: 0, failures: 0, bytes: { own: 0, cache: 0, peers: 0 } }, 'who left has not failed');
});
