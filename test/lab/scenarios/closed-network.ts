// A closed network and who does not belong to it: a peer with a wrong key, one of the open network, somebody who records the
// traffic, and somebody who sends it again a day later.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { type Host, Lab } from '../lab.ts';
import { generate, musicFolder, wav } from '../music.ts';
import { agree, meet, playAll } from '../network.ts';
import { readDatagrams } from '../pcap.ts';
import { command, type Peer, programMissing, search, startPeer, status } from '../peers.ts';
import { until } from '../until.ts';

const REPLAY = join(import.meta.dirname, `../replay${extname(import.meta.filename)}`);
const SOUND_BYTES = 200_000;
const MEET_MS = 10_000;
const PLAY_MS = 20_000;
const TEST_MS = 90_000;
/** Beats, of two that beat more than three times a second. */
const HEARD = 10;
/** Long enough for a replayed beat to be believed, and for everything that follows from it. */
const AFTERMATH_MS = 3_000;

t.setTimeout(TEST_MS);
t.test('a closed network of two, a wrong key and an open peer', { skip: skip || programMissing(), timeout: TEST_MS }, async (t) => {
  const lab = await Lab.create({ name: 'closed', hosts: 5 });
  t.teardown(() => lab.close());
  const [h1, h2, wrong, open, outsider] = lab.hosts as [Host, Host, Host, Host, Host];
  const originals = generate([h1, h2, wrong, open], { each: 2, soundBytes: SOUND_BYTES });
  const titles = originals.flatMap(({ track }) => track?.title ?? []);
  const raw = Lab.rawFrames() === false;
  const capture = join(lab.directory, 'yesterday.pcap');
  const stopCapture = raw ? await lab.capture('switch', capture) : undefined;

  const keyFile = (host: Host, text: string): string => {
    const file = join(host.directory, 'key');
    writeFileSync(file, `${text}\n`, { mode: 0o600 });
    return file;
  };
  const start = (host: Host, passphrase: string, args: readonly string[] = []): Promise<Peer> =>
    // without copies, so that each song is played by who lacks it
    startPeer(host, { folders: [musicFolder(host)], args: ['--network', 'house', '--network-key', keyFile(host, passphrase), '--cache', '0', ...args] });
  const right = 'four candles and a fork handle';
  const insiders = await Promise.all([start(h1, right), start(h2, right)]);
  const joins = ['--join', h1.address, '--join', h2.address];
  const outside = await Promise.all([
    start(wrong, 'fork handles and four candles', joins),
    startPeer(open, { folders: [musicFolder(open)], args: ['--network', 'house', ...joins] }),
  ]);

  await t.test('is whole in itself', async (t) => {
    await meet(insiders, MEET_MS);
    const { songs } = await agree(insiders, 4, MEET_MS);
    const played = await playAll(insiders, songs, originals, PLAY_MS);
    t.same(played.flatMap(({ failure }) => failure ?? []), [], 'its songs play');
    t.equal(played.length, 4);
    t.same(songs.map(({ title }) => title).sort(), titles.filter((title) => /h[12]$/.test(title)).sort(), 'and nobody else\'s are there');
    t.equal((await status(insiders[0] as Peer)).network.open, false);
  });

  await t.test('is seen by nobody else and sees nobody else', async (t) => {
    for (const peer of outside) {
      const { value } = await until(`${peer.name} has heard them, and called them in vain`, MEET_MS, () => status(peer), ({ network: { dropped } }) =>
        (dropped?.['foreign'] ?? 0) >= HEARD && (dropped?.['handshakesFailed'] ?? 0) > 0,
      );
      t.same(value.members, [], `${peer.name} sees nobody, though it was told where to look`);
      t.same((await search(peer)).map(({ title }) => title).sort(), titles.filter((title) => title.endsWith(peer.name)).sort(), `${peer.name} finds its own songs only`);
    }
    for (const peer of insiders) {
      t.same((await status(peer)).members.map(({ name }) => name), insiders.filter((other) => other !== peer).map(({ name }) => name), `${peer.name} sees its one member`);
    }
  });

  await t.test('gives no song away to an outsider who knows its id', async (t) => {
    const [song] = await search(insiders[0] as Peer);
    for (const peer of outside) {
      const { code } = await command(peer, ['play', song?.id ?? '', '--output', join(peer.host.directory, 'stolen')]);
      t.equal(code, 4, `${peer.name} does not find it`);
    }
  });

  await t.test('carries a song that comes and goes', async (t) => {
    // The recording has then also what was true for a while and is no longer.
    const [first, second] = insiders as [Peer, Peer];
    const track = { title: 'A Passing Fancy', artist: 'The Ephemerals', album: 'Gone' };
    const file = join(musicFolder(h2), 'passing.wav');
    writeFileSync(file, wav(track, 'passing', SOUND_BYTES));
    const found = async (): Promise<number> => (await search(first, [track.title])).length;
    t.comment(`it came after ${(await until('a new file of h2 shows on h1', MEET_MS, found, (count) => count === 1)).ms} ms`);
    rmSync(file);
    t.comment(`it went after ${(await until('a deleted file of h2 is gone from h1', MEET_MS, found, (count) => count === 0)).ms} ms`);
    t.equal((await status(first)).replication.digest, (await status(second)).replication.digest, 'both have the same state');
  });

  await t.test('shows no title to who records the traffic', { skip: Lab.rawFrames() }, async (t) => {
    // What the recording is worth is known by a title that goes over the LAN in the clear.
    const clear = 'Sung in the Clear';
    await outsider.run(process.execPath, ['-e', `const s = require('node:dgram').createSocket('udp4'); s.send('${clear}', 9, '239.1.1.1', () => s.close())`]);
    await stopCapture?.();
    const recorded = readFileSync(capture);
    const sees = (text: string): boolean => recorded.includes(text) || recorded.includes(Buffer.from(text, 'utf16le'));
    t.ok(sees(clear), 'the recording has what was sent in the clear');
    const inside = titles.filter((title) => /h[12]$/.test(title));
    t.same([...inside, 'The h1 Ensemble', 'The h2 Ensemble', 'Namespaces', 'A Passing Fancy'].filter(sees), [], 'and no title, artist or album');
    t.ok(readDatagrams(recorded).filter(({ source }) => source === h2.address).length > 10, 'though the peers talked');
  });

  await t.test('does not believe what was said yesterday', { skip: Lab.rawFrames() }, async (t) => {
    await Promise.all([...insiders, ...outside].map(({ process }) => process.kill('SIGKILL')));
    const restarted = await start(h1, right);
    const view = async (): Promise<unknown> => {
      const { members, replication, catalog } = await status(restarted);
      const alive = members.filter(({ state }) => state === 'alive').map(({ id }) => id);
      return { alive, digest: replication.digest, lamport: replication.lamport, songs: catalog.songs };
    };
    await sleep(AFTERMATH_MS); // alone, it takes all roles, and knows the other from before
    const before = await view();
    t.match(before, { alive: [] }, 'it is alone');
    const { receivedBytes } = await lab.traffic(h1);
    const { stdout, stderr } = await h2.exec(process.execPath, [REPLAY, capture, h2.address]);
    t.ok(Number(stdout) > 20, `datagrams of the other were sent again: ${stdout}${stderr}`);
    t.ok((await lab.traffic(h1)).receivedBytes - receivedBytes > Number(stdout) * 60, 'and came to the peer');
    t.same(await view(), before, 'nothing has changed right after');
    await sleep(AFTERMATH_MS); // for what might follow late
    t.same(await view(), before, 'nor later');
    t.equal(restarted.process.ended, undefined, 'and the peer lives');
  });
});
