// Music that plays on. Of five hosts two listen, several players each, and the other three fail: every few seconds one of them, mostly the
// one that sends right now, is killed, frozen or cut off, and comes back. Each song is on two hosts, and no second one goes before the
// first is back; so there is always one to play from. Of half the songs the two hosts have files with other tags, which are other bytes
// around the same sound: a player gets all of one. No player may fall silent after its first byte, or hear a wrong one.
//
// The players' clocks run five times faster than the world's: ten seconds of buffer are two here, the second and a half with which a song
// begins is 0.3, and a provider's silence is as long as ever. Ten times faster that is 0.15 s, in which a frozen machine cannot be told from one that has
// much to do, where six processes share two cores. What the kernel would buffer of a song is bounded, or it would be whole before anything can fail.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { integerBetween, type Random, seededRandom } from '../../../lib/random.ts';
import { mp3 } from '../../fixtures/audio.ts';
import { Api } from '../api.ts';
import { boundKernelBuffers, type Heard, listen, type Manner } from '../ear.ts';
import { effort, isLong, oneOf, seeded } from '../effort.ts';
import { type Host, Lab } from '../lab.ts';
import { musicFolder, wav } from '../music.ts';
import { NO_COPIES, type Peer, programMissing, startPeer } from '../peers.ts';
import { until } from '../until.ts';

const HOSTS = 5;
const SPEED = 5;
const BUFFER_SECONDS = 10;
/** One shift of 20 plays, or ten of 100. */
const SHIFTS = effort({ short: 1, long: 10 });
const LISTENERS = 2;
const PLAYERS = effort({ short: 5, long: 10 });
const PLAYS_EACH = effort({ short: 2, long: 5 });
/** Within which the players of a shift begin: nobody's household presses ten buttons in one moment. */
const SPREAD_MS = 2_000;
/** Enough that hardly a play is of a song that was heard before on that host. */
const SONGS_PER_PAIR = effort({ short: 2, long: 6 });
/** At 353 kbit/s: 1.1 and 3.5 MB. */
const SECONDS = effort({ short: 25, long: 80 });
const WAV_BYTES_PER_SECOND = 44_100;
/** Every so many songs one is an MP3, which costs encoding, and plays from behind its tags. */
const MP3_EVERY = 10;
const MP3 = { seconds: 30, bytesPerSecond: 16_000 };
/** A few songs only, so that in the long form songs go and come. */
const CACHE = '60MB';

const WAYS = ['kill -9', 'SIGSTOP', 'cable'] as const;
type Way = (typeof WAYS)[number];
const AWAY_MS = effort({ short: { least: 400, most: 1_200 }, long: { least: 400, most: 4_000 } });
const PAUSE_MS = effort({ short: { least: 0, most: 300 }, long: { least: 0, most: 1_500 } });
/** Who sent most in the meantime is the provider of now. */
const WATCH_MS = 150;
const PROVIDER_SHARE = 0.7;
const PATIENCE_MS = 20_000;
const TEST_MS = effort({ short: 120_000, long: 1_500_000 });

interface Recording {
  readonly title: string;
  readonly holders: readonly Host[];
  /** What a player gets: the file of one of the holders, or of any. */
  readonly sounds: readonly [Buffer, ...Buffer[]];
  readonly bytesPerSecond: number;
}

interface Fault {
  readonly way: Way;
  readonly host: Host;
  readonly from: number;
  to: number;
  readonly isProvider: boolean;
}

async function record(hosts: readonly Host[]): Promise<Recording[]> {
  const pairs = hosts.flatMap((one, i) => hosts.slice(i + 1).map((other) => [one, other] as const));
  return Promise.all(
    Array.from({ length: pairs.length * SONGS_PER_PAIR }, async (_, i): Promise<Recording> => {
      const tags = { title: `Play ${i}`, artist: 'The Uninterrupted', album: 'On and On' };
      const holders = pairs[i % pairs.length] as readonly Host[];
      const isMp3 = i % MP3_EVERY === MP3_EVERY - 1;
      const put = (files: readonly Buffer[]): void => holders.forEach((host, n) => writeFileSync(join(musicFolder(host), `${i}.${isMp3 ? 'mp3' : 'wav'}`), files[n % files.length] as Buffer));
      if (isMp3) {
        const sound = { seconds: MP3.seconds, frequency: 300 + i };
        put([await mp3({ ...sound, tags })]);
        return { title: tags.title, holders, sounds: [await mp3(sound)], bytesPerSecond: MP3.bytesPerSecond };
      }
      const tagged = (album: string): Buffer => wav({ ...tags, album }, `play/${i}`, SECONDS * WAV_BYTES_PER_SECOND);
      const sounds: [Buffer, ...Buffer[]] = [tagged(tags.album)];
      if (i % 2 === 1) sounds.push(tagged('On and On, '.repeat(3_000)));
      put(sounds);
      return { title: tags.title, holders, sounds, bytesPerSecond: WAV_BYTES_PER_SECOND };
    }),
  );
}

