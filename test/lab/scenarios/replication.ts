// Five machines, each with a catalog, on which people make playlists and star songs while the network parts and heals, loses frames, and
// machines are killed and start again. When it is over, everybody has one state within ten seconds, and it is what the people were told
// and what docs/PROTOCOL.md says of it.
//
// The songs are files that the peers read from their disks: rows written into their databases by a test would be deleted by each
// peer, rightly, when it compares its catalog with its disk.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { integerBetween, type Random, seededRandom } from '../../../lib/random.ts';
import { Api } from '../api.ts';
import { effort, oneOf, seeded } from '../effort.ts';
import { type Host, Lab } from '../lab.ts';
import { fill, musicFolder } from '../music.ts';
import { meet } from '../network.ts';
import { type Peer, programMissing, startPeer } from '../peers.ts';
import { Person, PROFILES } from '../people.ts';
import { broken, contradictions, predict, shown } from '../predict.ts';
import { until } from '../until.ts';
import { claimSameView, sameDigest } from '../views.ts';

const HOSTS = 5;
const SONGS_EACH = effort({ short: 100, long: 2_000 });
const FAULTS_MS = effort({ short: 8_000, long: 180_000 });
/** A machine that runs other tests beside this one takes its time. */
const EQUAL_MS = effort({ short: 30_000, long: 10_000 });
const PATIENCE_MS = effort({ short: 30_000, long: 90_000 });
const BETWEEN_FAULTS_MS = { least: 500, most: 2_500 };
const DOWN_MS = { least: 0, most: 3_000 };
/** The others go on meanwhile. */
const DOWN_MAX = 2;
const LOSS_PERCENT = { least: 5, most: 25 };
const TEST_MS = effort({ short: 150_000, long: 600_000 });

/** What happens to five machines, drawn until the time is over. */
class Mishaps {
  readonly counts = new Map<string, number>();
  readonly ended: Peer[] = [];
  readonly #lab: Lab;
  readonly #peers: Peer[];
  readonly #random: Random;
  readonly #down = new Map<Host, Promise<void>>();

  constructor(lab: Lab, peers: Peer[], random: Random) {
    this.#lab = lab;
    this.#peers = peers;
    this.#random = random;
  }

