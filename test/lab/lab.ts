// A LAN on one machine: a switch and some hosts, each in its own network namespace, with every fault of a real one at hand.
// Needs to run in the world that world.ts enters, which also takes care that nothing of it survives the test.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { hold, Machine } from './machine.ts';
import { CAPTURE_PROGRAM, RELAY_PROGRAM } from './raw-frames.ts';
import { type Block, type Direction, NO_RULES, type Rules, ruleset } from './rules.ts';
import type { Running } from './running.ts';
import { installed, skip, WORLD_DIRECTORY } from './world.ts';

const PREFIX = '10.99.0';
const BRIDGE = 'bridge0';
const PYTHON_START_MS = 10_000;

/**
 * How the switch treats multicast: `flood` sends it everywhere; `snoop` sends it where somebody joined and asks for that
 * now and then; `forget` does the same without asking, so that a join is lost after ten seconds. Both begin a second late.
 */
export type Snooping = 'flood' | 'snoop' | 'forget';

// Options of the bridge, one command each because their order counts: times are in hundredths of a second, a bridge that knows
// of no querier floods (so it is its own), and floods on until the response interval is over that held when it became one.
const SNOOPING: { readonly [kind in Snooping]: readonly string[] } = {
  flood: ['mcast_snooping 0'],
  snoop: ['mcast_query_response_interval 100', 'mcast_querier 1'],
  forget: [
    'mcast_query_response_interval 100 mcast_membership_interval 1000 mcast_query_interval 36000000 mcast_startup_query_count 1',
    'mcast_querier 1',
  ],
};

export class Host extends Machine {
  readonly number: number;
  /** Its address when the lab was created. */
  readonly address: string;

  constructor(number: number, ...machine: ConstructorParameters<typeof Machine>) {
    super(...machine);
    this.number = number;
    this.address = `${PREFIX}.${number}`;
  }
}

export class Lab {
  readonly hosts: readonly Host[];
  readonly directory: string;
  readonly #switch: Machine;
  readonly #relays = new Map<Host, Running>();
  #rules: Rules = NO_RULES;

  private constructor(directory: string, fabric: Machine, hosts: readonly Host[]) {
    this.directory = directory;
    this.#switch = fabric;
    this.hosts = hosts;
  }

  /** True where a lab can be made, otherwise the reason why not. */
  static available(): true | string {
    return skip === false ? true : skip;
  }

  /**
   * @param options.name names its directory; SPOTIFY_PEER_LAB_KEEP=DIR keeps that after the test, with all logs
   * @param options.hosts how many; they are h1, h2, … at 10.99.0.1, 10.99.0.2, …
   */
  static async create(options: { readonly name: string; readonly hosts: number; readonly snooping?: Snooping }): Promise<Lab> {
    if (skip !== false) throw new Error(skip);
    const directory = join(process.env['SPOTIFY_PEER_LAB_KEEP'] ?? WORLD_DIRECTORY, options.name);
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    const numbers = Array.from({ length: options.hosts }, (_, index) => index + 1);
    const machine = async (name: string): Promise<ConstructorParameters<typeof Machine>> => {
      const home = join(directory, name);
      return [name, home, await hold(name, home)];
    };
    const fabric = new Machine(...(await machine('switch')));
    const hosts = await Promise.all(numbers.map(async (number) => new Host(number, ...(await machine(`h${number}`)))));
    const lab = new Lab(directory, fabric, hosts);
    try {
      await lab.#plug(options.snooping ?? 'flood');
    } catch (error) {
      await lab.close();
      throw error;
    }
    return lab;
  }

  /** The host of that number, from 1. */
  host(number: number): Host {
    const host = this.hosts[number - 1];
    if (host === undefined) throw new RangeError(`no host h${number}`);
    return host;
  }

  /**
   * Frames lost at random at the switch port, `percent` of them each way; 0 ends it. Two hosts with a loss of 20 in both
   * directions lose 36 of 100 frames between them.
   */
  loss(whose: Host | 'all', percent: number, options: { readonly direction?: Direction; readonly multicastOnly?: boolean } = {}): Promise<void> {
    const hosts = whose === 'all' ? this.hosts : [whose];
    const { direction = 'both', multicastOnly = false } = options;
    const others = this.#rules.losses.filter((loss) => !hosts.some(({ number }) => number === loss.host));
    return this.#apply({ losses: [...others, ...hosts.map(({ number }) => ({ host: number, percent, direction, multicastOnly }))] });
  }

  /** Two groups that cannot reach each other; `oneWay` means that only the first cannot reach the second. */
  partition(first: readonly Host[], second: readonly Host[], options: { readonly oneWay?: boolean } = {}): Promise<void> {
    const [from, to] = [first.map(({ number }) => number), second.map(({ number }) => number)];
    return this.#apply({ partitions: [...this.#rules.partitions, { from, to }, ...(options.oneWay === true ? [] : [{ from: to, to: from }])] });
  }

  /** Drops all multicast or all unicast but ARP, as access points that isolate their clients do. */
  block(traffic: Block['traffic'], whose: Host | 'all'): Promise<void> {
    return this.#apply({ blocks: [...this.#rules.blocks, { traffic, host: whose === 'all' ? undefined : whose.number }] });
  }

  /** Ends losses, partitions and blocks. */
  heal(): Promise<void> {
    return this.#apply(NO_RULES);
  }

  /** Pulls the host's cable at the switch, or plugs it in again: its carrier goes, its address stays. */
  async cable(host: Host, state: 'up' | 'down'): Promise<void> {
    await this.#switch.run('ip', ['link', 'set', `p${host.number}`, state]);
  }

