// etcd in bench/coordination.ts: five members with its defaults, a heartbeat of 100 ms and an election after 1 s of silence. Lost is
// the leader; measured is when a member takes a write again: the first of the others, and the last.
import { request } from 'node:http';
import { join } from 'node:path';
import { openDoor } from '../test/lab/door.ts';
import type { Host, Lab } from '../test/lab/lab.ts';
import type { Running } from '../test/lab/running.ts';
import { type Contender, type Record, soon, surely } from './fail-over.ts';

export const ETCD = 'etcd';
const CLIENT_PORT = 2379;
const PEER_PORT = 2380;
/** A write that was under way to a leader that died is never answered. */
const ANSWER_MS = 250;

interface Member {
  readonly host: Host;
  readonly door: string;
  running: Running;
}

export class Etcd implements Contender {
  readonly name = ETCD;
  readonly #lab: Lab;
  #doors: readonly string[] = [];
  #members: Member[] = [];

  constructor(lab: Lab) {
    this.#lab = lab;
  }

  async close(): Promise<void> {
    await Promise.all(this.#members.map(({ running }) => running.kill('SIGKILL')));
    this.#members = [];
  }

  async round(record: Record): Promise<void> {
    if (this.#doors.length === 0) this.#doors = await Promise.all(this.#lab.hosts.map((host) => openDoor(host, { port: CLIENT_PORT, name: 'door-etcd' })));
    this.#members = this.#lab.hosts.map((host, i) => ({ host, door: this.#doors[i] as string, running: this.#start(host) }));
    try {
      for (const way of ['process death', 'silent death'] as const) {
        await surely('five members take writes', () => this.#allTake());
        const leader = await surely('a leader', () => this.#leader());
        const others = this.#members.filter((member) => member !== leader);
        const { id } = await state(leader);
        const lostAt = performance.now();
        const gone = way === 'process death' ? leader.running.kill('SIGKILL') : this.#lab.cable(leader.host, 'down');
        const taken = await Promise.all(
          others.map((member) => soon(async () => ((await leads(member)) !== id && (await takes(member)) ? performance.now() : undefined))),
        );
        const after = taken.map((at) => (at ?? Number.POSITIVE_INFINITY) - lostAt);
        record(`${way} of the leader, a first member takes a write`, Math.min(...after));
        record(`${way} of the leader, each member takes a write`, Math.max(...after));
        await gone;
        if (way === 'process death') leader.running = this.#start(leader.host);
        else await this.#lab.cable(leader.host, 'up');
      }
    } finally {
      await this.close();
    }
  }

  async #allTake(): Promise<true | undefined> {
    return (await Promise.all(this.#members.map(takes))).every(Boolean) || undefined;
  }

  async #leader(): Promise<Member | undefined> {
    for (const member of this.#members) {
      const { id, leader } = await state(member).catch(() => ({ id: '', leader: undefined }));
      if (leader === id) return member;
    }
    return undefined;
  }

  #start(host: Host): Running {
    const url = ({ address }: Host): string => `http://${address}:${PEER_PORT}`;
    const client = `http://127.0.0.1:${CLIENT_PORT}`;
    const options = {
      name: host.name,
      'data-dir': join(host.directory, 'etcd'),
      'listen-peer-urls': url(host),
      'initial-advertise-peer-urls': url(host),
      'listen-client-urls': client,
      'advertise-client-urls': client,
      'initial-cluster': this.#lab.hosts.map((one) => `${one.name}=${url(one)}`).join(','),
      'initial-cluster-state': 'new',
      'log-level': 'error',
    };
    return host.spawn(ETCD, Object.entries(options).map(([name, value]) => `--${name}=${value}`), { name: 'etcd' });
  }
}

/** Whom it follows; undefined without a leader or an answer. */
const leads = (member: Member): Promise<string | undefined> => state(member).then(({ leader }) => leader, () => undefined);

async function state({ door }: Member): Promise<{ readonly id: string; readonly leader: string | undefined }> {
  const { header, leader } = (await post(door, '/v3/maintenance/status', {})) as { header: { member_id: string }; leader?: string };
  return { id: header.member_id, leader };
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

const takes = ({ door, host }: Member): Promise<boolean> =>
  post(door, '/v3/kv/put', { key: base64(host.name), value: base64(String(performance.now())) }).then(() => true, () => false);

function post(socketPath: string, path: string, body: object): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, method: 'POST', path, agent: false, signal: AbortSignal.timeout(ANSWER_MS), headers: { host: 'localhost', 'content-type': 'application/json' } }, (answer) => {
      const parts: Buffer[] = [];
      answer.on('data', (part: Buffer) => parts.push(part));
      answer.on('error', reject);
      answer.on('end', () => (answer.statusCode === 200 ? resolve(JSON.parse(Buffer.concat(parts).toString())) : reject(new Error(`${path}: ${answer.statusCode}`))));
    });
    asked.on('error', reject);
    asked.end(JSON.stringify(body));
  });
}
