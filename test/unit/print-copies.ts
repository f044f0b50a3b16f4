// Copies in words: what people read of how safe their music is.
import pc from 'picocolors';
import t from 'tap';
import { findPeer } from '../../bin/find-peer.ts';
import { copiesLines, isSafe, leavingText, pinsText, safeText, stuckText } from '../../bin/print-copies.ts';
import { LeaveWait, SLOW_MS, STUCK_MS } from '../../bin/leave-wait.ts';
import { eventLine } from '../../bin/event-line.ts';
import type { LeavingJson, SafeJson } from '../../peer/http/copy-schemas.ts';

const colors = pc.createColors(false);
const songs = Array.from({ length: 30 }, (_, i) => ({ id: `${i}`.padStart(32, '0'), title: `Song ${i}`, artist: i === 0 ? '' : 'Ann' }));
const safe: SafeJson = { wanted: 2, songs: { 1: 20, 2: 180 }, toDo: 20, missing: 0, scanning: false, foldersMissing: [], vanishing: null };

t.test('status says how many songs are on as many machines as is wanted, and what is still to be done', async (t) => {
  t.same(copiesLines(safe, colors), ['180 songs on 2 machines, 20 on fewer', '20 to copy']);
  t.same(copiesLines({ wanted: 2, songs: { 1: 1, 2: 4, 3: 5, 10: 1 }, toDo: 0, missing: 3 }, colors), ['10 songs on 2 machines or more, 1 on fewer', '3 on no machine that is here']);
  t.same(copiesLines({ wanted: 1, songs: { 1: 1 }, toDo: 0, missing: 0 }, colors), ['1 song on 1 machine']);
  t.same(copiesLines({ wanted: 2, songs: {}, toDo: 0, missing: 0 }, colors), ['no songs']);
});

t.test('safe tells of all songs, or of what would vanish with a machine, as many as a person reads', async (t) => {
  t.match(safeText({ ...safe, songs: { 9: 1, 10: 2 } }), /^2 songs on 10 machines, 1 on 9\n/, 'in order of numbers and not of letters');
  t.equal(safeText(safe), '180 songs on 2 machines, 20 on 1\nwanted: each on 2 machines; 20 still to copy');
  t.match(safeText({ ...safe, wanted: 1, toDo: 0 }), /each on 1 machine, so none is copied$/);
  t.match(safeText({ ...safe, missing: 1 }), /\n1 song is on no machine/);
  const lines = safeText({ ...safe, vanishing: { total: 1_234, bytes: 5_000_000, songs, scanning: false } }, 'old\u001b[2Jnas').split('\n');
  t.equal(lines[0], 'with old [2Jnas 1,234 songs would vanish (5 MB):');
  t.same(lines.slice(1, 3), ['  Song 0', '  Song 1 by Ann']);
  t.equal(lines.length, 22);
  t.equal(lines.at(-1), '  … and 1,214 more');
  const vanishing = { total: 0, bytes: 0, songs: [], scanning: false };
  const nothing = safeText({ ...safe, vanishing }, 'nas');
  t.match(nothing, /^by what is known now nothing would vanish with nas\n[^\n]* before it is switched off .*: \S.* leave$/, 'it is no promise, and tells who gives one');
  t.same([isSafe(safe), isSafe({ ...safe, scanning: true, vanishing }), isSafe({ ...safe, vanishing: { ...vanishing, total: 1 } })], [true, true, false]);
});

t.test('what was not read yet is not counted, and that is said', async (t) => {
  const vanishing = { total: 0, bytes: 0, songs: [] };
  t.match(safeText({ ...safe, scanning: true }), /\nthe music folders of this machine are still being read/);
  const asked = [
    [true, /^by what is known now nothing would vanish with nas\nthe music folders of nas are still being read/],
    [null, /^by what is known now .*\nnas does not say whether/],
  ] as const;
  for (const [scanning, text] of asked) {
    t.match(safeText({ ...safe, vanishing: { ...vanishing, scanning } }, 'nas'), text);
    t.notOk(isSafe({ ...safe, vanishing: { ...vanishing, scanning } }), 'and a script sees it');
  }
  t.notMatch(safeText(safe), /still being read/);
});