  /** Another address, as DHCP may give it. @param address with the length of its prefix: '10.99.0.77/24' */
  async address(host: Host, address: string): Promise<void> {
    await host.run('ip', ['-4', 'address', 'flush', 'dev', 'eth0']);
    await host.run('ip', ['-batch', '-'], `address add ${address} brd + dev eth0\nroute replace 224.0.0.0/4 dev eth0\n`);
  }

  /** Caps the host's cable each way. @param rate in the words of tc: '10mbit', or 'off' */
  async rate(host: Host, rate: string): Promise<void> {
    for (const [machine, device] of [[this.#switch, `p${host.number}`], [host, 'eth0']] as const) {
      if (rate !== 'off') await machine.run('tc', ['qdisc', 'replace', 'dev', device, 'root', 'tbf', 'rate', rate, 'burst', '16k', 'latency', '50ms']);
      else await machine.exec('tc', ['qdisc', 'del', 'dev', device, 'root']);
    }
  }

  /** Why `delay` and `capture` cannot be used here, in the form of tap's `skip` option; false where they can. */
  static rawFrames(): false | string {
    return installed('python3') ? false : 'python3 is not installed, and Node has no raw sockets';
  }

  /** Delays the host's frames by `ms` each way; 0 ends it. */
  async delay(host: Host, ms: number): Promise<void> {
    const [plug, relayed, uplink] = [`p${host.number}`, `r${host.number}`, `q${host.number}`];
    const before = this.#relays.get(host);
    if (before !== undefined) {
      this.#relays.delete(host);
      await before.kill('SIGKILL');
      await this.#switch.run('ip', ['-batch', '-'], `link del ${uplink}\nlink set ${plug} master ${BRIDGE}\n`);
    }
    if (ms === 0) return;
    const wires = [
      `link add name ${uplink} type veth peer name ${relayed}`,
      `link set ${uplink} master ${BRIDGE} up`,
      `link set ${relayed} addrgenmode none promisc on up`,
      `link set ${plug} nomaster`,
      `link set ${plug} addrgenmode none promisc on`,
    ];
    await this.#switch.run('ip', ['-batch', '-'], `${wires.join('\n')}\n`);
    const relay = this.#switch.spawn('python3', ['-c', RELAY_PROGRAM, plug, relayed, String(ms)], { name: `delay-${host.name}` });
    this.#relays.set(host, relay);
    await relay.line((line) => line === 'ready', { what: 'relay', timeoutMs: PYTHON_START_MS });
  }

  /** Records what passes a host's interface, or the switch. @returns ends the recording; the file is whole then */
  async capture(where: Host | 'switch', file: string): Promise<() => Promise<void>> {
    const [machine, device] = where === 'switch' ? [this.#switch, BRIDGE] : [where, 'eth0'];
    const recorder = machine.spawn('python3', ['-c', CAPTURE_PROGRAM, device, file], { name: 'capture' });
    await recorder.line((line) => line === 'ready', { what: 'capture', timeoutMs: PYTHON_START_MS });
    return async () => {
      await recorder.kill('SIGTERM');
    };
  }

  /** What has passed the host's cable so far, in bytes of frames. */
  async traffic(host: Host): Promise<{ readonly sentBytes: number; readonly receivedBytes: number }> {
    const [link] = JSON.parse(await this.#switch.run('ip', ['-json', '-statistics', 'link', 'show', 'dev', `p${host.number}`])) as [
      { readonly stats64: { readonly rx: { readonly bytes: number }; readonly tx: { readonly bytes: number } } },
    ];
    return { sentBytes: link.stats64.rx.bytes, receivedBytes: link.stats64.tx.bytes };
  }

  /** Kills what runs in the lab and removes it. */
  async close(): Promise<void> {
    await Promise.all([this.#switch, ...this.hosts].map((machine) => machine.close()));
    if (process.env['SPOTIFY_PEER_LAB_KEEP'] === undefined) rmSync(this.directory, { recursive: true, force: true });
  }

  async #plug(snooping: Snooping): Promise<void> {
    const atSwitch = [`link add name ${BRIDGE} type bridge forward_delay 0`];
    for (const option of SNOOPING[snooping]) atSwitch.push(`link set ${BRIDGE} type bridge ${option}`);
    atSwitch.push(`link set ${BRIDGE} up`);
    for (const { number, pid } of this.hosts) {
      // Frames of one segment each, as on a real wire: a lost one is one packet, and none exceeds the bucket of `rate`.
      atSwitch.push(`link add name p${number} gso_max_segs 1 type veth peer name eth0 gso_max_segs 1 netns ${pid}`);
      atSwitch.push(`link set p${number} master ${BRIDGE} up`);
    }
    await this.#switch.run('ip', ['-batch', '-'], `${atSwitch.join('\n')}\n`);
    await this.#apply(NO_RULES);
    await Promise.all(this.hosts.map((host) => this.#configure(host)));
  }

  async #configure(host: Host): Promise<void> {
    // An IPv6 address that is still being tested for doubles cannot be bound; in the lab nobody else has it.
    await host.exec('sh', ['-c', 'echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad']);
    const commands = [`address add ${host.address}/24 brd + dev eth0`, 'link set eth0 up', 'route add 224.0.0.0/4 dev eth0'];
    await host.run('ip', ['-batch', '-'], `${commands.join('\n')}\n`);
  }

  async #apply(change: Partial<Rules>): Promise<void> {
    this.#rules = { ...this.#rules, ...change };
    await this.#switch.run('nft', ['-f', '-'], ruleset(this.#rules));
  }
}