  async happen(forMs: number): Promise<void> {
    const between = (bounds: { readonly least: number; readonly most: number }): number => integerBetween(this.#random, bounds.least, bounds.most);
    for (const end = performance.now() + forMs; performance.now() < end; await sleep(between(BETWEEN_FAULTS_MS))) {
      const host = oneOf(this.#random, this.#lab.hosts);
      const downMs = between(DOWN_MS);
      switch (oneOf(this.#random, ['part', 'part', 'heal', 'kill', 'kill', 'stop', 'lose', 'cut'] as const)) {
        case 'part': {
          const size = integerBetween(this.#random, 1, HOSTS - 1);
          const order = [...this.#lab.hosts].sort(() => this.#random() - 0.5);
          const oneWay = this.#random() < 0.2;
          await this.#lab.heal();
          await this.#lab.partition(order.slice(0, size), order.slice(size), { oneWay });
          this.#count(oneWay ? 'parted one way' : 'parted');
          break;
        }
        case 'heal':
          await this.#lab.heal();
          this.#count('healed');
          break;
        case 'lose':
          await this.#lab.loss(host, between(LOSS_PERCENT));
          this.#count('lossy');
          break;
        case 'cut':
          await this.#lab.cable(host, 'down');
          await sleep(downMs / 3);
          await this.#lab.cable(host, 'up');
          this.#count('cable pulled');
          break;
        case 'kill':
          this.#end(host, 'SIGKILL', downMs);
          break;
        case 'stop':
          this.#end(host, 'SIGTERM', downMs);
      }
    }
    await this.#lab.heal();
    await Promise.all(this.#down.values());
  }

  #end(host: Host, signal: 'SIGKILL' | 'SIGTERM', downMs: number): void {
    if (this.#down.has(host) || this.#down.size >= DOWN_MAX) return;
    this.#count(signal);
    const restart = async (): Promise<void> => {
      const peer = this.#peers[host.number - 1] as Peer;
      await peer.process.kill(signal);
      this.ended.push(peer);
      await sleep(downMs);
      this.#peers[host.number - 1] = await startPeer(host, { folders: [musicFolder(host)] });
      this.#down.delete(host);
    };
    this.#down.set(host, restart());
  }

  #count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }
}

/** Lines that no healthy peer says, whatever befalls the machines around it. */
const COMPLAINT = /"event":"(liar|leap|clone|cloned|apart|store-salvaged)"|Error:|^\s+at /;
const complaints = (peers: readonly Peer[]): string[] =>
  peers.flatMap(({ name, process }) => process.lines().filter((line) => COMPLAINT.test(line)).map((line) => `${name}: ${line}`));

t.setTimeout(TEST_MS);
const CLAIM = `five hosts with ${SONGS_EACH} songs each, of which people make playlists while machines and networks fail`;
t.test(CLAIM, { skip: skip || programMissing(), timeout: TEST_MS }, async (t: Test) => {
  const random = seeded(t);
  const lab = await Lab.create({ name: 'replication', hosts: HOSTS });
  t.teardown(() => lab.close());
  fill(lab.hosts, SONGS_EACH);
  const peers = await Promise.all(lab.hosts.map((host) => startPeer(host, { folders: [musicFolder(host)] })));
  const apis = (await Promise.all(lab.hosts.map((host) => Api.open(host)))) as [Api, ...Api[]];
  await meet(peers, PATIENCE_MS);
  const known = (): Promise<number[]> => Promise.all(apis.map(async (api) => (await api.status()).catalog.songs));
  const whole = await until('everybody knows all songs', PATIENCE_MS, known, (songs) => songs.every((count) => count === HOSTS * SONGS_EACH));
  t.comment(`all songs are known everywhere ${whole.ms} ms after the peers met`);

  const songs = await apis[0].songs();
  const people = apis.map((api) => new Person(api, { random: seededRandom(integerBetween(random, 0, 2 ** 32 - 1)), songs }));
  const works = people.map((person) => person.work());
  const mishaps = new Mishaps(lab, peers, random);
  await mishaps.happen(FAULTS_MS);
  const over = performance.now();
  for (const person of people) person.stop();
  await Promise.all(works);
  t.comment(`${[...mishaps.counts].map(([what, count]) => `${what} ${count}`).join(', ')}`);
  const sum = (of: (person: Person) => number): number => people.reduce((total, person) => total + of(person), 0);
  const replicated = sum(({ acknowledged }) => acknowledged.replicated);
  const localOnly = sum(({ acknowledged }) => acknowledged['local only']);
  const [refused, unanswered] = [sum((person) => person.refused), sum((person) => person.unanswered)];
  t.comment(`writes: ${replicated} replicated, ${localOnly} local only, ${refused} refused, ${unanswered} unanswered`);

  await sameDigest(apis, EQUAL_MS);
  const equalMs = Math.round(performance.now() - over);
  t.ok(equalMs < EQUAL_MS, `one digest ${equalMs} ms after everything was healed and started again`);
  const view = await claimSameView(t, apis, PROFILES);
  const log = await apis[0].log();
  t.same(contradictions(log, new Map(people.map((person, i) => [(peers[i] as Peer).id, person]))), [], 'every register says what its host was last told');
  t.same(shown(view), predict(log), 'the views are what the rules make of the registers');
  t.same(broken(view, people), [], 'nothing that was made is missing, and nothing that was deleted is there');
  t.same(await known(), apis.map(() => HOSTS * SONGS_EACH), 'and all songs are there');
  t.ok(replicated > FAULTS_MS / 500, 'people were at work');
  t.same(complaints([...mishaps.ended, ...peers]), [], 'no peer complained of another');
});
