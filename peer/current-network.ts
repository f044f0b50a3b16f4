// The network that this machine is in, and its session there. Changes from one to another are made one at a time, each from a network that
// is whole to one that is; whoever asks for the session meanwhile waits for it to come.
import { messageOf, PeerError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { Network } from '../lib/network-key.ts';
import type { Session } from './session.ts';
import type { Settings } from './settings.ts';

/** `along`: the network has another key, and cache and pins go along. Who joins others' network leaves them behind. */
export interface NetworkChange {
  readonly along: boolean;
}

export interface CurrentNetworkOptions {
  readonly settings: Settings;
  /** @param before whose cache and pins are those of this one now */
  readonly open: (network: Network, before?: Network) => Promise<Session>;
  /** A session is over, and the next one has not begun. */
  readonly onLeft: () => void;
  readonly onChange: () => void;
  readonly log: Log;
}

export class CurrentNetwork {
  readonly #options: CurrentNetworkOptions;
  #network: Network;
  /** The latest. */
  #session: Promise<Session> | undefined;
  #changing: Promise<unknown> = Promise.resolve();
  #stopping = false;

  constructor(network: Network, options: CurrentNetworkOptions) {
    this.#network = network;
    this.#options = options;
  }

  get key(): Network {
    return this.#network;
  }

  /** @throws PeerError CLOSED before the first start, and whatever kept the latest one from starting */
  async session(): Promise<Session> {
    if (!this.#session) throw new PeerError('CLOSED', 'this peer is starting or stopping');
    return this.#session;
  }

  async start(): Promise<void> {
    this.#session = this.#options.open(this.#network);
    await this.#session;
  }

  /** No further change begins. Resolves when the one under way has ended; then the session is the last. */
  async settle(): Promise<void> {
    this.#stopping = true;
    await this.#changing;
  }

  /** Leaves the network and enters another. Where that fails, everything is as before. @throws PeerError CLOSED, DISK_FULL */
  change(network: Network, how: NetworkChange): Promise<void> {
    return this.#inTurn(() => this.#enter(network, how));
  }

  /** Two cannot live with one identity: goes on with a new one in the same network. What was written under the old one stays. */
  renewIdentity(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#stopping) return;
      await this.#options.settings.renewIdentity();
      await this.#leaveFor(this.#network, { along: false });
      this.#options.onChange();
    });
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const change = this.#changing.then(work);
    this.#changing = change.catch(() => undefined);
    return change;
  }

  async #enter(network: Network, how: NetworkChange): Promise<void> {
    const { settings, log, onChange } = this.#options;
    if (this.#stopping) throw new PeerError('CLOSED', 'this peer is stopping');
    const before = this.#network;
    try {
      await settings.saveNetwork(network);
    } catch (cause) {
      throw new PeerError('DISK_FULL', `the network is not changed, because it cannot be written down (${messageOf(cause)})`, { cause });
    }
    try {
      await this.#leaveFor(network, how);
    } catch (error) {
      await settings.saveNetwork(before).catch(() => undefined); // then the next start tries the other one again
      await this.#leaveFor(before, how);
      throw error;
    }
    log('network', { name: network.name, open: network.open });
    onChange();
  }

  async #leaveFor(network: Network, { along }: NetworkChange): Promise<void> {
    const last = this.#session?.catch(() => undefined); // one that did not start needs no stop
    const next = async (): Promise<Session> => {
      await (await last)?.stop();
      const before = along ? this.#network : undefined;
      this.#network = network;
      this.#options.onLeft();
      return this.#options.open(network, before);
    };
    this.#session = next();
    const { music } = await this.#session;
    // what lies on this machine is shared in every network that it is in
    await music.library.reconcile();
  }
}