t.test('whose music folders are missing is named, since what is there counts and cannot be played', async (t) => {
  const foldersMissing = [{ id: 'a'.repeat(32), name: 'nas' }, { id: 'b'.repeat(32), name: '' }];
  const vanishing = { total: 0, bytes: 0, songs: [], scanning: false };
  t.match(safeText({ ...safe, foldersMissing }), /\nmusic folders of nas, b{8} are missing: what is there nobody can play$/);
  t.match(safeText({ ...safe, foldersMissing: foldersMissing.slice(0, 1), vanishing }, 'tv'), /\na music folder of nas is missing/);
});

t.test('who leaves waits as long as songs go over, and not for ever', async (t) => {
  const MINUTE_MS = 60_000;
  const says = (total: number, underWay = 0, scanning = false) => ({ leaving: true, total, unconfirmed: 0, others: 1, inSync: 1, underWay, scanning });
  const wait = new LeaveWait();
  for (let i = 0; i < 30; i++) t.equal(wait.step(says(100 - i, 1), i * SLOW_MS), 'waiting');
  t.equal(wait.step(says(71, 1), 29 * SLOW_MS + SLOW_MS), 'waiting');
  t.equal(wait.step(says(71, 1), 29 * SLOW_MS + SLOW_MS + 1), 'stuck', 'one song that nobody can fetch, whatever others fetch meanwhile');
  t.equal(wait.step(says(0), 100 * SLOW_MS), 'done');
  t.equal(wait.step({ ...says(0), leaving: false }, 100 * SLOW_MS), 'withdrawn', 'whatever others have: they rely on it again');
  const idle = new LeaveWait();
  t.equal(idle.step(says(5), 0), 'waiting');
  t.equal(idle.step(says(5), STUCK_MS), 'waiting');
  t.equal(idle.step(says(5), STUCK_MS + 1), 'stuck');
  const scans = new LeaveWait();
  for (let i = 0; i < 30; i++) t.equal(scans.step(says(i, 0, true), i * MINUTE_MS), 'waiting', 'what a scan still finds may be only here');
  t.equal(scans.step(says(0, 0, true), 30 * MINUTE_MS), 'waiting');
  t.equal(scans.step(says(0), 31 * MINUTE_MS), 'done');
  for (const lacks of [{ others: 0, inSync: 0 }, { inSync: 0 }, { unconfirmed: 1 }]) {
    const alone = new LeaveWait();
    t.equal(alone.step({ ...says(0), ...lacks }, 0), 'waiting', 'nobody else has what people made, or nobody is sure of it');
    t.equal(alone.step({ ...says(0), ...lacks }, STUCK_MS + 1), 'stuck');
  }
});

