// Every song on two machines, and one machine that is gone for ever: killed, its disk thrown away. All songs still play on every machine that
// is left, byte for byte, and soon each is on two machines again. What counts as a copy is judged twice: by what the peers say, and by what
// plays when the machine is gone. Who plays a song keeps it, so in the first round of the long form the copies have to be there again before
// everybody plays everything. In the others everybody does at once: a house does not wait for half a minute to see who comes back.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { flac, mp3 } from '../../fixtures/audio.ts';
import { Api } from '../api.ts';
import { effort, isLong, oneOf, seeded } from '../effort.ts';
import { type Host, Lab } from '../lab.ts';
import { musicFolder, sha256, wav } from '../music.ts';
import { type Peer, play, programMissing, startPeer } from '../peers.ts';
import { until } from '../until.ts';

const HOSTS = effort({ short: 3, long: 5 });
const SONGS_EACH = effort({ short: 4, long: 40 });
/** Of a WAV: three chunks and some, or sixteen. */
const SOUND_BYTES = effort({ short: 200_001, long: 1_000_001 });
const COPIES = 2;
/** One after the other, down to three machines in the long form. */
const REMOVALS = effort({ short: 1, long: 2 });
/** The goal, of both waits. */
const SAFE_MS = 60_000;
/** To read each other's catalogs, and to say what is known. */
const KNOW_MS = effort({ short: 20_000, long: 60_000 });
const PLAYS_AT_ONCE = 4;
const OUTPUTS = effort({ short: 2, long: 8 });
const TEST_MS = effort({ short: 180_000, long: 600_000 });

interface Original {
  readonly title: string;
  readonly host: Host;
  readonly file: Buffer;
  /** What a player gets. */
  readonly sound: Buffer;
}

/** One kind of file in ten each is an MP3 and a FLAC; of an MP3 only the sound is played, of the others all. */
async function record(hosts: readonly Host[]): Promise<Original[]> {
  return Promise.all(
    hosts.flatMap((host) =>
      Array.from({ length: SONGS_EACH }, async (_, i): Promise<Original> => {
        const number = (host.number - 1) * SONGS_EACH + i;
        const tags = { title: `Song ${number}`, artist: `The ${host.name} Ensemble`, album: 'Kept' };
        const [kind, file, sound] =
          i % 10 === 1
            ? (['mp3', await mp3({ seconds: 4, frequency: 200 + number, tags }), await mp3({ seconds: 4, frequency: 200 + number })] as const)
            : i % 10 === 2
              ? (['flac', flac({ seconds: 2, frequency: 200 + number, tags }), undefined] as const)
              : (['wav', wav(tags, `copies/${number}`, SOUND_BYTES), undefined] as const);
        writeFileSync(join(musicFolder(host), `${number}.${kind}`), file);
        return { title: tags.title, host, file, sound: sound ?? file };
      }),
    ),
  );
}

