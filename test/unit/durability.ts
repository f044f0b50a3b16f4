// What is on the disk after a power cut, a damaged page and kill -9, on real databases: no head claims what is gone, whatever was
// acknowledged is there, and it goes on.
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { type EpochId, hex, type PeerId, randomEpochId, randomId } from '../../lib/ids.ts';
import type { Operation } from '../../lib/operation.ts';
import { integerBetween, type Random, seededRandom } from '../../lib/random.ts';
import { Replica } from '../../peer/replication/replica.ts';
import { pullAll, replicaOptions } from '../fixtures/replica.ts';
import { COMMITS_KEPT } from '../../storage/commit-log.ts';
import { type Database, openDatabase, section } from '../../storage/database.ts';
import { OperationStore } from '../../storage/operation-store.ts';
import type { Salvaged } from '../../storage/salvage.ts';
import { type CheckedStore, checkStore, lost, overclaimed } from '../fixtures/check-store.ts';
import { copyData, cutLog, logFiles, openLog, PAGE_BYTES, zeroPage } from '../fixtures/log-pages.ts';

const NETWORK = 'home';
/** Of each history; a log has more. */
const PAGES_TRIED = 15;
/** Of the scanner's rows, so that some of a history lies in a table already: a log ends at 4 MiB. */
const ROTATING_BYTES = 120_000;
const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
t.comment(`seed ${seed} (SEED=${seed} replays it)`);

const text = (value: string): Uint8Array => Buffer.from(value);
t.setTimeout(90_000);
const scratch = mkdtempSync(join(tmpdir(), 'durability-'));
t.teardown(() => rmSync(scratch, { recursive: true, force: true }));
let folders = 0;
const newFolder = (): string => join(scratch, String((folders += 1)));

interface Disk {
  readonly folder: string;
  readonly database: Database;
  readonly store: OperationStore;
  readonly replica: Replica;
  readonly salvaged: Salvaged | null;
  close(): Promise<void>;
}

async function openDisk(folder: string, self: PeerId): Promise<Disk> {
  const database = await openDatabase(folder);
  const store = new OperationStore(database, NETWORK);
  const replica = await Replica.open(replicaOptions(self, store));
  const { salvaged } = replica;
  const close = async (): Promise<void> => {
    await replica.close();
    await database.close();
  };
  return { folder, database, store, replica, salvaged, close };
}

/** An epoch by chance, but the same in each run of a seed. */
const epochBy = (random: Random): EpochId => hex(Buffer.from(Array.from({ length: 8 }, () => integerBetween(random, 0, 255)))) as EpochId;

const valueBy = (random: Random, bytesMax: number): Uint8Array | null =>
  random() < 0.2 ? null : Buffer.alloc(integerBetween(random, 1, bytesMax), integerBetween(random, 0, 255));

const keyBy = (random: Random): string => `${random() < 0.5 ? 'star' : 'holding'}/${integerBetween(random, 1, 40)}`;

/** How far the disk and the writers were at a moment. */
interface Moment {
  readonly log: string;
  /** Length of that log when a synced write returned last. */
  readonly syncedBytes: number;
  readonly acknowledged: number;
}

/** One peer at work: own writes, operations of others alone and in deltas, and unsynced rows of the scanner between them. */
class Worked {
  readonly self = randomId<PeerId>();
  readonly folder = newFolder();
  /** Everything that was ever written to a replica, in order. */
  readonly written: Operation[] = [];
  readonly moments: Moment[] = [];
  readonly random: Random;
  readonly others: { readonly origin: PeerId; epoch: EpochId; seq: number }[];
  disk!: Disk;
  #synced = { name: '', bytes: 0 };

  constructor(random: Random) {
    this.random = random;
    this.others = [1, 2].map(() => ({ origin: randomId<PeerId>(), epoch: epochBy(random), seq: 0 }));
  }

  async open(): Promise<void> {
    this.disk = await openDisk(this.folder, this.self);
    this.#synced = openLog(this.folder);
    this.#watch(this.disk.database);
  }

