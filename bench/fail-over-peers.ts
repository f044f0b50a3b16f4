// spotify-peer in bench/coordination.ts: five peers, whose coordinator and whose gateway are lost.
import { setTimeout as pause } from 'node:timers/promises';
import { ROLES, type Role } from '../lib/roles.ts';
import type { StatusJson } from '../peer/http/schemas.ts';
import { Api } from '../test/lab/api.ts';
import type { Host, Lab } from '../test/lab/lab.ts';
import { meet } from '../test/lab/network.ts';
import { type Peer, startPeer } from '../test/lab/peers.ts';
import { type Contender, PATIENCE_MS, type Record, soon, surely } from './fail-over.ts';

/** Who was started again has its streams to the others after that. */
const SETTLE_MS = 1_500;
const LOOK_AT_REST_MS = 100;
/** A machine that was switched on a minute ago ranks lower, and five that are equal are what is measured. */
const READY_MS = 61_000;

export const WAYS = ['process death', 'silent death'] as const;
export const LOST = ['coordinator', 'gateway'] as const;

interface View {
  readonly coordinator: string;
  readonly roles: Readonly<{ [role in Role]: string | null }>;
}

export class FiveOfUs implements Contender {
  readonly name = 'spotify-peer';
  readonly #lab: Lab;
  readonly #apis: readonly Api[];
  readonly #peers: Peer[];

  private constructor(lab: Lab, apis: readonly Api[], peers: Peer[]) {
    this.#lab = lab;
    this.#apis = apis;
    this.#peers = peers;
  }

  static async start(lab: Lab, { ready }: { readonly ready: boolean }): Promise<FiveOfUs> {
    const apis = await Promise.all(lab.hosts.map((host) => Api.open(host)));
    const five = new FiveOfUs(lab, apis, await Promise.all(lab.hosts.map((host) => startPeer(host, { folders: [] }))));
    await meet(five.#peers, PATIENCE_MS);
    if (ready) await pause(READY_MS);
    return five;
  }

  async close(): Promise<void> {
    await Promise.all(this.#peers.map(({ process }) => process.kill('SIGKILL')));
  }

  async round(record: Record): Promise<void> {
    for (const way of WAYS) {
      for (const lost of LOST) record(`${way} of the ${lost === 'gateway' ? 'holder of gateway' : lost}`, await this.#lose(way, lost));
    }
  }

  async #lose(way: (typeof WAYS)[number], lost: (typeof LOST)[number]): Promise<number> {
    const { coordinator, roles } = await surely('five peers are at rest', () => this.#settled());
    // the coordinator holds roles too where that is fair; then another holder is lost
    const holder = [roles.gateway, ...Object.values(roles)].find((id) => id !== coordinator);
    const id = lost === 'coordinator' ? coordinator : (holder ?? coordinator);
    const peer = this.#peers.find((one) => one.id === id) as Peer;
    const { host } = peer;
    const living = this.#apis.filter((api) => api.host !== host);

    const lostAt = performance.now();
    const gone = way === 'process death' ? peer.process.kill('SIGKILL') : this.#lab.cable(host, 'down');
    const agreed = await soon(() => this.#agreed(living));
    const ms = agreed ? agreed.at - lostAt : Number.POSITIVE_INFINITY;
    await gone;

    if (way === 'process death') this.#peers[host.number - 1] = await startPeer(host, { folders: [] });
    else await this.#lab.cable(host, 'up');
    return ms;
  }

  /** Do all agree, and has each heard all others as the processes that they are now? Under loss some meet who has just started later
   *  than others do. */
  async #settled(): Promise<View | undefined> {
    const met = async (): Promise<boolean> => {
      const answers = await Promise.all(this.#apis.map((api) => api.status()));
      const uptimes = new Map(answers.map(({ peer }) => [peer.id, peer.uptimeMs]));
      return answers.every(({ peer, members }) =>
        members.every(({ id, state, lastHeardMs }) => id === peer.id || (state === 'alive' && lastHeardMs < (uptimes.get(id) ?? 0))) && members.length >= this.#apis.length - 1);
    };
    if (!(await met()) || (await this.#agreed(this.#apis)) === undefined) return pause(LOOK_AT_REST_MS, undefined);
    await pause(SETTLE_MS);
    return (await met()) ? this.#agreed(this.#apis) : undefined;
  }

  #idOf = ({ number }: Host): string => (this.#peers[number - 1] as Peer).id;

  /** Whether each of these names the same coordinator and the same holders, all of them of these. Who has said so is not asked again
   *  until all have: questions take time from the peers that are measured. */
  async #agreed(living: readonly Api[]): Promise<(View & { readonly at: number }) | undefined> {
    const ids = living.map(({ host }) => this.#idOf(host));
    const views = await Promise.all(living.map((api) => soon(async () => viewAmong(ids, await api.status().catch(() => undefined)))));
    const [first] = views;
    return first !== undefined && new Set(views.map((view) => JSON.stringify(view))).size === 1 ? { ...first, at: performance.now() } : undefined;
  }
}

function viewAmong(ids: readonly string[], status: StatusJson | undefined): View | undefined {
  if (!status?.coordinator) return undefined;
  const view: View = { coordinator: status.coordinator.id, roles: status.roles as View['roles'] };
  return [view.coordinator, ...ROLES.map((role) => view.roles[role])].every((id) => id !== null && ids.includes(id)) ? view : undefined;
}