const quantile = (values: readonly number[], share: number): number => Math.round([...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(share * values.length))] as number);

t.setTimeout(TEST_MS);
t.test('five hosts of which two listen, and each song is on two', { skip: skip || programMissing(), timeout: TEST_MS }, async (t: Test) => {
  const random = seeded(t);
  const lab = await Lab.create({ name: 'plays', hosts: HOSTS });
  t.teardown(() => lab.close());
  await Promise.all(lab.hosts.map(boundKernelBuffers));
  const recordings = await record(lab.hosts);
  const start = (host: Host): Promise<Peer> => startPeer(host, { folders: [musicFolder(host)], args: ['--cache', CACHE, ...NO_COPIES] });
  const apis = await Promise.all(lab.hosts.map((host) => Api.open(host)));
  const apiOf = ({ number }: Host): Api => apis[number - 1] as Api;
  const peers = await Promise.all(lab.hosts.map(start));
  const { value } = await until(
    'everybody knows both holders of each song',
    PATIENCE_MS,
    () => Promise.all(apis.map(async (api) => (await api.catalog()).filter(({ providers }) => providers.length >= 2))),
    (catalogs) => catalogs.every(({ length }) => length === recordings.length),
  );
  const ids = new Map((value[0] ?? []).map(({ title, id }) => [title, id]));

  const faults: Fault[] = [];
  const heard: (Heard & { readonly what: string; readonly from: number; readonly to: number })[] = [];

  const play = async (host: Host, recording: Recording, chance: Random): Promise<void> => {
    const { title, holders, sounds, bytesPerSecond } = recording;
    // who streams has the one file anyway
    const manner: Manner = chance() < (sounds.length > 1 ? 0.4 : 0.75) ? 'stream' : 'ranges';
    const jump = chance() < 0.25 ? Math.floor(chance() * 0.6 * sounds[0].byteLength) : 0;
    const from = performance.now();
    const path = `/api/songs/${ids.get(title)}/audio`;
    const result = await listen({ socket: apiOf(host).socket, path, expected: sounds, bytesPerSecond, speed: SPEED, bufferSeconds: BUFFER_SECONDS, manner, from: jump });
    heard.push({ ...result, what: `${title} of ${holders.map(({ name }) => name)} on ${host.name}, ${manner} from ${jump}`, from, to: performance.now() });
  };

  /** Loses one after the other of these, until `isOver`; all are back then. */
  const trouble = async (victims: readonly Host[], listeners: readonly Host[], chance: Random, isOver: () => boolean): Promise<void> => {
    const sent = (): Promise<number[]> => Promise.all(victims.map(async (host) => (await lab.traffic(host)).sentBytes));
    for (let round = Math.floor(chance() * WAYS.length); !isOver(); round += 1) {
      const way = WAYS[(round + Math.floor(chance() * 2)) % WAYS.length] as Way;
      const isProvider = chance() < PROVIDER_SHARE;
      const other = oneOf(chance, victims);
      const awayMs = integerBetween(chance, AWAY_MS.least, AWAY_MS.most);
      await sleep(integerBetween(chance, PAUSE_MS.least, PAUSE_MS.most));
      const before = await sent();
      await sleep(WATCH_MS);
      const now = (await sent()).map((bytes, i) => bytes - (before[i] as number));
      const host = isProvider ? (victims[now.indexOf(Math.max(...now))] as Host) : other;
      const fault: Fault = { way, host, from: performance.now(), to: Number.POSITIVE_INFINITY, isProvider };
      faults.push(fault);
      await lose(way, { lab, host, peer: peers[host.number - 1] as Peer });
      await sleep(awayMs);
      const backAt = performance.now();
      await giveBack(way, { lab, host, peer: peers[host.number - 1] as Peer });
      if (way === 'kill -9') peers[host.number - 1] = await start(host);
      const { id } = peers[host.number - 1] as Peer;
      await until(
        `${host.name} is back after ${way}`,
        PATIENCE_MS,
        () => Promise.all(listeners.map(async (listener) => (await apiOf(listener).status()).members.find((member) => member.id === id))),
        (members) => members.every((member) => member?.state === 'alive' && member.lastHeardMs < performance.now() - backAt),
      );
      fault.to = performance.now();
    }
  };

  const began = performance.now();
  for (let shift = 1; shift <= SHIFTS; shift++) {
    const deck = [...lab.hosts].sort((a, b) => a.number - b.number);
    const listeners = Array.from({ length: LISTENERS }, () => deck.splice(Math.floor(random() * deck.length), 1)[0] as Host);
    const [chance, forFaults] = [random, seededRandom(Math.floor(random() * 2 ** 32))];
    const work = listeners.flatMap((host) => {
      const others = recordings.filter(({ holders }) => !holders.includes(host));
      return Array.from({ length: PLAYERS }, () => {
        const songs = Array.from({ length: PLAYS_EACH }, () => others.splice(Math.floor(chance() * others.length), 1)[0] ?? oneOf(chance, recordings.filter(({ holders }) => !holders.includes(host))));
        const own = seededRandom(Math.floor(chance() * 2 ** 32));
        return async (): Promise<void> => {
          await sleep(own() * SPREAD_MS);
          for (const song of songs) await play(host, song, own);
        };
      });
    });
    let isOver = false;
    const troubled = trouble(deck, listeners, forFaults, () => isOver);
    await Promise.all(work.map((player) => player()));
    isOver = true;
    await troubled;
    if (isLong) t.comment(`shift ${shift}: ${heard.length} plays, ${heard.filter(({ stalls }) => stalls.length > 0).length} stalled, ${faults.length} faults, ${Math.round((performance.now() - began) / 1000)} s`);
  }

  const plays = SHIFTS * LISTENERS * PLAYERS * PLAYS_EACH;
  const about = (at: number): string => {
    const fault = faults.findLast(({ from }) => from <= at);
    return fault === undefined ? 'before any fault' : `${Math.round(at - fault.from)} ms after ${fault.way} of ${fault.host.name}${at > fault.to ? `, ${Math.round(at - fault.to)} ms after it was back` : ''}`;
  };
  const times = (values: readonly number[]): string => `p50 ${quantile(values, 0.5)}, p99 ${quantile(values, 0.99)}, worst ${quantile(values, 1)} ms`;
  t.comment(`${plays} plays in ${Math.round((performance.now() - began) / 1000)} s; first byte after ${times(heard.map(({ firstByteMs }) => firstByteMs))}; a second of sound after ${times(heard.map(({ firstSoundMs }) => firstSoundMs))}`);
  t.comment(`${faults.length} faults: ${WAYS.map((way) => `${way} ${faults.filter((fault) => fault.way === way).length}`).join(', ')}; ${faults.filter(({ isProvider }) => isProvider).length} of the provider of the moment`);
  t.equal(heard.length, plays);
  t.ok(faults.length >= WAYS.length, 'there was trouble');
  t.same(heard.flatMap(({ what, failure, to }) => (failure === undefined ? [] : `${what}: ${failure}, ${about(to)}`)), [], 'each byte is exact, to the end');
  t.same(heard.flatMap(({ what, stalls }) => stalls.map(({ at, ms }) => `${what}: silent for ${Math.round(ms)} ms, ${about(at)}`)), [], 'and none falls silent');
});

interface Victim {
  readonly lab: Lab;
  readonly host: Host;
  readonly peer: Peer;
}

async function lose(way: Way, { lab, host, peer }: Victim): Promise<void> {
  if (way === 'cable') await lab.cable(host, 'down');
  else if (way === 'SIGSTOP') process.kill(peer.process.pid, 'SIGSTOP');
  else await peer.process.kill('SIGKILL');
}

async function giveBack(way: Way, { lab, host, peer }: Victim): Promise<void> {
  if (way === 'cable') await lab.cable(host, 'up');
  if (way === 'SIGSTOP') process.kill(peer.process.pid, 'SIGCONT');
}