  /** Notes the length of the log whenever a write that asked to be synced has returned. */
  #watch(database: Database): void {
    const { batch } = database;
    database.batch = ((...args: []) => {
      const chain = batch.apply(database, args);
      const { write } = chain;
      chain.write = async (options: { sync?: boolean } = {}) => {
        await write.call(chain, options);
        if (options.sync) this.#synced = openLog(this.folder);
      };
      return chain;
    }) as unknown as Database['batch'];
  }

  /** @param rowBytes of the scanner's rows */
  async step(rowBytes = 300): Promise<void> {
    const { random } = this;
    const { replica, database } = this.disk;
    const chance = random();
    if (chance < 0.45) {
      const changes = Array.from({ length: integerBetween(random, 1, 6) }, () => ({ key: keyBy(random), value: valueBy(random, 600) }));
      this.written.push(...(await replica.write(changes)));
    } else if (chance < 0.8) {
      const other = this.others[integerBetween(random, 0, 1)] as (typeof this.others)[number];
      const operations = Array.from({ length: integerBetween(random, 1, 12) }, () => this.#operationOf(other));
      if (random() < 0.5) await replica.append(operations);
      else {
        const base = replica.vector(other.origin);
        await replica.apply({ origin: other.origin, base, vector: new Map([[other.epoch, other.seq]]), operations }, null);
      }
      this.written.push(...operations);
    } else {
      const rows = database.batch();
      for (let i = integerBetween(random, 1, 8); i > 0; i--) rows.put(`${section(database, 'files').prefix}${random()}`, Buffer.alloc(rowBytes, i));
      await rows.write();
    }
    const { name, bytes } = this.#synced;
    this.moments.push({ log: name, syncedBytes: bytes, acknowledged: this.written.length });
  }

  #operationOf(other: { readonly origin: PeerId; readonly epoch: EpochId; seq: number }): Operation {
    other.seq += 1;
    const { origin, epoch, seq } = other;
    return { origin, epoch, seq, lamport: this.disk.replica.clock.time + 1 + seq, key: keyBy(this.random), value: valueBy(this.random, 600) };
  }
}

const acknowledgedAt = (peer: Worked, moment: Moment): Operation[] => peer.written.slice(0, moment.acknowledged);

t.test('a power cut takes nothing that was acknowledged, wherever it cuts or damages what was not synced', async (t) => {
  const random = seededRandom(seed);
  for (let world = 0; world < 2; world++) {
    const peer = new Worked(random);
    await peer.open();
    const images: { readonly folder: string; readonly moment: Moment }[] = [];
    for (let i = 0; i < 60; i++) {
      const before = peer.moments.at(-1);
      await peer.step();
      // the step is under way still: what it wrote is in the file, and was not synced
      if (!before || random() > 0.1) continue;
      const folder = newFolder();
      copyData(peer.folder, folder);
      images.push({ folder, moment: before });
    }
    await peer.disk.close();
    for (const { folder, moment } of images) {
      const { name, bytes } = openLog(folder);
      const from = name === moment.log ? moment.syncedBytes : 0;
      for (let cut = 0; cut < 3; cut++) {
        const damaged = newFolder();
        copyData(folder, damaged);
        const at = integerBetween(random, from, bytes);
        const what = cut % 2 === 0 || at === bytes ? 'cut' : 'zeroed';
        if (what === 'cut') cutLog(damaged, name, at);
        // a page is written whole or not at all; of the one in which the synced bytes end, the rest
        else await zeroPage(damaged, name, Math.max(from, at - (at % PAGE_BYTES)));
        await goesOn(t, peer, damaged, acknowledgedAt(peer, moment), `world ${world}: ${what} at ${at} of ${bytes}, synced ${from}`);
        rmSync(damaged, { recursive: true });
      }
    }
  }
});

/** The folder opens, holds what was acknowledged, claims nothing that is gone, and is written to. */
async function goesOn(t: Test, peer: Worked, folder: string, acknowledged: readonly Operation[], label: string): Promise<void> {
  const disk = await openDisk(folder, peer.self);
  const store = await checkStore(disk.database, NETWORK);
  const faults = [...store.faults, ...lost(store, acknowledged), ...overclaimed(store, peer.written), ...(disk.salvaged ? ['was salvaged'] : [])];
  const [operation] = await disk.replica.write([{ key: 'star/after', value: text('on') }]);
  await disk.close();
  const again = await openDisk(folder, peer.self);
  const after = await checkStore(again.database, NETWORK);
  faults.push(...after.faults, ...lost(after, [...acknowledged, operation as Operation]));
  await again.close();
  if (faults.length > 0) t.fail(`${label}: ${faults.slice(0, 5).join('; ')}`);
  else t.pass(label);
}

