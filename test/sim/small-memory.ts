// What a search has found out once it need not find out again: the same peer, or the same words, are one object with one number,
// and what follows from a peer is kept with it. Of the states of a small world most differ in one peer of three, so this is what
// makes a search ten times as quick, and lets a million worlds share some thousand peers.
import type { SmallPeer } from './small-peer.ts';

interface Known {
  readonly number: number;
  readonly findings: Map<string, unknown>;
}

export class SmallMemory {
  readonly #numbers = new Map<string, number>();
  readonly #peers = new Map<string, SmallPeer>();
  readonly #known = new WeakMap<SmallPeer, Known>();

  /** The same for the same text. */
  numberOf(text: string): number {
    const known = this.#numbers.get(text);
    if (known !== undefined) return known;
    this.#numbers.set(text, this.#numbers.size);
    return this.#numbers.size - 1;
  }

  /** The one that does the same. */
  same(peer: SmallPeer): SmallPeer {
    if (this.#known.has(peer)) return peer;
    const text = String(peer);
    const known = this.#peers.get(text);
    if (known !== undefined) return known;
    this.#peers.set(text, peer);
    this.#known.set(peer, { number: this.#peers.size, findings: new Map() });
    return peer;
  }

  number(peer: SmallPeer): number {
    return this.#of(peer).number;
  }

  /** @param what names everything but the peer that the finding follows from */
  find<T>(peer: SmallPeer, what: string, find: () => T): T {
    const { findings } = this.#of(peer);
    if (!findings.has(what)) findings.set(what, find());
    return findings.get(what) as T;
  }

  #of(peer: SmallPeer): Known {
    return this.#known.get(this.same(peer)) as Known;
  }
}