t.setTimeout(TEST_MS);
t.test(`${HOSTS} hosts with ${SONGS_EACH} songs each`, { skip: skip || programMissing(), timeout: TEST_MS }, async (t: Test) => {
  const random = seeded(t);
  const lab = await Lab.create({ name: 'copies', hosts: HOSTS });
  t.teardown(() => lab.close());
  const originals = await record(lab.hosts);
  const apis = await Promise.all(lab.hosts.map((host) => Api.open(host)));
  const peers = await Promise.all(lab.hosts.map((host) => startPeer(host, { folders: [musicFolder(host)] })));
  let living = peers.map((peer, i) => ({ peer, api: apis[i] as Api }));
  const { value: songs } = await until('everybody knows all songs', KNOW_MS, () => Promise.all(apis.map((api) => api.catalog())), (all) => all.every(({ length }) => length === originals.length));
  const ids = new Map((songs[0] ?? []).map(({ title, id }) => [title, id]));

  /** How many songs each of the living sees on so few of the living, and what it says itself where it says something. */
  const unsafe = (): Promise<{ readonly peer: string; readonly lacking: number; readonly says: unknown }[]> =>
    Promise.all(
      living.map(async ({ peer, api }) => {
        const [catalog, { copies }] = await Promise.all([api.catalog(), api.get<{ readonly copies?: { readonly missing: number; readonly toDo: number; readonly songs: Readonly<Record<string, number>> } }>('/api/status')]);
        const here = new Set(living.map((one) => one.peer.id));
        const lacking = catalog.filter(({ providers }) => providers.filter((id) => here.has(id)).length < COPIES).length;
        return { peer: peer.name, lacking: lacking + (originals.length - catalog.length), says: copies ?? null };
      }),
    );
  const safe = async (claim: string): Promise<void> => {
    const { ms, value } = await until(claim, SAFE_MS, unsafe, (views) => views.every(({ lacking }) => lacking === 0));
    t.ok(ms <= SAFE_MS, `${claim}, after ${ms} ms`);
    // what peers say of copies follows what they know by a moment
    const saysAll = (says: unknown): boolean => says === null || Object.entries((says as { songs: Readonly<Record<string, number>> }).songs).every(([machines, count]) => Number(machines) >= COPIES || count === 0);
    const { value: said } = await until('and each says so', KNOW_MS, unsafe, (views) => views.every(({ says }) => saysAll(says)));
    t.comment(JSON.stringify(said[0]?.says ?? value[0]));
  };

  /** Plays everything on everybody, or only where it is. @returns what did not play exactly */
  const playAll = async (where: 'everywhere' | 'where it is'): Promise<string[]> => {
    const failures: string[] = [];
    const providers = new Map((await (living[0] as (typeof living)[number]).api.catalog()).map(({ title, providers }) => [title, providers]));
    const tasks = living.flatMap(({ peer, api }) => originals.filter(({ title }) => where === 'everywhere' || providers.get(title)?.includes(peer.id)).map((original) => ({ api, original })));
    const began = performance.now();
    const about = `${tasks.length} plays ${where}`;
    const worker = async (): Promise<void> => {
      for (let task = tasks.shift(); task !== undefined; task = tasks.shift()) {
        const { api, original: { title, host, sound } } = task;
        const { status, bytes } = await api.audio(ids.get(title) as string);
        if (!bytes.equals(sound)) failures.push(`${title} of ${host.name} on ${api.host.name}: ${status}, ${bytes.byteLength} of ${sound.byteLength} bytes${bytes.equals(sound.subarray(0, bytes.byteLength)) ? '' : ', WRONG'}`);
      }
    };
    await Promise.all(Array.from({ length: PLAYS_AT_ONCE }, worker));
    t.comment(`${about} in ${Math.round(performance.now() - began)} ms`);
    return failures;
  };

  await safe(`every song is on ${COPIES} machines`);
  for (let removal = 1; removal <= REMOVALS; removal++) {
    const victim = oneOf(random, living);
    const { host } = victim.peer;
    await victim.peer.process.kill('SIGKILL');
    for (const folder of [victim.peer.data, musicFolder(host)]) rmSync(folder, { recursive: true });
    living = living.filter((one) => one !== victim);

    const atOnce = isLong && removal === 1 ? 'where it is' : 'everywhere';
    t.same(await playAll(atOnce), [], `${host.name} is gone: all songs play ${atOnce}`);
    await safe(`every song is on ${COPIES} machines again`);
    t.same(await playAll('everywhere'), [], `all songs play on each of ${living.length} machines`);
    const lost = originals.filter((original) => original.host === host);
    for (let i = 0; i < OUTPUTS; i++) {
      const { title, file } = (i < 3 ? lost[i] : oneOf(random, lost)) as Original;
      const on = oneOf(random, living).peer as Peer;
      const output = join(on.host.directory, 'output');
      const failure = await play(on, ids.get(title) as string, output).then(() => (sha256(readFileSync(output)) === sha256(file) ? undefined : 'other bytes'), (error: Error) => error.message);
      t.equal(failure, undefined, `${on.name} writes the original file of ${title}`);
    }
  }
});