t.test('a page of zeros anywhere in the log: nothing is claimed that is gone, and peers agree again', async (t) => {
  const random = seededRandom(seed + 1);
  let salvaged = 0;
  for (const { steps, rowBytes } of [{ steps: 60, rowBytes: 300 }, { steps: 60, rowBytes: ROTATING_BYTES }]) {
    const peer = new Worked(random);
    const witness = await openDisk(newFolder(), randomId<PeerId>());
    await peer.open();
    for (let i = 0; i < steps || (rowBytes === ROTATING_BYTES && tablesOf(peer.folder).length === 0); i++) {
      await peer.step(rowBytes);
      // it holds a part of everything, and writes what the peer then holds
      if (i % 20 !== 10) continue;
      await pullAll(witness.replica, peer.disk.replica);
      peer.written.push(...(await witness.replica.write([{ key: keyBy(random), value: valueBy(random, 100) }])));
      await pullAll(peer.disk.replica, witness.replica);
    }
    const image = newFolder();
    copyData(peer.folder, image);
    await peer.disk.close();
    await witness.close();
    const pages = logFiles(image).flatMap((name) => {
      const bytes = openLog(image).name === name ? openLog(image).bytes : 0;
      return Array.from({ length: Math.ceil(bytes / PAGE_BYTES) }, (_, page) => ({ name, from: page * PAGE_BYTES }));
    });
    const chosen = pages.filter(() => random() < PAGES_TRIED / pages.length);
    for (const { name, from } of chosen) {
      const label = `${steps} steps, rows of ${rowBytes}: page at ${from} of ${name}`;
      const folder = newFolder();
      copyData(image, folder);
      await zeroPage(folder, name, from);
      const disk = await openDisk(folder, peer.self);
      if (disk.salvaged) salvaged += 1;
      await agreesAgain(t, peer, disk, witness.folder, label);
      rmSync(folder, { recursive: true });
    }
  }
  t.comment(`${salvaged} stores were salvaged`);
  t.ok(salvaged > 0, 'pages in the middle lose commits that others follow');
});

/** Whatever is left on either side is held by both in the end, the latest of each register, and the claims of both are true. */
async function agreesAgain(t: Test, peer: Worked, disk: Disk, witnessFolder: string, label: string): Promise<void> {
  const copy = newFolder();
  copyData(witnessFolder, copy);
  const witness = await openDisk(copy, randomId<PeerId>());
  const [mine, theirs] = [await checkStore(disk.database, NETWORK), await checkStore(witness.database, NETWORK)];
  const faults = [...mine.faults, ...overclaimed(mine, peer.written)];
  const [operation] = await disk.replica.write([{ key: 'star/after', value: text('on') }]);
  for (let round = 0; round < 2; round++) {
    await pullAll(witness.replica, disk.replica);
    await pullAll(disk.replica, witness.replica);
  }
  if (witness.replica.digest !== disk.replica.digest) faults.push('the digests differ');
  if (Buffer.compare(witness.replica.root, disk.replica.root) !== 0) faults.push('the vectors differ');
  for (const store of [await checkStore(disk.database, NETWORK), await checkStore(witness.database, NETWORK)]) {
    faults.push(...store.faults, ...overclaimed(store, [...peer.written, operation as Operation]), ...forgotten(store, [mine, theirs]));
  }
  await disk.close();
  await witness.close();
  rmSync(copy, { recursive: true });
  if (faults.length > 0) t.fail(`${label}: ${faults.slice(0, 5).join('; ')}`);
  else t.pass(label);
}

/** Registers of which `store` holds less than one of those it came from. */
const forgotten = (store: CheckedStore, sources: readonly CheckedStore[]): string[] =>
  sources.flatMap(({ winners }) =>
    [...winners].flatMap(([row, operation]) => {
      const held = store.winners.get(row);
      if (!held || held.lamport < operation.lamport) return [`${operation.key} @${operation.lamport} was left and is forgotten`];
      const same = held.lamport > operation.lamport || Buffer.compare(held.value ?? text('-'), operation.value ?? text('-')) === 0;
      return same ? [] : [`${operation.key} @${operation.lamport} has two contents`];
    }),
  );

