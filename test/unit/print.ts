import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { factsOf, textOf } from '../../bin/commands/monitor.ts';
import { DutyLines, type Lines } from '../../bin/duty-lines.ts';
import { eventLine, type Names } from '../../bin/event-line.ts';
import { EventNames } from '../../bin/event-names.ts';
import { firewallAdvice } from '../../bin/firewall.ts';
import { choosePlayer, play, playerArguments } from '../../bin/player.ts';
import { colorsFor, columnsOf, songTable } from '../../bin/print.ts';
import { roleTable, statusText } from '../../bin/print-status.ts';
import { playlistTable, playlistText } from '../../bin/print-user-data.ts';
import { installLine, type System } from '../../bin/programs.ts';
import { parseRoles } from '../../bin/roles.ts';
import { parseSize } from '../../bin/sizes.ts';
import { fit, formatAge, formatBytes, formatDuration, formatSpan, printable, widthOf } from '../../bin/text.ts';
import type { ElectionReason } from '../../peer/coordination/election.ts';
import type { HandOverReason } from '../../peer/coordination/grants.ts';
import { describeEvent } from '../../peer/describe-event.ts';
import type { EventJson } from '../../peer/http/log-schemas.ts';
import type { SongJson, StatusJson } from '../../peer/http/schemas.ts';
import type { BootId, EpochId, NetworkId, PeerId, PlaylistId } from '../../lib/ids.ts';
import { electionKey, encodeElection, encodeHandover, handoverKey } from '../../lib/coordination-events.ts';
import { encodeRating } from '../../lib/marks.ts';
import type { Message } from '../../lib/messages.ts';
import type { Pulse } from '../../lib/coordination-messages.ts';
import { ROLES } from '../../lib/roles.ts';
import { fakePeer } from '../fixtures/fake-peer.ts';
import { NO_OFFER, NO_PULSE } from '../sim/pulse.ts';

const plain = colorsFor({ isTTY: false });

/** A system with these files, and these programs in /usr/bin. */
const systemOf = (platform: NodeJS.Platform, programs: readonly string[] = [], files: Readonly<Record<string, string>> = {}): System => ({
  platform,
  env: { PATH: '/opt/bin:/usr/bin' },
  read: async (path) => files[path],
  executable: async (path) => programs.some((name) => path === join('/usr/bin', name) || path === name),
});

t.test('wide characters take two columns, marks none', async (t) => {
  for (const [text, width] of [['abc', 3], ['雨の街', 6], ['한국', 4], ['é', 1], ['e\u0301', 1], ['ﾊﾝｶｸ', 4], ['Ａ', 2], ['🎵', 2], ['👩‍🚀', 2], ['❤️', 2], ['Öğül', 4], ['', 0], ['…', 1]] as const) {
    t.equal(widthOf(text), width, text);
  }
});

t.test('whatever the text, a fitted one is exactly as wide as asked', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 1, max: 40 }), (text, columns) => widthOf(fit(text, columns)) === columns),
    { numRuns: 2_000, seed: 3 },
  );
  t.equal(fit('雨の街角', 6), '雨の… ', 'never half a character');
  t.equal(fit('Sigur Rós', 6), 'Sigur…');
  t.equal(fit('7', 3, 'right'), '  7');
});

