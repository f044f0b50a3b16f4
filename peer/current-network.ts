// The network that this machine is in, and its session there. Changes from one to another are made one at a time, each from a network that
// is whole to one that is; whoever asks for the session meanwhile waits for it to come.
import { messageOf, PeerError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { Network } from '../lib/network-key.ts';
import type { Millis } from '../lib/time.ts';
import type { Session } from './session.ts';
import type { Settings } from './settings.ts';

/** A network that could not be opened is tried again after so long, then after twice as long each time: until then this machine is in none. */
export const RETRY_MS: Millis = 1_000;
export const RETRY_MAX_MS: Millis = 60_000;

/** `along`: the network has another key, and cache and pins go along. Who joins others' network leaves them behind. */
export interface NetworkChange {
  readonly along: boolean;
}

export interface CurrentNetworkOptions {
  readonly settings: Settings;
  /** @param from where it comes from, if it was in another before */
  readonly open: (network: Network, from?: Network) => Promise<Session>;
  /** A session is over, and the next one has not begun. */
  readonly onLeft: () => void;
  readonly onChange: () => void;
  readonly log: Log;
  /** RETRY_MS; tests are quicker. */
  readonly retryMs?: Millis | undefined;
}

export class CurrentNetwork {
  readonly #options: CurrentNetworkOptions;
  #network: Network;
  /** The latest. */
  #session: Promise<Session> | undefined;
  #changing: Promise<unknown> = Promise.resolve();
  #stopping = false;
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;

  constructor(network: Network, options: CurrentNetworkOptions) {
    this.#network = network;
    this.#options = options;
  }

  get key(): Network {
    return this.#network;
  }

  /** After a change that failed and whose way back failed too, whoever asks next has it tried again at once.
   *  @throws PeerError CLOSED before the first start, and whatever kept the latest one from starting */
  async session(): Promise<Session> {
    const latest = this.#session;
    if (!latest) throw new PeerError('CLOSED', 'this peer is starting or stopping');
    return latest.catch(async (error: unknown) => {
      await this.#changing; // it may be on its way back
      if (this.#stopping) throw error;
      if (this.#session === latest) this.#begin(this.#reopen());
      return this.#session as Promise<Session>;
    });
  }

  async start(): Promise<void> {
    this.#session = this.#options.open(this.#network);
    await this.#session;
  }

  /** No further change begins. Resolves when the one under way has ended. @returns the last session, if there is one */
  async settle(): Promise<Session | undefined> {
    this.#stopping = true;
    clearTimeout(this.#retry);
    await this.#changing;
    return this.#session?.catch(() => undefined);
  }

  /** Leaves the network and enters another. Where that fails, everything is as before.
   *  @throws PeerError DISK_FULL, whatever kept the other one from being entered, CLOSED where there was no way back either: the cause says why */
  change(network: Network, how: NetworkChange): Promise<void> {
    return this.#inTurn(() => this.#enter(network, how));
  }

  /** Two cannot live with one identity: goes on with a new one in the same network. What was written under the old one stays. */
  renewIdentity(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#stopping) return;
      await this.#options.settings.renewIdentity();
      // the identity of before is no way back, and what failed once may not fail again
      const session = await this.#leaveFor(this.#network).catch(() => this.#leaveFor(this.#network));
      await this.#share(session);
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
      await settings.saveNetwork(network, how.along ? before : undefined);
    } catch (cause) {
      throw new PeerError('DISK_FULL', `the network is not changed, because it cannot be written down (${messageOf(cause)})`, { cause });
    }
    try {
      const { music } = await this.#leaveFor(network);
      await music.library.reconcile();
    } catch (error) {
      await settings.saveReturn(before, how.along ? network : undefined); // killed before it is written down, it tries the other one again
      await this.#share(await this.#goBack(before, error));
      throw error;
    }
    log('network', { name: network.name, open: network.open });
    onChange();
  }

  /** Ends the session, and opens one in `network`. Whoever asks for it meanwhile waits. */
  #leaveFor(network: Network): Promise<Session> {
    const last = this.#session?.catch(() => undefined); // one that did not start needs no stop
    const next = async (): Promise<Session> => {
      // all of it is closed that can be
      await (await last)?.stop().catch(this.#trouble('the network was not left cleanly'));
      const from = this.#network;
      this.#network = network;
      this.#options.onLeft();
      return this.#options.open(network, from);
    };
    return this.#begin(next());
  }

  /** It is the latest one now. Where it fails it is tried again, also when nobody asks. */
  #begin(session: Promise<Session>): Promise<Session> {
    this.#session = session;
    session.then(
      () => {
        this.#failures = 0;
        clearTimeout(this.#retry);
      },
      () => this.#retryLater(),
    );
    return session;
  }

  #retryLater(): void {
    if (this.#stopping) return;
    const { retryMs = RETRY_MS } = this.#options;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.session().catch(this.#trouble('no network can be opened')), Math.min(retryMs * 2 ** this.#failures, RETRY_MAX_MS)).unref();
    this.#failures += 1;
  }

  /** @param cause of the change's failure */
  async #goBack(network: Network, cause: unknown): Promise<Session> {
    try {
      return await this.#leaveFor(network);
    } catch (error) {
      this.#trouble('the network before could not be opened again')(error);
      throw new PeerError('CLOSED', 'the network is not changed, and the one before could not be opened again; try once more', { cause });
    }
  }

  async #reopen(): Promise<Session> {
    const session = await this.#options.open(this.#network);
    void this.#share(session);
    return session;
  }

  /** What lies on this machine is shared in every network that it is in. */
  async #share({ music }: Session): Promise<void> {
    await music.library.reconcile().catch(this.#trouble('cannot compare the catalog with the disk'));
  }

  readonly #trouble =
    (what: string) =>
    (error: unknown): void =>
      this.#options.log('trouble', { what, why: messageOf(error) });
}