t.test('a database that has lost what its files are is refused in words, and left as it is', async (t) => {
  const folder = newFolder();
  const self = randomId<PeerId>();
  await (await openDisk(folder, self)).close();
  const disk = await openDisk(folder, self);
  await disk.replica.write([{ key: 'star/a', value: text('1') }]);
  await disk.close();
  await (await openDisk(folder, self)).close();
  const files = readdirSync(join(folder, 'db'));
  const manifest = files.find((name) => name.startsWith('MANIFEST')) as string;
  const damage: Record<string, (path: string) => void> = {
    [manifest]: (path) => truncateSync(path, 0),
    CURRENT: (path) => rmSync(path),
  };
  for (const [name, how] of Object.entries(damage)) {
    const copy = newFolder();
    copyData(folder, copy);
    how(join(copy, 'db', name));
    await t.rejects(openDatabase(copy), { code: 'DATA_FOLDER_UNUSABLE', message: /damaged .*; move .*db away/ }, name);
    t.same(tablesOf(copy), tablesOf(folder), 'no table was deleted');
  }
});

const tablesOf = (folder: string): string[] => readdirSync(join(folder, 'db')).filter((name) => name.endsWith('.ldb'));

t.test('a process killed at any moment has lost nothing that it acknowledged, and claims nothing more', async (t) => {
  const random = seededRandom(seed + 2);
  const folder = newFolder();
  const self = randomId<PeerId>();
  const acknowledged: Operation[] = [];
  for (let kill = 0; kill < 10; kill++) {
    const child = spawn(process.execPath, [fileURLToPath(new URL('../fixtures/durable-writer.js', import.meta.url)), folder, self, String(seed + kill)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const after = integerBetween(random, 1, 1_500);
    let seen = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      // the last line may be torn, and then its writer had not said it whole
      if (!line.endsWith(']')) continue;
      const [origin, epoch, seq, lamport, key, value] = JSON.parse(line) as [PeerId, EpochId, number, number, string, string | null];
      acknowledged.push({ origin, epoch, seq, lamport, key, value: value === null ? null : text(value) });
      seen += 1;
      if (seen === after) child.kill('SIGKILL');
    }
    const disk = await openDisk(folder, self);
    const store = await checkStore(disk.database, NETWORK);
    const faults = [...store.faults, ...lost(store, acknowledged), ...(disk.salvaged ? ['was salvaged'] : [])];
    await disk.close();
    if (faults.length > 0) t.fail(`kill ${kill}: ${faults.slice(0, 5).join('; ')}`);
  }
  t.comment(`${acknowledged.length} writes were acknowledged`);
  t.ok(acknowledged.length > 1_000);
});

/** A store whose `rows` registers came in several commits, of which the second says that it is lost. */
async function withGap(self: PeerId, other: PeerId): Promise<string> {
  const folder = newFolder();
  const disk = await openDisk(folder, self);
  const otherEpoch = randomEpochId();
  for (let i = 0; i < 4; i++) {
    await disk.replica.write(Array.from({ length: 200 }, (_, j) => ({ key: `star/${j}-${i % 3}`, value: j % 5 === 0 ? null : text(`${i}`) })));
    const kinds = ['holding', 'star'];
    const operations = Array.from({ length: 200 }, (_, j) => ({
      origin: other, epoch: otherEpoch, seq: i * 200 + j + 1, lamport: 1_000 * (i + 1) + j, key: `${kinds[j % 2]}/${j}-${i}`, value: text('other'),
    }));
    await disk.replica.append(operations);
  }
  await section(disk.database, `commits@${NETWORK}`).del('0002');
  await disk.close();
  return folder;
}

t.test('a salvage keeps what its owner and what people wrote, at its time, drops the rest, and trusts no old head', async (t) => {
  const [self, other] = [randomId<PeerId>(), randomId<PeerId>()];
  const folder = await withGap(self, other);
  const database = await openDatabase(folder);
  const before = await checkStore(database, NETWORK);
  const store = new OperationStore(database, NETWORK);
  const state = await store.load();
  t.same(state.missing, { first: 2, commits: 1 });
  await t.rejects(store.commit({ puts: [], superseded: [], heads: [], digest: new Uint8Array(32), lamport: 1 }), 'nothing is written before it');
  const epoch = randomEpochId();
  t.same(await store.salvage(self, epoch), { missing: { first: 2, commits: 1 }, kept: 600 + 400, dropped: 400 });
  const after = await store.load();
  t.equal(after.missing, null);
  t.equal(after.lamport, state.lamport);
  t.same([...after.vectors], [[self, new Map([[epoch, 600]])], [other, new Map([[epoch, 400]])]].sort());
  const checked = await checkStore(database, NETWORK);
  t.same(checked.faults, []);
  const content = ({ key, origin, lamport, value }: Operation): string => `${key} ${origin} ${lamport} ${value && Buffer.from(value)}`;
  const keeps = ({ origin, key }: Operation): boolean => origin === self || key.startsWith('star/');
  t.same([...checked.winners.values()].map(content), [...before.winners.values()].filter(keeps).map(content));
  await database.close();
  const again = await openDisk(folder, self);
  t.equal(again.salvaged, null, 'and the next start finds nothing to do');
  await again.close();
});

t.test('a salvage that ends at any commit is finished by the next start, with the same result', async (t) => {
  const [self, other] = [randomId<PeerId>(), randomId<PeerId>()];
  const damaged = await withGap(self, other);
  const epoch = randomEpochId();
  const results = new Set<string>();
  let finished = false;
  for (let commits = 0; !finished && commits < 40; commits++) {
    const folder = newFolder();
    copyData(damaged, folder);
    let database = await openDatabase(folder);
    endAfter(database, commits);
    let store = new OperationStore(database, NETWORK);
    await store.load();
    finished = await store.salvage(self, epoch).then(() => true, () => false);
    await database.close();
    database = await openDatabase(folder);
    store = new OperationStore(database, NETWORK);
    if ((await store.load()).missing) await store.salvage(self, epoch);
    const { faults } = await checkStore(database, NETWORK);
    t.same(faults, [], `after ${commits} commits`);
    const { digest, vectors, missing } = await store.load();
    results.add(JSON.stringify([digest && hex(digest), [...vectors].map(([origin, vector]) => [origin, ...vector]), missing]));
    await database.close();
  }
  t.ok(finished);
  t.equal(results.size, 1);
});

/** Refuses every batch after the first `count`, as a process that has ended does. */
function endAfter(database: Database, count: number): void {
  const { batch } = database;
  let left = count;
  database.batch = ((...args: []) => {
    const chain = batch.apply(database, args);
    const { write } = chain;
    chain.write = (options: { sync?: boolean } = {}) => (left-- > 0 ? write.call(chain, options) : Promise.reject(new Error('ended')));
    return chain;
  }) as unknown as Database['batch'];
}

t.test('a commit that is not in its slot is missing, among those that the log can still hold and that no salvage has settled', async (t) => {
  const latest = COMMITS_KEPT + 1_000;
  const store = async (settled: number, except: readonly number[]): Promise<unknown> => {
    const database = await openDatabase(newFolder());
    const rows = database.batch();
    const slots = section(database, `commits@${NETWORK}`).prefix;
    for (let number = latest - COMMITS_KEPT + 1; number <= latest; number++) {
      const row = slots + (number % COMMITS_KEPT).toString(36).padStart(4, '0');
      if (!except.includes(number)) rows.put(row, text(String(number)));
      else if (number > COMMITS_KEPT) rows.put(row, text(String(number - COMMITS_KEPT)));
    }
    const meta = section(database, `replication@${NETWORK}`).prefix;
    await rows.put(`${meta}commit`, text(String(latest))).put(`${meta}settled`, text(String(settled))).write();
    const { missing } = await new OperationStore(database, NETWORK).load();
    await database.close();
    return missing;
  };
  t.equal(await store(0, []), null);
  t.same(await store(0, [1_001]), { first: 1_001, commits: 1 }, 'the oldest that counts');
  t.same(await store(0, [latest - 1, COMMITS_KEPT, COMMITS_KEPT + 1]), { first: COMMITS_KEPT, commits: 3 }, 'a slot that holds an older one is as good as empty');
  t.same(await store(latest - 10, [latest - 9, latest - 10]), { first: latest - 9, commits: 1 }, 'what a salvage has settled is not looked for');
  t.equal(await store(latest, [latest - 1]), null);
});
