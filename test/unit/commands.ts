// What people type, beside a whole peer: what is done, what is shown, and how a failure is said.
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { until } from '../lab/until.ts';
import { wav } from '../fixtures/audio.ts';
import { run } from '../fixtures/command.ts';
import { home, SOON_MS, songsOf, startPeerOf, tags } from '../fixtures/whole-peer.ts';

t.setTimeout(120_000);

t.test('playlists and stars are made, shown and edited by commands', async (t) => {
  const { music, data } = await home(t);
  for (const [i, title] of ['Alpha', 'Beta', 'Gamma'].entries()) await writeFile(join(music, `${i}.wav`), wav({ seconds: 1, frequency: 300 + 20 * i, tags: tags(title) }));
  const peer = await startPeerOf(t, { music, data });
  await until('it has them', SOON_MS, () => songsOf(peer), ({ length }) => length === 3);
  const does = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(...args, '--data', data, '--profile', 'Nora');
    t.equal(code, 0, `${args.join(' ')}${stderr}`);
    return stdout;
  };
  const json = async (...args: string[]): Promise<any> => JSON.parse(await does(...args, '--json'));
  t.match(await does('playlist', 'list'), /^Nora has no playlist yet/);
  const { id, acknowledged } = await json('playlist', 'create', 'Road', 'trip');
  t.match(acknowledged, /^(replicated|local only)$/);
  t.match(await does('playlist', 'add', 'road TRIP', 'beta'), /^added Somebody - Beta to Road trip$/m);
  t.equal((await json('playlist', 'add', id.slice(0, 8), 'somebody', '--all')).items.length, 3);
  t.match(await json('playlist', 'list'), [{ id, name: 'Road trip', owner: 'Nora', songs: 4 }]);
  const titlesOf = async (): Promise<string[]> => (await json('playlist', 'show', 'Road trip')).items.map(({ song }: any) => song.title);
  t.same(await titlesOf(), ['Beta', 'Alpha', 'Beta', 'Gamma']);
  await does('playlist', 'move', 'Road trip', '4', '1');
  t.same(await titlesOf(), ['Gamma', 'Beta', 'Alpha', 'Beta']);
  t.match(await does('playlist', 'remove', 'Road trip', '2', '4', '2'), /^removed 2 songs/);
  t.same(await titlesOf(), ['Gamma', 'Alpha']);
  t.match(await does('playlist', 'show', 'Road', 'trip'), /^Road trip, 2 songs, by Nora\n#.*\n1 +Gamma .*\n2 +Alpha /);
  await does('playlist', 'rename', 'Road trip', 'Home');
  const songs = (await songsOf(peer)).map((song) => song.id.slice(0, 8));
  await does('playlist', 'add', 'Home', ...songs);
  t.same((await json('playlist', 'show', 'home')).items.length, 5, 'by ids');
  await does('star', 'alpha');
  await does('star', songs[2] as string);
  t.same((await json('stars')).map(({ song }: any) => song.title), ['Gamma', 'Alpha']);
  t.match(await does('unstar', 'somebody', 'alpha'), /^no star on Somebody - Alpha any more$/m);
  t.match(await does('stars'), /^1 +Gamma/m);
  await json('playlist', 'create', id.slice(0, 6));
  const cases: readonly [what: string, code: number, says: RegExp, ...args: string[]][] = [
    ['a name that is taken', 1, /has a playlist Home already/, 'playlist', 'create', 'HOME'],
    ['a playlist that is not there', 4, /no playlist 'Away'/, 'playlist', 'show', 'Away'],
    ['what fits two', 2, /fits several playlists: .*Home \(Nora, /, 'playlist', 'show', id.slice(0, 6)],
    ['a number that is none', 2, /'two' is no number/, 'playlist', 'remove', 'home', 'two'],
    ['a number beyond the end', 4, /no number 9 in Home, which has 5 songs/, 'playlist', 'remove', 'home', '9'],
    ['a place beyond the end', 2, /none can become number 9/, 'playlist', 'move', 'home', '1', '9'],
    ['a song that is not there', 4, /no song matches/, 'playlist', 'add', 'home', 'zzzz'],
    ['a star that is not there', 4, /no starred song of nora/, 'unstar', 'beta'],
    ['a command that is none', 2, /^spotify-peer: 'playlist' knows no 'sing', only list, show, .*; see: .*playlist --help$/m, 'playlist', 'sing'],
    ['an argument too many', 2, /too many arguments for 'list'.*; see: .*playlist list --help$/m, 'playlist', 'list', 'all'],
    ['an option typed wrong', 2, /unknown option '--al'; did you mean --all\?$/m, 'playlist', '--al'],
    ['a name that is empty', 2, /a playlist's name is empty/, 'playlist', 'create', ' '],
    ['a new name that is empty', 2, /a playlist's name is empty/, 'playlist', 'rename', 'home', ''],
  ];
  for (const [what, code, says, ...args] of cases) {
    const result = await run(...args, '--data', data, '--profile', 'nora');
    t.equal(result.code, code, what);
    t.match(result.stderr, says, what);
    t.equal(result.stderr.trim().split('\n').length, 1, `${what}: one line`);
  }
  t.match((await run('playlist', 'show', 'home', '--data', data, '--profile', 'Ben')).stderr, /Nora has one: add --profile 'Nora'/);
  await does('playlist', 'delete', 'home');
  t.same((await json('playlist', 'list')).length, 1);
});

t.test('what cannot work is said in one line, with the code for scripts', async (t) => {
  const { music, data } = await home(t);
  await startPeerOf(t, { music, data });
  const taken = createServer().listen(0, '0.0.0.0');
  await once(taken, 'listening');
  t.teardown(() => taken.close());
  const { port } = taken.address() as { port: number };
  const file = join(music, 'a-file');
  await writeFile(file, '');
  const other = join(music, '../other');
  const cases: readonly [what: string, code: number, says: RegExp, ...args: string[]][] = [
    ['a second peer on one data folder', 1, /already runs/, 'start', '--data', data],
    ['a data folder that is a file', 1, /choose another folder with --data/, 'start', '--data', file],
    ['a data folder where no folder can be', 1, /choose another folder with --data/, 'start', '--data', '/proc/self/nowhere'],
    ['a taken port', 1, /port \d+ is taken.*--port/, 'start', '--data', other, '--port', String(port)],
    ['a taken web port', 1, /--http/, 'start', '--data', other, '--http', `0.0.0.0:${port}`],
    ['a port that is none', 2, /'many' is not a port/, 'start', '--data', other, '--port', 'many'],
    ['a group that is no multicast address', 2, /multicast/, 'start', '--data', other, '--group', '10.0.0.1'],
    ['a cache of no size', 2, /no size/, 'start', '--data', other, '--cache', 'large'],
    ['a network with an odd name', 2, /a network's name/, 'start', '--data', other, '--network', 'my home!'],
    ['an unknown command', 2, /unknown command/, 'sing'],
    ['a song that is not there', 4, /no song matches/, 'play', 'nothing', '--data', data],
    ['a machine that was never here', 4, /no machine/, 'forget', 'nobody', '--data', data],
    ['a limit that is none', 2, /--limit/, 'search', '--limit', '0', '--data', data],
    ['a limit of events that is none', 2, /--limit/, 'events', '--limit', 'all', '--data', data],
    ['a network command that is none', 2, /'network' knows no 'sho', only show, close, open, set, join; see/, 'network', 'sho'],
    ['a network that is not here', 4, /no other network whose id begins with deadbeef/, 'network', 'join', 'deadbeef', '--data', data],
    ['a wrong code', 2, /code/, 'network', 'join', 'lusab-babad', '--data', data],
    ['no peer here', 3, /no spotify-peer runs here/, 'login', '--data', other],
  ];
  for (const [what, code, says, ...args] of cases) {
    const result = await run(...args);
    t.equal(result.code, code, what);
    t.match(result.stderr, says, what);
    t.notMatch(result.stderr, /\n\s+at /, `${what}: no stack trace`);
    t.equal(result.stderr.trim().split('\n').length, 1, `${what}: one line`);
  }
});