t.test('who leaves hears what is left, that it may go, or why it does not go on', async (t) => {
  const leaving: LeavingJson = { leaving: true, total: 2, bytes: 2_000_000, songs: songs.slice(0, 2), unconfirmed: 0, others: 1, silent: 0, busy: 0, foldersMissing: [], inSync: 1, localOnly: 0, underWay: 1, room: true, scanning: false };
  t.equal(leavingText(leaving), '2 songs (2 MB) are still only here; others are fetching 1');
  t.match(leavingText({ ...leaving, total: 0 }), /it can be switched off$/);
  t.match(stuckText({ ...leaving, room: false }), /^no other machine has room .*:\n {2}Song 0\n {2}Song 1 by Ann$/s);
  t.match(leavingText({ ...leaving, total: 0, scanning: true }), /still being read/);
  t.match(stuckText({ ...leaving, others: 0 }), /^no other machine is here/);
  const none = { ...leaving, total: 0, bytes: 0, songs: [] };
  t.equal(leavingText({ ...none, others: 0, inSync: 0 }), 'no other machine is here, to which anything could go', 'at once, and not after a while');
  t.equal(leavingText({ ...none, inSync: 0, localOnly: 2 }), 'no other machine has all yet that is written here; 2 changes that people made had reached none at once');
  t.equal(leavingText({ ...none, unconfirmed: 1 }), 'others have 1 song of this machine, and have to confirm that they keep it');
  t.equal(stuckText({ ...none, others: 2, unconfirmed: 1, silent: 1 }), 'others have 1 song of this machine, and have to confirm that they keep it (1 machine does not answer)');
  const foldersMissing = [{ id: 'a'.repeat(32), name: 'nas' }];
  for (const left of [{ ...none, unconfirmed: 1 }, leaving, { ...none, scanning: true }, { ...none, inSync: 0 }]) {
    t.match(leavingText({ ...left, foldersMissing }), /; a music folder of nas is missing, and who cannot read its music confirms nothing$/, 'as long as anything is left to be done');
  }
  t.match(stuckText({ ...leaving, room: false, foldersMissing }), /^no other machine has room .*; a music folder of nas is missing, [^\n]* confirms nothing; with this machine would vanish:\n/);
  t.equal(stuckText({ ...none, unconfirmed: 1, foldersMissing }).split('missing').length, 2, 'once');
  t.match(stuckText({ ...leaving, others: 2, silent: 2, room: false }), /^no other machine answers \(2 are here\)/);
  t.match(stuckText({ ...leaving, others: 2, silent: 1, busy: 1, room: false }), /^the other machines play music/);
  t.match(stuckText({ ...leaving, others: 2, busy: 1, room: false }), /^no other machine that answers and does not play music has room/);
  t.match(stuckText({ ...leaving, underWay: 0 }), /^others have room, and could not fetch these songs/);
  t.match(stuckText(leaving), /^others are fetching, and none of these/);
});

t.test('pins are listed with their state', async (t) => {
  const text = pinsText([{ songId: 'a'.repeat(32), title: 'Rain', artist: 'Ann', state: 'coming', reason: null }, { songId: 'b'.repeat(32), title: '', artist: '', state: 'own', reason: null }, { songId: 'c'.repeat(32), title: 'Sun', artist: '', state: 'waiting', reason: 'its machine is away' }, { songId: 'd'.repeat(32), title: '', artist: '', state: 'gone', reason: 'it was deleted' }], { width: 110, colors });
  t.match(text, /Rain .*Ann .*coming .*aaaaaaaa\n.*on no machine now.*own file.*bbbbbbbb\n.*Sun.*waiting: its machine is away.*cccccccc\n.*gone: it was deleted.*dddddddd/s);
});

t.test('the setting stands in the event log as a sentence', async (t) => {
  const event = { lamport: 1, origin: 'a'.repeat(32), epoch: 'b'.repeat(16), seq: 1, at: null, kind: 'setting', key: 'setting/copies', settled: true, name: 'kitchen', setting: 'copies', copies: 3 };
  const names = { song: async () => '', playlist: async () => '', peer: () => '' };
  t.match(await eventLine(event as never, { names, colors }), /kitchen .*wants each song on 3 machines$/);
  t.match(await eventLine({ ...event, copies: 1 } as never, { names, colors }), /wants each song on 1 machine$/);
});

t.test('a machine is found by its name or the start of its id, if it is one', async (t) => {
  const peers = [{ id: 'abcd1', name: 'nas', state: 'alive' as const }, { id: 'abcd2', name: 'tv', state: 'dead' as const }, { id: 'ffff', name: 'tv', state: 'alive' as const }];
  t.equal(findPeer(peers, 'nas').id, 'abcd1');
  t.equal(findPeer(peers, 'ABCD2').id, 'abcd2');
  t.throws(() => findPeer(peers, 'abcd'), { code: 'BAD_USAGE' });
  t.throws(() => findPeer(peers, 'tv'), { code: 'BAD_USAGE' });
  t.throws(() => findPeer(peers, 'abc'), { code: 'NOT_FOUND' });
});
