// Replication's part in the network: says what the replica wants said, asks whom it wants asked, and tells it what others say.
import { performance } from 'node:perf_hooks';
import { codeOf } from '../../lib/errors.ts';
import type { PeerId } from '../../lib/ids.ts';
import type { Log } from '../../lib/log.ts';
import type { Message } from '../../lib/messages.ts';
import type { Handler } from '../stream/connection.ts';
import type { NetworkEffect, Replica } from './replica.ts';
import { askToKeep, pullFrom, type SyncLink, syncHandlers } from './sync.ts';

export interface TrafficOptions {
  readonly replica: Replica;
  /** To everybody, by multicast, and to those by unicast whom it does not reach. */
  readonly toAll: (message: Message) => void;
  /** Beat now: the own log has grown by more than is multicast. */
  readonly announce: () => void;
  /** Carries out work with a peer over whatever way there is to it. */
  readonly withPeer: <T>(peer: PeerId, work: (link: SyncLink) => Promise<T>) => Promise<T>;
  readonly lives: (peer: PeerId) => boolean;
  /** A pull of everything that this peer holds begins. @returns what is called when all of it is here */
  readonly pulling: (peer: PeerId) => () => void;
  readonly log: Log;
  readonly trouble: (what: string) => (error: unknown) => void;
}

type TrafficEffect = Extract<NetworkEffect, { readonly kind: 'multicast' | 'announce' | 'pull' | 'ask' | 'answer' }>;

export class Traffic {
  readonly #options: TrafficOptions;
  /** Who waits for the word that its write is on this disk. */
  readonly #asked = new Map<number, (held: boolean) => void>();
  #lastAsked = 0;

  constructor(options: TrafficOptions) {
    this.#options = options;
  }

  handlers(): ReadonlyMap<string, Handler> {
    const { replica } = this.#options;
    return syncHandlers(replica, {
      behind: (peer) => replica.feed({ kind: 'behind', peer }),
      asked: ({ answer, ...asked }) => {
        this.#lastAsked += 1;
        this.#asked.set(this.#lastAsked, answer);
        replica.feed({ kind: 'asked', id: this.#lastAsked, ...asked });
      },
    });
  }

  carryOut(effect: TrafficEffect): void {
    switch (effect.kind) {
      case 'multicast':
        this.#options.toAll({ kind: 'operations', network: effect.network, operations: effect.operations });
        return;
      case 'announce':
        this.#options.announce();
        return;
      case 'pull':
        void this.#pull(effect.peer, effect.origin);
        return;
      case 'ask':
        void this.#ask(effect);
        return;
      case 'answer':
        this.#asked.get(effect.id)?.(effect.held);
        this.#asked.delete(effect.id);
    }
  }

  async #pull(peer: PeerId, origin: PeerId | null): Promise<void> {
    const { replica, withPeer, lives, pulling, log, trouble } = this.#options;
    const startedAt = performance.now();
    const pulled = pulling(peer);
    try {
      const { operations, whole } = await withPeer(peer, (link) => pullFrom(replica, link, origin));
      if (origin === null && whole) pulled();
      if (operations > 0) log('synced', { peer, operations, ms: Math.round(performance.now() - startedAt) });
    } catch (error) {
      // the next beat that differs tries again, with whoever sends it; one that changes networks has said so
      if (lives(peer) && codeOf(error) !== 'OTHER_NETWORK') trouble('a sync ended early')(error);
    } finally {
      replica.feed({ kind: 'pulled', peer });
    }
  }

  async #ask({ id, peer, operations }: Extract<TrafficEffect, { kind: 'ask' }>): Promise<void> {
    const { replica, withPeer } = this.#options;
    const held = await withPeer(peer, (link) => askToKeep(replica, link, operations)).catch(() => false);
    replica.feed({ kind: 'answered', id, peer, held });
  }
}