t.test('a title cannot command the terminal', async (t) => {
  t.equal(printable('a\x1b[2Jb\x07\r\n\u202ec\u009b31m'), 'a [2Jb    c 31m');
  const [song] = (await fakePeer().search('', { limit: 1, offset: 0 })).songs;
  const text = songTable([{ ...(song as NonNullable<typeof song>), title: '\x1b]0;owned\x07', artist: 'x\ny' }], { width: 100, colors: plain, total: 1 });
  t.notMatch(text, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
  t.equal(text.split('\n').length, 2);
});

t.test('durations, ages and sizes read as people say them', async (t) => {
  t.same([0, 499, 61_000, 187_499, 3_599_600, 3_723_000].map(formatDuration), ['-', '0:00', '1:01', '3:07', '1:00:00', '1:02:03']);
  t.same([0, 12_000, 300_000, 7_200_000, 259_200_000].map(formatAge), ['0 s', '12 s', '5 min', '2 h', '3 d']);
  t.same([0, 0.44, 9.94, 9.96, 61.2, 999.4, 999.6, 1_312, 9_940, 9_960, 300_000].map(formatSpan), ['0 ms', '0.4 ms', '9.9 ms', '10 ms', '61 ms', '999 ms', '1 s', '1.3 s', '9.9 s', '10 s', '5 min']);
  t.same([0, 999, 1_000, 1_610_612_736, 999_499, 999_950, 10_737_418_240, 123_456_789].map(formatBytes), ['0 B', '999 B', '1 kB', '1.6 GB', '999 kB', '1 MB', '10.7 GB', '123 MB']);
});

t.test('sizes are understood as typed', async (t) => {
  for (const [text, bytes] of [['10GB', 10e9], ['500M', 500e6], ['1.5 GiB', 1.5 * 2 ** 30], ['10%', 2_000], ['0', 0], ['64k', 64_000], ['100%', 20_000], ['12b', 12]] as const) {
    t.equal(parseSize(text, 20_000), bytes, text);
  }
  for (const text of ['', 'GB', '-1', '10XB', '101%', '1e9', '10 GB please', '99999999T']) t.throws(() => parseSize(text, 1), { code: 'BAD_USAGE' }, text);
});

t.test('a table of songs fits its terminal, and says how many more there are', async (t) => {
  const { songs } = await fakePeer().search('', { limit: 60, offset: 0 });
  for (const width of [40, 69, 70, 80, 133]) {
    for (const line of songTable(songs, { width, colors: plain, total: 75 }).split('\n')) t.ok(widthOf(line) <= width, `${width}: ${line}`);
  }
  const text = songTable(songs.slice(30, 40), { width: 100, colors: plain, total: 1_210 });
  t.match(text, /^TITLE +ARTIST +ALBUM +TIME +ON +ID\n/);
  t.match(text, /雨の街/);
  t.match(text, /and 1,200 more songs; --limit shows more$/);
  t.equal(songTable([], { width: 80, colors: plain, total: 0 }), 'no song matches');
});

t.test('status names the peers by name, and what is wrong', async (t) => {
  const text = statusText(await fakePeer().status(), { width: 90, colors: plain });
  for (const part of [/kitchen/, /open/, /over multicast/, /coordinator +kitchen, term 3/, /roles +gateway +studio for 2 h\n/, /^ {12}users +kitchen for 12 min\n/m, /^ {12}recommendations +nobody$/m, /^web page +http:\/\/spotify-peer\.local:7700\n/m, /60 songs, 8 albums, 8 artists/, /scanning, 840 of 2,000 files/, /2 files cannot be shared/, /1.6 GB of 10.7 GB/, /studio +alive +192\.168\.1\.20:17784 +gateway +in sync/, /Nora's laptop +dead .* heard 2 min ago/]) {
    t.match(text, part);
  }
  for (const line of text.split('\n')) t.ok(widthOf(line) <= 90, line);
  t.match(statusText({ ...(await fakePeer().status()), members: [] }, { width: 90, colors: plain }), /no other peer/);
});

t.test('status tells whose beats are late, who is behind, and who coordinates when nobody does', async (t) => {
  const status = await fakePeer().status();
  const [studio, laptop] = status.members as [StatusJson['members'][number], StatusJson['members'][number]];
  const textOf = (change: Partial<StatusJson>, width = 100): string => statusText({ ...status, ...change }, { width, colors: plain });
  t.match(textOf({}), /^coordinator kitchen, term 3$/m, 'a beat of the last second says nothing');
  t.match(textOf({ coordinator: { id: studio.id, term: 4, ageMs: 2_600 } }), /^coordinator studio, term 4, heard 3 s ago$/m);
  t.match(textOf({ leases: { ...status.leases, users: { peer: laptop.id, token: null, heldMs: 90_000, heardMs: 125_000 } } }), /^ +users +Nora's laptop for 90 s, heard 2 min ago$/m);
  const none = { gateway: null, users: null, music: null, recommendations: null };
  t.match(textOf({ coordinator: null, election: 'electing', leases: none, gatewayName: null }), /^coordinator nobody now: one is being elected\nmusic /m, 'without a coordinator nobody can hold a role');
  t.match(textOf({ coordinator: null, election: 'listening', leases: { ...none, music: status.leases.music } }), /^coordinator nobody is known yet\nroles +gateway +nobody\n/m, 'a lease outlives its coordinator');
  t.notMatch(textOf({}), /^behind/m);
  const late = Array.from({ length: 9 }, (_, i) => ({ ...studio, id: String(i).repeat(32), name: `machine-${i}`, inSync: false }));
  t.match(textOf({ members: [{ ...laptop, inSync: false }, { ...studio, apart: laptop.id, inSync: false }, ...late.slice(0, 2)] }), /^behind +machine-0, machine-1$/m, 'who is away, or in another network, is not behind');
  t.match(textOf({ members: late }, 60), /^behind +machine-0, machine-1, machine-2 and 6 more$/m);
  const long = { ...studio, name: '雨'.repeat(31), inSync: false };
  const leases = { ...status.leases, gateway: { peer: long.id, token: null, heldMs: 5_000_000, heardMs: 5_000_000 } };
  for (const width of [60, 80, 100]) {
    const lines = textOf({ members: [long, ...late], leases, coordinator: { id: long.id, term: 123_456, ageMs: 5_000_000 } }, width).split('\n');
    for (const line of lines.filter((one) => !one.startsWith('music') && !one.startsWith('  '))) t.ok(widthOf(line) <= width, `${width}: ${line}`);
  }
});

t.test('status says what listening was like, once somebody has listened', async (t) => {
  const status = await fakePeer().status();
  const playback = { plays: 1_234, failures: 0, firstByteMs: { p50: 3.2, p99: 61 }, stalls: 0, stalledMs: 0, bytes: { own: 6e8, cache: 5e8, peers: 1e8 }, hedges: 2, wrongChunks: 0, providers: [] };
  const playedOf = (change: Partial<typeof playback> | { readonly providers: readonly { id: string; name: string; bytesPerSecond: number }[] }, width = 100): string => {
    const text = statusText({ ...status, playback: { ...playback, ...change } as StatusJson['playback'] }, { width, colors: plain });
    for (const line of text.split('\nplayed ')[1]?.split('\nchanges')[0]?.split('\n') ?? []) t.ok(widthOf(line) <= width, line);
    return /^played +([^]*?)\nchanges/m.exec(text)?.[1]?.replaceAll(/\n +/g, '\n') ?? '';
  };
  t.equal(playedOf({}), '1,234 times, sound after 3.2 ms (99% within 61 ms), no stalls\n1.2 GB: 50% own, 42% cached, 8% from others');
  t.equal(playedOf({ stalls: 2, stalledMs: 1_312, failures: 3, wrongChunks: 1 }), '1,234 times, sound after 3.2 ms (99% within 61 ms)\n2 stalls of 1.3 s in sum, 3 failed, 1 wrong chunk refused\n1.2 GB: 50% own, 42% cached, 8% from others');
  const providers = [{ id: 'a'.repeat(32), name: 'attic', bytesPerSecond: 11.2e6 }, { id: 'b'.repeat(32), name: '', bytesPerSecond: 9e5 }, { id: 'c'.repeat(32), name: '\x1b[2J雨'.repeat(9), bytesPerSecond: 5 }];
  t.match(playedOf({ providers: providers.slice(0, 2) }, 120), /8% from others; attic 11\.2 MB\/s, bbbbbbbb 900 kB\/s$/);
  t.match(playedOf({ providers }), /8% from others; attic 11\.2 MB\/s and 2 more$/);
  t.match(playedOf({ providers }, 80), /8% from others$/, 'no room, no names');
  for (const name of ['\x1b[2J', '\x1b[2J雨'.repeat(9)]) t.notMatch(playedOf({ providers: [{ id: 'c'.repeat(32), name, bytesPerSecond: 5 }] }, 133), /[\x00-\x09\x0b-\x1f]/);
  t.equal(playedOf({ plays: 0, failures: 1, firstByteMs: { p50: null, p99: null } as never, bytes: { own: 0, cache: 0, peers: 0 } }), '1 failed');
  t.equal(playedOf({ plays: 0 }), '', 'nothing was ever played');
  t.notMatch(statusText(status, { width: 100, colors: plain }), /^played/m, 'nor does a peer of an older version say');
});

t.test('the table of roles says what is wrong with a service, and names the gateway by its address', async (t) => {
  const roles = await fakePeer().roles();
  const lines = roleTable(roles, { width: 100, colors: plain }).split('\n');
  t.match(lines[0], /^ROLE +HOLDER +SINCE +SERVICE +TOKEN$/);
  t.match(lines[1], /^gateway +studio +2 h +well +3\.1a2b3c4d\.1$/);
  t.match(lines[3], /^music +kitchen +2 s +did not answer for 2 s +-$/);
  t.match(lines[4], /^recommendations +nobody +- +- +-$/);
  t.match(lines.at(-1), /^the web page of this network: http:\/\/spotify-peer\.local:7700\/$/);
  const hostile = roles.map((one) => ({ ...one, name: '\x1b[2J雨の街角'.repeat(5), why: 'x\n'.repeat(60), healthy: null }));
  for (const width of [40, 79, 80, 133]) {
    for (const line of roleTable(hostile, { width, colors: plain }).split('\n').slice(0, -1)) t.ok(widthOf(line) <= width && !/[\x00-\x1f]/.test(line), `${width}: ${line}`);
  }
  t.equal(roleTable([], { width: 80, colors: plain }).split('\n').length, 1);
});

t.test('--roles is understood as typed, and what is no role is refused with those that are', async (t) => {
  for (const [text, roles] of [['users', ['users']], [' Users,GATEWAY ', ['gateway', 'users']], ['music, music', ['music']], ['All', ROLES], [' none', []]] as const) t.same(parseRoles(text), roles, text);
  for (const text of ['', 'leader', 'users,', 'all,users', 'none,users', 'gateway users', '__proto__']) {
    t.throws(() => parseRoles(text), { code: 'BAD_USAGE', message: `--roles takes gateway, users, music, recommendations with commas between them, or all, or none; and not '${text}'` }, text);
  }
});

const EVENT = { lamport: 12, origin: '0f'.repeat(16), epoch: '00'.repeat(8), seq: 1, settled: true, name: 'kitchen', at: null } as const;
const NAMES: Names = { peer: (id) => `peer ${id.slice(0, 2)}`, song: async (id) => `song ${id.slice(0, 2)}`, playlist: async (id) => `list ${id.slice(0, 2)}` };

const lineOf = (event: Partial<EventJson>, before?: Partial<EventJson>): Promise<string> =>
  eventLine({ ...EVENT, ...event } as EventJson, { names: NAMES, colors: plain, ...(before && { before: { ...EVENT, ...before } as EventJson }) });

t.test('status says in words how far all have the same', async (t) => {
  const status = await fakePeer().status();
  const [studio, laptop] = status.members as [StatusJson['members'][number], StatusJson['members'][number]];
  const id = 'e6fd8869'.repeat(4);
  const changesOf = (change: { readonly members?: StatusJson['members']; readonly behind?: number; readonly localOnly?: number; readonly network?: Partial<StatusJson['network']> }): string => {
    const { members = status.members, behind = 0, localOnly = 0, network = {} } = change;
    const text = statusText({ ...status, members, network: { ...status.network, ...network }, replication: { ...status.replication, behind, localOnly } }, { width: 100, colors: plain });
    return (/^changes +([^]*?)\n\n/m.exec(text)?.[1] ?? text).replaceAll(/\n +/g, '\n');
  };
  t.equal(changesOf({}), 'in sync with everybody here (1)', 'who is dead is not here');
  t.equal(changesOf({ behind: 1 }), 'in sync with 1 of 1 machine; 1 change still to come');
  t.equal(changesOf({ members: [studio, { ...laptop, state: 'alive', inSync: false }], behind: 12 }), "in sync with 1 of 2 machines; 12 changes still to come\nbehind      Nora's laptop");
  t.equal(changesOf({ members: [] }), 'nobody else of this network is here');
  t.match(changesOf({ localOnly: 2 }), /\n2 changes since the start reached no other machine at once; by now others have them$/);
  const elsewhere = { ...studio, inSync: false, apart: id };
  t.match(changesOf({ members: [elsewhere], localOnly: 1 }), /^nobody else of this network is here\n1 change since the start reached no other machine at once$/);
  t.match(changesOf({ members: [elsewhere], network: { apart: [{ id, peer: studio.id, name: 'studio' }] } }), /\nanother network of this name is here \(e6fd8869, with studio\); to make them one: .*spotify-peer network join e6fd8869$/);
  const leaves = statusText({ ...status, peer: { ...status.peer, leaving: true }, members: [{ ...elsewhere, apart: null, inSync: true, leaving: true }] }, { width: 100, colors: plain });
  t.match(leaves, /studio +alive .* in sync, leaves$/m);
  t.match(leaves, /^ +says that it leaves, and .*leave --cancel$/m);
  t.match(statusText({ ...status, members: [elsewhere] }, { width: 100, colors: plain }), /studio +alive .* in network e6fd8869$/m);
  const other = { peer: null, name: 'attic', address: '10.0.0.7:17784', version: 1 };
  t.match(changesOf({ network: { version: 2, otherVersions: [other, { ...other, name: '\x1b[2J', version: 3 }, { ...other, name: '', version: null }] } }), new RegExp(
    ['', 'attic (10.0.0.7:17784) speaks version 1 of the protocol; update it', '[2J (10.0.0.7:17784) speaks version 3 of the protocol; update this one, which speaks version 2', '10.0.0.7:17784 speaks another version of the protocol; update the older of the two'].join('\n').replaceAll(/[()[\].]/g, '\\$&'),
  ));
});

t.test('an event says in words what was done where, and one of a newer version says its key', async (t) => {
  const id = '0f'.repeat(16);
  const half = '1122334455667788';
  const lineOfKey = (key: string, { deleted = false, ...facts }: { readonly deleted?: boolean; readonly [fact: string]: unknown } = {}): Promise<string> =>
    lineOf({ ...describeEvent({ key, value: deleted ? null : new Uint8Array(1) }), ...facts });
  for (const [key, said, unsaid] of [
    [`forget/${id}`, 'forgot peer 0f', 'remembered peer 0f'],
    ['profile/nora', 'made profile nora', 'deleted profile nora'],
    [`playlist/${id}`, 'wrote playlist 0f0f0f0f', 'deleted playlist 0f0f0f0f'],
    [`item/${id}/${half}`, 'put a song into list 0f', 'took a song out of list 0f'],
    [`star/nora b/song/${id}`, 'nora b starred song 0f', 'nora b unstarred song 0f'],
    [`rating/nora/song/${id}`, 'nora rated song 0f', 'nora took back the rating of song 0f'],
    [`play/nora/${id}/${half}`, 'nora played song 0f', 'nora took back having played song 0f'],
    [`session/nora/${id}`, 'nora changed the queue on device 0f0f0f0f', 'nora ended the queue on device 0f0f0f0f'],
    ['star/nora/album/7', 'wrote star/nora/album/7', 'deleted star/nora/album/7'],
    ['constructor/x', 'wrote constructor/x', 'deleted constructor/x'],
  ] as const) {
    t.equal(await lineOfKey(key), `      12  ${'-'.padEnd(19)}  kitchen         ${said}`);
    t.match(await lineOfKey(key, { deleted: true }), new RegExp(`  ${unsaid.replaceAll('/', '\\/')}$`));
  }
  t.match(await lineOfKey('a', { settled: false }), /wrote a ~$/, 'a mark for what something may still come before');
  t.match(await lineOfKey('a', { at: '2026-03-05T12:15:09.123Z' }), /  2026-03-0[456] \d\d:\d\d:09  kitchen/);
  t.match(await lineOfKey('a', { name: '' }), /  0f0f0f0f  /, 'a machine without a name has its id');
  t.equal((await lineOfKey('a\u001b[31m\nb')).split('wrote ')[1], 'a [31m b', 'a key cannot command the terminal');
});

t.test('an event names the song, the playlist and the time of what was done, and a change is none of the first time', async (t) => {
  const at = '2026-03-05T12:15:09.123Z';
  const playlist = { kind: 'playlist', key: 'playlist/aa', playlist: 'aabbccdd', profile: 'nora', playlistName: 'Road trip', born: 11, at };
  const item = { kind: 'item', key: 'item/aa/bb', playlist: 'aabbccdd', item: 'bb', song: 'ccdd', at };
  const marked = { profile: 'nora', song: 'ccdd', device: 'ddeeff001122' };
  for (const [event, before, said, dated] of [
    [playlist, undefined, 'nora made playlist Road trip', true],
    [{ ...playlist, lamport: 14 }, undefined, 'named playlist Road trip', false],
    [{ ...playlist, lamport: 14, playlistName: 'Autumn' }, playlist, 'renamed playlist Road trip to Autumn', false],
    [{ ...playlist, lamport: 14, playlistName: undefined, deleted: true }, playlist, 'deleted playlist Road trip', false],
    [item, undefined, 'put song cc into list aa', true],
    [item, item, 'moved song cc in list aa', false],
    [{ ...item, song: undefined, deleted: true }, item, 'took song cc out of list aa', false],
    [item, { ...item, deleted: true }, 'put song cc into list aa', true],
    [{ ...marked, kind: 'rating', key: 'r', rating: 4 }, undefined, 'nora rated song cc 4 of 5', false],
    [{ ...marked, kind: 'play', key: 'p', listenedMs: 61_000, at }, undefined, 'nora played song cc for 1:01', true],
    [{ ...marked, kind: 'session', key: 's', songs: 2, playing: true, at }, undefined, 'nora plays song cc on device ddeeff00', true],
    [{ ...marked, kind: 'session', key: 's', songs: 2, playing: false, at }, undefined, 'nora paused song cc on device ddeeff00', true],
    [{ ...marked, kind: 'session', key: 's', song: null, songs: 0, playing: false, at }, undefined, 'nora emptied the queue on device ddeeff00', true],
    [{ kind: 'profile', key: 'profile/nora', profile: 'nora', profileName: 'Nora' }, undefined, 'made profile Nora', false],
  ] as const) {
    const line = await lineOf(event as Partial<EventJson>, before);
    t.equal(line.split('kitchen         ')[1], said);
    t.equal(/2026/.test(line), dated, `${said}: the time of its making is not that of a change`);
  }
});

t.test('every election and hand-over stands in the event log as a sentence with its reason', async (t) => {
  const [kitchen, study, attic] = ['aa', 'bb', 'cc'].map((byte) => byte.repeat(16) as PeerId) as [PeerId, PeerId, PeerId];
  const said = async (key: string, value: Uint8Array): Promise<string | undefined> => (await lineOf(describeEvent({ key, value }))).split('kitchen         ')[1];
  const electionReasons: Readonly<Record<ElectionReason, string>> = {
    first: 'nobody did before',
    died: "peer bb's process has ended",
    silent: 'peer bb did not answer any more',
    left: 'peer bb has left',
    deaf: 'peer bb heard nobody any more',
    'stepped-down': 'peer bb did no longer',
    greater: 'it met peer bb, and has the greater term',
    promised: 'a greater term than its last had been claimed',
    slept: 'after a sleep',
  };
  for (const [reason, words] of Object.entries(electionReasons)) {
    t.equal(await said(electionKey(3), encodeElection({ coordinator: kitchen, before: study, term: 7, reason, at: 1_000 })), `peer aa coordinates now, term 7: ${words}`);
  }
  t.match(await said(electionKey(3), encodeElection({ coordinator: kitchen, before: null, term: 7, reason: 'silent', at: 1_000 })), /: the one before did not answer any more$/);
  t.match(await said(electionKey(3), encodeElection({ coordinator: kitchen, before: null, term: 7, reason: 'constructor', at: 1_000 })), /: constructor$/, 'a reason of a newer version is shown as it is');
  const handOverReasons: Readonly<Record<HandOverReason, string>> = {
    first: 'nobody held it',
    died: "peer bb's process has ended",
    left: 'peer bb has left',
    silent: 'peer bb did not answer any more',
    unheard: 'peer bb was not heard to hold it',
    balance: 'so that the work is shared',
    revoked: 'it was taken back from peer bb',
    leaving: 'peer bb is leaving',
    failed: 'it failed again and again on peer bb',
    expired: 'the lease of peer bb had run out',
    unable: 'peer bb may not hold it any more',
    superseded: 'it was granted anew meanwhile',
  };
  const handover = { role: 'users', from: study, to: attic, token: { term: 7, coordinator: kitchen, number: 2 }, at: 1_000 } as const;
  for (const [why, words] of Object.entries(handOverReasons)) t.equal(await said(handoverKey(3), encodeHandover({ ...handover, why })), `users passed from peer bb to peer cc: ${words}`);
  t.equal(await said(handoverKey(3), encodeHandover({ ...handover, from: null, why: 'first' })), 'users went to peer cc: nobody held it');
  t.equal(await said(handoverKey(3), encodeHandover({ ...handover, from: attic, why: 'expired' })), 'users went to peer cc again: the lease of peer cc had run out');
  t.equal(await said(handoverKey(3), new Uint8Array(1)), 'wrote handover/03', 'a form of a newer version');
});

t.test('what the log named once is named again, and asked for once', async (t) => {
  const asked: string[] = [];
  const names = await EventNames.of({
    status: async () => fakePeer().status(),
    get: async <T>(path: string) => {
      asked.push(path);
      return [{ id: 'aa', name: 'Road trip' }] as T;
    },
    song: async (id) => {
      asked.push(id);
      if (id === 'gone') throw new Error('not found');
      return { title: 'Rain', artist: 'Ada' } as SongJson;
    },
  });
  t.same([await names.song('x'), await names.song('x'), await names.song('gone')], ['Rain by Ada', 'Rain by Ada', 'song gone']);
  t.same([await names.playlist('aa'), await names.playlist('bb'), await names.playlist('bb')], ['Road trip', 'playlist bb', 'playlist bb']);
  t.same(asked, ['x', 'gone', '/api/playlists', '/api/playlists']);
  const event = (lamport: number, facts: object): EventJson => ({ ...EVENT, kind: 'playlist', key: 'playlist/bb', playlist: 'bb', lamport, ...facts }) as EventJson;
  const made = event(5, { playlistName: 'Night' });
  t.equal(names.read(made), undefined);
  t.equal(await names.playlist('bb'), 'Night', 'an event names it');
  t.equal(names.read(event(9, { playlistName: 'Dawn' })), made);
  t.equal(names.read(event(7, { playlistName: 'Dusk' })), undefined, 'what comes late is no change of what is already there');
  t.equal(await names.playlist('bb'), 'Dawn');
});

t.test('the monitor shows every message without a byte to read', async (t) => {
  const id = '0f'.repeat(16);
  const peer = id as PeerId;
  const nonce = new Uint8Array(16).fill(0xab);
  const operation = { origin: peer, epoch: '01'.repeat(8) as EpochId, seq: 4, lamport: 9 };
  const boot = 'bb'.repeat(16) as BootId;
  const seen = (message: Message): unknown => JSON.parse(JSON.stringify(factsOf(message)));
  const beat = { kind: 'beat', port: 1, periodMs: 1_000, lamport: 3, root: new Uint8Array(8), head: { epoch: operation.epoch, seq: 4 }, heard: [], asks: false, network: id as NetworkId, user: true, pulse: NO_PULSE, offer: NO_OFFER } as const;
  t.same(seen(beat), { ...beat, root: '0'.repeat(16), head: '01010101:4' });
  t.same(seen({ kind: 'clone', boot }), { kind: 'clone', boot });
  t.same(seen({ kind: 'challenge', nonce, padding: nonce, boot, verifier: peer }), { kind: 'challenge', nonce: 'ab'.repeat(16), boot, verifier: id });
  t.same(seen({ kind: 'proof', nonce, counter: 7, publicKey: nonce, signature: nonce, boot: null }), { kind: 'proof', nonce: 'ab'.repeat(16), counter: 7, boot: null });
  t.match(seen({ kind: 'slice', id: 1, edition: 1, serial: 0, count: 1, index: 0, bytes: new Uint8Array(9) }), { bytes: 9 });
  const rating = { ...operation, key: `rating/anna/song/${id}`, value: encodeRating({ rating: 4, rest: [] }) };
  const holding = { ...operation, seq: 5, key: `copy/${id}`, value: null };
  t.match(seen({ kind: 'operations', network: id as NetworkId, operations: [rating, holding] }), {
    network: id,
    origin: id,
    operations: [{ epoch: operation.epoch, seq: 4, lamport: 9, key: rating.key, bytes: rating.value.byteLength, profile: 'anna', rating: 4 }, { seq: 5, key: holding.key, bytes: null, kind: undefined }],
  });
});

t.test('the monitor says in words what is said about coordination', async (t) => {
  const [sender, other, third] = ['aa', 'bb', 'cc'].map((byte) => byte.repeat(16) as PeerId) as [PeerId, PeerId, PeerId];
  const pulse = (facts: Partial<Pulse>): string => textOf({ kind: 'pulse', pulse: { ...NO_PULSE, ...facts } }, sender);
  t.equal(pulse({ number: 5 }), 'pulse 5 of rank 0: knows of no coordinator');
  t.equal(
    pulse({ coordinator: other, term: 7, ageMs: 40, rank: 1, claims: [{ role: 'gateway', number: 3 }, { role: 'music', number: 0 }], asks: true }),
    'pulse 1 of rank 1: follows bbbbbbbb in term 7, heard 40 ms ago; holds gateway (grant 3) and music (an earlier grant); asks for renewals',
  );
  t.equal(pulse({ coordinator: other, term: 7, ageMs: 655_350 }), 'pulse 1 of rank 0: follows bbbbbbbb in term 7, not heard lately');
  t.equal(
    pulse({ coordinator: sender, term: 7, rank: 2, lone: true, renewals: [{ number: 3, echo: 40 }, { number: 4, echo: 41 }] }),
    'pulse 1 of rank 2: coordinates in term 7, and hears nobody; renews grant 3 as of pulse 40 and grant 4 as of pulse 41',
  );
  const boot = 'dd'.repeat(16) as BootId;
  for (const [message, said] of [
    [{ kind: 'election', rank: 1, term: 7 }, 'election: would coordinate with rank 1; knows of term 7'],
    [{ kind: 'answer', candidate: other, higher: third }, 'answer: cccccccc lives and is higher than bbbbbbbb'],
    [{ kind: 'coordinator', term: 8 }, 'coordinator: coordinates in term 8'],
    [{ kind: 'suspect', coordinator: other, term: 7 }, 'suspect: bbbbbbbb, coordinator of term 7, seems to be dead'],
    [{ kind: 'promised', term: 9 }, 'promised: term 9 has been claimed; claim a greater one'],
    [{ kind: 'grant', role: 'users', term: 7, number: 2, boot, echo: 44 }, 'grant: hold users by 7.aaaaaaaa.2, boot dddddddd as of pulse 44'],
    [{ kind: 'revoke', role: 'users', term: 7 }, 'revoke: let go of users, term 7'],
    [{ kind: 'release', role: 'users', term: 7, number: 2, why: 'leaving' }, 'release: holds users no more (leaving), grant 2 of term 7'],
    [{ kind: 'relay', peer: other }, 'relay: is bbbbbbbb alive?'],
    [{ kind: 'relayed', peer: other, boot }, 'relayed: bbbbbbbb is alive'],
    [{ kind: 'died', peer: other, boot }, 'died: the process of bbbbbbbb has ended, boot dddddddd'],
  ] as const satisfies readonly (readonly [Message, string])[]) {
    t.equal(textOf(message, sender), said);
    t.same(factsOf(message), message, 'and programs get it as it is');
  }
  t.equal(textOf({ kind: 'ping', nonce: 3 }, sender), 'ping {"nonce":3}');
  const beat = { kind: 'beat', port: 1, periodMs: 1_000, lamport: 3, root: new Uint8Array(8), head: null, heard: [], asks: false, network: null, user: true, pulse: { ...NO_PULSE, coordinator: sender, term: 7 }, offer: NO_OFFER } as const;
  t.match(textOf(beat, sender), /^beat \{"port":1,.*"offer":\{[^{}]*\}\}, pulse 1 of rank 0: coordinates in term 7$/);
});

/** Its lines, each time that it tells some, and time that stands still. */
function dutyLines(): { readonly duties: DutyLines; readonly rest: () => Lines | undefined } {
  const said: Lines[] = [];
  let waiting: (() => void) | undefined;
  const duties = new DutyLines(
    (lines) => said.push(lines),
    (_ms, then) => {
      waiting = then;
      return () => (waiting = undefined);
    },
  );
  /** Lets the time pass that has to. @returns what is told then */
  const rest = (): Lines | undefined => {
    while (waiting) {
      const then = waiting;
      waiting = undefined;
      then();
    }
    return said.shift();
  };
  return { duties, rest };
}

const SELF = { peer: 'aa', name: 'kitchen', term: 1, reason: 'first', self: true };
const STUDY = { peer: 'bb', name: 'study', term: 1, reason: 'first', self: false };

t.test('who has not said its name yet is shown by its id, and two machines of one name are two', async (t) => {
  const { duties, rest } = dutyLines();
  const [first, second, third] = ['a', 'b', 'c'].map((letter) => letter.repeat(32)) as [string, string, string];
  duties.coordinator({ ...STUDY, peer: first, name: '' });
  t.equal(rest()?.duties, 'aaaaaaaa coordinates');
  duties.coordinator({ ...STUDY, peer: second, name: '', reason: 'died' });
  t.equal(rest()?.duties, "bbbbbbbb coordinates now (aaaaaaaa's process has ended)");
  duties.coordinator({ ...SELF, peer: third, reason: 'silent' });
  duties.handover({ role: 'gateway', from: second, to: first, why: 'silent', names: { from: '', to: '' } });
  t.match(rest(), { duties: 'this machine coordinates now (bbbbbbbb did not answer any more)', handOvers: ['gateway passed from bbbbbbbb to aaaaaaaa: bbbbbbbb did not answer any more'] });
  duties.handover({ role: 'users', from: first, to: second, why: 'balance', names: { from: 'raspberrypi', to: 'raspberrypi' } });
  t.same(rest()?.handOvers, ['users passed from raspberrypi to raspberrypi: so that the work is shared']);
});

t.test('a peer that is alone says what it does in one line, and nothing when it goes on', async (t) => {
  const { duties, rest } = dutyLines();
  duties.coordinator(SELF);
  for (const role of ROLES) {
    duties.handover({ role, from: null, to: 'aa', why: 'first', names: { from: null, to: 'kitchen' } });
    duties.role({ role, state: 'held', token: '1.aa.1' });
  }
  duties.gatewayName({ name: 'spotify-peer.local', before: undefined });
  t.same(rest(), { duties: 'this machine coordinates; it holds all roles; the web page of all is http://spotify-peer.local:7700', handOvers: [], troubles: [] });
  duties.coordinator({ ...SELF, term: 2, reason: 'promised' });
  duties.role({ role: 'users', state: 'held', token: '2.aa.1' });
  t.equal(rest(), undefined, 'another term and other tokens are routine');
  duties.coordinator({ ...SELF, peer: null, name: '', self: false, reason: 'slept' });
  for (const role of ROLES) duties.role({ role, state: 'dropped', why: 'expired' });
  duties.gatewayName({ name: undefined, before: 'spotify-peer.local' });
  duties.coordinator({ ...SELF, term: 3, reason: 'slept' });
  for (const role of ROLES) duties.role({ role, state: 'held', token: '3.aa.1' });
  duties.gatewayName({ name: 'spotify-peer.local', before: undefined });
  t.equal(rest(), undefined, 'what has come back is not told');
  for (const role of ROLES) duties.role({ role, state: 'dropped', why: 'leaving' });
  t.equal(rest(), undefined, 'it says goodbye anyway');
});

t.test('who coordinates is told with the reason why it is another one, and what this machine does because of it', async (t) => {
  const { duties, rest } = dutyLines();
  duties.coordinator({ ...STUDY, name: '\x1b[2Jstudy' });
  duties.role({ role: 'users', state: 'held' });
  t.equal(rest()?.duties, ' [2Jstudy coordinates; this machine holds users');
  duties.coordinator(STUDY);
  t.equal(rest(), undefined);
  duties.coordinator({ ...STUDY, peer: null, name: '', reason: 'silent' });
  duties.role({ role: 'users', state: 'dropped', why: 'expired' });
  duties.role({ role: 'music', state: 'dropped', why: 'expired' });
  t.same(rest(), { duties: 'nobody coordinates now; this machine holds users no more (the lease of this machine had run out)', handOvers: [], troubles: [] }, 'when it stays so');
  duties.coordinator({ ...STUDY, reason: 'silent' });
  t.equal(rest()?.duties, 'study coordinates now (the one before did not answer any more)');
  duties.coordinator({ ...SELF, reason: 'died' });
  for (const role of ['gateway', 'music'] as const) {
    duties.handover({ role, from: 'bb', to: 'cc', why: 'died', names: { from: 'study', to: 'attic' } });
  }
  duties.handover({ role: 'users', from: 'bb', to: 'aa', why: 'died', names: { from: 'study', to: 'kitchen' } });
  duties.handover({ role: 'recommendations', from: null, to: 'cc', why: 'first', names: { from: null, to: 'attic' } });
  duties.role({ role: 'users', state: 'held' });
  t.same(rest(), {
    duties: "this machine coordinates now (study's process has ended)",
    handOvers: ["gateway and music passed from study to attic: study's process has ended", "users passed from study to this machine: study's process has ended"],
    troubles: [],
  });
  duties.coordinator({ ...STUDY, reason: 'greater' });
  duties.role({ role: 'users', state: 'dropped', why: 'superseded' });
  t.equal(rest()?.duties, 'study coordinates now (it met this machine, and has the greater term); this machine holds users no more (it was granted anew meanwhile)');
});

t.test('a name of the web page that somebody else has is told, with the name that it has instead', async (t) => {
  const { duties, rest } = dutyLines();
  duties.gatewayName({ name: 'spotify-peer-2.local', before: 'spotify-peer.local', foreigner: '10.0.0.9' });
  t.same(rest(), { duties: 'the web page of all is http://spotify-peer-2.local:7700', handOvers: [], troubles: ['10.0.0.9 is called spotify-peer.local too, so the web page has another name'] });
  duties.gatewayName({ name: undefined, before: 'spotify-peer-2.local', foreigner: '10.0.0.9' });
  t.same(rest(), { duties: undefined, handOvers: [], troubles: ["every name that the web page could have is somebody else's here, as of 10.0.0.9"] });
});

t.test('a playlist fits its terminal, numbered, with what is not here marked', async (t) => {
  const { userData } = fakePeer();
  const [playlist] = await userData.playlists();
  const page = await userData.playlist(playlist?.id as PlaylistId, { limit: 10, offset: 0 });
  const hostile = { ...page, name: '\x1b[2Jx', owner: 'a\nb' };
  for (const width of [40, 69, 70, 100]) {
    for (const line of playlistText(hostile, { width, colors: plain }).split('\n')) t.ok(widthOf(line) <= width && !/[\x00-\x1f]/.test(line), `${width}: ${line}`);
  }
  const lines = playlistText(page, { width: 100, colors: plain }).split('\n');
  t.equal(lines[0], 'Road trip, 2 songs, by Anna');
  t.match(lines[2], /^1 +\S/);
  t.match(lines[3], /^2 +not on any machine now .* [0-9a-f]{8}$/);
  t.equal(playlistText({ ...page, songs: 0, items: [] }, { width: 100, colors: plain }), 'Road trip, 0 songs, by Anna');
  t.match(playlistTable([{ ...page, songs: 12_345 }], { width: 80, colors: plain, owners: true }), /^PLAYLIST +OWNER +SONGS +ID\nRoad trip +Anna +12,345 +[0-9a-f]{8}$/);
});

t.test('colours are for terminals whose owner wants them', async (t) => {
  const painted = (stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv): boolean => colorsFor(stream, env).bold('x') !== 'x';
  t.equal(painted({ isTTY: true }, { TERM: 'xterm' }), true);
  t.equal(painted({ isTTY: true }, { TERM: 'xterm', NO_COLOR: '1' }), false);
  t.equal(painted({ isTTY: true }, { TERM: 'dumb' }), false);
  t.equal(painted({}, { TERM: 'xterm', CI: '1' }), false);
  t.equal(columnsOf({ columns: 20 }), 40);
  t.equal(columnsOf({}), 100);
});

t.test('a player is chosen in order, and mpg123 only for MP3', async (t) => {
  const name = async (programs: readonly string[], codec: string, asked?: string): Promise<string> => (await choosePlayer({ codec, asked }, systemOf('linux', programs))).name;
  t.equal(await name(['mpg123', 'ffplay', 'mpv'], 'flac'), 'mpv');
  t.equal(await name(['mpg123', 'ffplay'], 'mp3'), 'ffplay');
  t.equal(await name(['mpg123'], 'mp3'), 'mpg123');
  t.equal(await name(['mpg123', 'mpv'], 'mp3', 'mpg123'), 'mpg123');
  await t.rejects(name(['mpg123'], 'flac'), { code: 'NO_PLAYER' });
  await t.rejects(name(['mpg123'], 'flac', 'mpg123'), { code: 'NO_PLAYER', message: /MP3 only/ });
  await t.rejects(name(['mpv'], 'mp3', 'ffplay'), { code: 'NO_PLAYER', message: /ffplay is not installed/ });
  await t.rejects(name(['mpv'], 'mp3', 'vlc'), { code: 'BAD_USAGE' });
});

t.test('who has no player is told the line that installs one here', async (t) => {
  const release = (text: string): System => systemOf('linux', [], { '/etc/os-release': text });
  t.equal(await installLine(release('NAME="Debian GNU/Linux"\nID=debian\n')), 'sudo apt install mpv');
  t.equal(await installLine(release('ID=linuxmint\nID_LIKE="ubuntu debian"\n')), 'sudo apt install mpv');
  t.equal(await installLine(release('ID="rocky"\nID_LIKE="rhel centos fedora"\n')), 'sudo dnf install mpv');
  t.equal(await installLine(release('ID=manjaro\nID_LIKE=arch\n')), 'sudo pacman -S mpv');
  t.equal(await installLine(release('ID=nixos\n')), undefined);
  t.equal(await installLine(systemOf('darwin')), 'brew install mpv');
  t.match(await installLine(systemOf('win32')), /^winget install/);
  await t.rejects(choosePlayer({ codec: 'mp3' }, release('ID=fedora')), { message: /sudo dnf install mpv/ });
});

t.test('a title is never an option of the player', async (t) => {
  const url = 'http://127.0.0.1:1/play/x';
  t.same(playerArguments('mpv', { url, title: '--script=evil\n' }), ['--no-video', '--no-ytdl', '--force-media-title=--script=evil ', '--', url]);
  for (const name of ['ffplay', 'mpg123'] as const) t.equal(playerArguments(name, { url, title: 'x' }).at(-1), url);
});

t.test('we end as the player does', { skip: process.platform === 'win32' && 'the stand-ins are shell scripts' }, async (t) => {
  const folder = t.testdir();
  const player = (script: string): { name: 'mpv'; program: string } => {
    const program = join(folder, `player-${script.length}-${Buffer.from(script).toString('hex').slice(-8)}`);
    writeFileSync(program, `#!/bin/sh\n${script}\n`);
    chmodSync(program, 0o755);
    return { name: 'mpv', program };
  };
  const song = { url: 'http://x/', title: 'x' };
  t.equal(await play(player('exit 0'), song), 0);
  await t.rejects(play(player('exit 2'), song), { code: 'SONG_UNAVAILABLE' });
  await t.rejects(play({ name: 'mpv', program: join(folder, 'nothing') }, song), { code: 'NO_PLAYER' });

  // Ctrl-C goes to the whole group of the terminal; a process group of its own stands in for it.
  const waits = player("trap 'exit 4' INT TERM; echo ready; while :; do sleep 0.05; done");
  const script = `import { play } from ${JSON.stringify(new URL('../../bin/player.js', import.meta.url).href)};
    process.exit(await play(${JSON.stringify(waits)}, ${JSON.stringify(song)}));`;
  for (const [signal, code, whole] of [['SIGINT', 130, true], ['SIGTERM', 143, false]] as const) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    process.kill(whole ? -(child.pid as number) : (child.pid as number), signal);
    const [exit] = (await once(child, 'exit')) as [number];
    t.equal(exit, code, signal);
    t.equal(spawnSync('pgrep', ['-g', String(child.pid)]).status ?? 1, 1, 'no player is left behind');
  }
});

t.test('the firewall line is that of the firewall which is there', async (t) => {
  const ports = { tcp: [17_784, 7_700], udp: [5_353, 17_783, 17_784] };
  const on = { '/etc/ufw/ufw.conf': '# x\nENABLED=yes\n' };
  t.same(await firewallAdvice(ports, systemOf('linux', ['firewall-cmd'], on)), {
    firewall: 'ufw',
    line: 'sudo ufw allow proto udp to any port 5353,17783,17784 && sudo ufw allow proto tcp to any port 17784,7700',
  });
  t.match(await firewallAdvice(ports, systemOf('linux', ['/usr/sbin/firewall-cmd'])), { firewall: 'firewalld', line: /--add-port=5353\/udp .*--add-port=7700\/tcp && sudo firewall-cmd --runtime-to-permanent$/ });
  t.equal(await firewallAdvice(ports, systemOf('linux', [], { '/etc/ufw/ufw.conf': 'ENABLED=no' })), undefined);
  t.match(await firewallAdvice(ports, systemOf('win32')), { firewall: 'windows', line: /-Protocol UDP -LocalPort 5353,17783,17784; New-NetFirewallRule .*-Protocol TCP -LocalPort 17784,7700$/ });
  t.match(await firewallAdvice(ports, systemOf('darwin')), { firewall: 'macos', line: /socketfilterfw --add '/ });
});
