// keepalived (VRRP) in bench/coordination.ts: five machines, and two addresses of which one of them has each. The one is announced
// once a second, as is the default, and the other ten times, so that one loss measures both.
//
// A keepalived that is killed cannot take its address from its machine. What counts is when another machine has it, by the kernel's
// own table of local addresses: from then on whoever asks by ARP hears the living one too.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Host, Lab } from '../test/lab/lab.ts';
import type { Running } from '../test/lab/running.ts';
import { type Contender, type Record, soon, surely } from './fail-over.ts';

export const KEEPALIVED = 'keepalived';

interface Virtual {
  readonly advertS: number;
  readonly address: string;
}

const VIRTUAL: readonly Virtual[] = [
  { advertS: 1, address: '10.99.0.201' },
  { advertS: 0.1, address: '10.99.0.202' },
];
const HIGHEST = 100;

// Fractions of a second are VRRP 3's.
const configuration = (host: Host): string =>
  VIRTUAL.map(
    ({ advertS, address }, i) => `vrrp_instance v${i} {
  version 3
  interface eth0
  virtual_router_id ${51 + i}
  priority ${HIGHEST - host.number}
  advert_int ${advertS}
  virtual_ipaddress {
    ${address}/32
  }
}
`,
  ).join('');

const has = (host: Host, address: string): boolean =>
  new RegExp(`\\|-- ${address.replaceAll('.', '\\.')}\\s+/32 host LOCAL`).test(readFileSync(`/proc/${host.pid}/net/fib_trie`, 'latin1'));

export class Keepalived implements Contender {
  readonly name = KEEPALIVED;
  readonly #lab: Lab;
  readonly #running = new Map<Host, Running>();

  constructor(lab: Lab) {
    this.#lab = lab;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#running.values()].map((running) => running.kill('SIGTERM')));
    this.#running.clear();
  }

  async round(record: Record): Promise<void> {
    for (const host of this.#lab.hosts) this.#start(host);
    const [master, ...others] = this.#lab.hosts as readonly [Host, ...Host[]];
    try {
      for (const way of ['process death', 'silent death'] as const) {
        await surely('the highest has both addresses', () => this.#isMaster(master) || undefined);
        const lostAt = performance.now();
        const gone = way === 'process death' ? this.#running.get(master)?.kill('SIGKILL') : this.#lab.cable(master, 'down');
        await Promise.all(
          VIRTUAL.map(async ({ advertS, address }) => {
            const taken = await soon(() => (others.some((host) => has(host, address)) ? performance.now() : undefined));
            record(`${way} of the master, advert_int ${advertS}`, (taken ?? Number.POSITIVE_INFINITY) - lostAt);
          }),
        );
        await gone;
        if (way === 'process death') this.#start(master);
        else await this.#lab.cable(master, 'up');
      }
    } finally {
      await this.close();
    }
  }

  /** Has it both, and nobody else one? */
  #isMaster(master: Host): boolean {
    return VIRTUAL.every(({ address }) => this.#lab.hosts.every((host) => has(host, address) === (host === master)));
  }

  #start(host: Host): void {
    const file = join(host.directory, 'keepalived.conf');
    writeFileSync(file, configuration(host), { mode: 0o600 });
    const pids = ['keepalived.pid', 'vrrp.pid'].map((name) => join(host.directory, name));
    for (const pid of pids) rmSync(pid, { force: true }); // it believes those that it left behind
    const options = ['--dont-fork', '--log-console', '--vrrp', `--use-file=${file}`, `--pid=${pids[0]}`, `--vrrp_pid=${pids[1]}`];
    this.#running.set(host, host.spawn(KEEPALIVED, options, { name: 'keepalived' }));
  }
}
