// Questions and answers between simulated peers, frame by frame, so that a stream can be cut between any two of them: what
// peer/replication/sync.ts does with bytes. What is asked and what follows from it is the real coroutine's (pull.ts).
import type { EpochId, NetworkId, PeerId } from '../../lib/ids.ts';
import type { Operation } from '../../lib/operation.ts';
import type { Vector } from '../../lib/vector.ts';
import type { Delta } from '../../peer/replication/transaction.ts';
import { type Answer, pull, type Question } from '../../peer/replication/pull.ts';
import type { Replication } from '../../peer/replication/replication.ts';
import type { Link } from './links.ts';
import type { SimEnv } from './peer.ts';

type Asked = Question | { readonly kind: 'keep'; readonly epoch: EpochId; readonly seq: number; readonly operations: readonly Operation[] };
type Said =
  | { readonly kind: 'ask'; readonly id: number; readonly networks: readonly NetworkId[]; readonly root: Uint8Array; readonly question: Asked }
  | { readonly kind: 'part'; readonly id: number; readonly content: unknown }
  | { readonly kind: 'end'; readonly id: number }
  /** By one that is busy with it, or that belongs to another network. */
  | { readonly kind: 'refused'; readonly id: number; readonly busy: boolean };

export interface TalkOptions {
  readonly env: SimEnv;
  readonly operationsPerFrame: number;
  readonly replication: Replication;
  readonly linkTo: (peer: PeerId) => Link | undefined;
  readonly isOpen: (link: Link) => boolean;
  /** What is held of an origin beyond a base, at a moment in which nothing is under way; null when it cannot be said now. */
  readonly view: (origin: PeerId, done: (vector: Vector | null) => void) => void;
  readonly beyond: (origin: PeerId, base: Vector, until: Vector) => readonly Operation[];
  readonly apply: (delta: Delta, network: NetworkId | null, done: (applied: boolean) => void) => void;
  readonly pulled: (peer: PeerId) => void;
  readonly behind: (peer: PeerId) => void;
  readonly asked: (from: PeerId, question: Extract<Asked, { kind: 'keep' }>, done: (held: boolean) => void) => void;
}

interface Waiting {
  readonly link: Link;
  readonly parts: unknown[];
  /** null: the answer will not come. Without parts: there is none now. */
  readonly done: (parts: readonly unknown[] | null) => void;
}

const FRAME_BYTES = 100;

export class Talk {
  readonly #options: TalkOptions;
  readonly #waiting = new Map<number, Waiting>();
  #numbers = 0;

  constructor(options: TalkOptions) {
    this.#options = options;
  }

  /** Pulls, and says when it has ended, in whichever way. */
  pull(peer: PeerId, origin: PeerId | null): void {
    const { replication, linkTo, pulled } = this.#options;
    const link = linkTo(peer);
    if (!link) return pulled(peer);
    const pulling = pull(replication.ledger, origin);
    const go = (next: IteratorResult<Question, number>): void => {
      if (next.done) return pulled(peer);
      this.#answer(link, next.value, (answer) => (answer ? go(pulling.next(answer)) : pulled(peer)));
    };
    go(pulling.next());
  }

  /** @param done whether the operations are on that peer's disk */
  askToKeep(peer: PeerId, operations: readonly Operation[], done: (held: boolean) => void): void {
    const { linkTo, operationsPerFrame } = this.#options;
    const link = linkTo(peer);
    const last = operations.at(-1) as Operation;
    if (!link) return done(false);
    this.#ask(link, { kind: 'keep', epoch: last.epoch, seq: last.seq, operations: operations.length > operationsPerFrame ? [] : operations }, (parts) => done(parts?.[0] === true));
  }

  received(link: Link, content: unknown): void {
    const said = content as Said;
    if (said.kind === 'ask') return this.#asked(link, said);
    const waiting = this.#waiting.get(said.id);
    if (!waiting) return;
    if (said.kind === 'part') {
      waiting.parts.push(said.content);
      return;
    }
    this.#waiting.delete(said.id);
    waiting.done(said.kind === 'end' ? waiting.parts : said.busy ? [] : null);
  }

  closed(link: Link): void {
    for (const [id, { link: other, done }] of [...this.#waiting]) {
      if (other.stream !== link.stream) continue;
      this.#waiting.delete(id);
      done(null);
    }
  }

  #answer(link: Link, question: Question, done: (answer: Answer | null) => void): void {
    const { replication, apply } = this.#options;
    if (question.kind === 'behind') {
      this.#ask(link, question, () => {});
      return done({ kind: 'behind' });
    }
    const { network } = replication.ledger;
    this.#ask(link, question, (parts) => {
      if (!parts) return done(null);
      if (question.kind === 'hashes') return done({ kind: 'hashes', hashes: (parts[0] as ReadonlyMap<PeerId, Uint8Array> | undefined) ?? null });
      if (question.kind === 'vectors') return done({ kind: 'vectors', vectors: parts[0] as readonly Vector[] });
      if (parts.length === 0) return done({ kind: 'delta', operations: 0 });
      const [vector, ...rest] = parts as [Vector, ...Operation[][]];
      const operations = rest.flat();
      apply({ origin: question.origin, base: question.base, vector, operations }, network, (applied) => done({ kind: 'delta', operations: applied ? operations.length : 0 }));
    });
  }

  #ask(link: Link, question: Asked, done: Waiting['done']): void {
    const { replication: { ledger }, isOpen } = this.#options;
    if (!isOpen(link)) return done(null);
    const id = ++this.#numbers;
    this.#waiting.set(id, { link, parts: [], done });
    this.#say(link, { kind: 'ask', id, networks: [...ledger.networks], root: ledger.root, question });
  }

  #say(link: Link, said: Said): void {
    this.#options.env.write(link.stream, said, FRAME_BYTES);
  }

  #asked(link: Link, { id, networks, root, question }: Extract<Said, { kind: 'ask' }>): void {
    const { replication, operationsPerFrame, view, beyond, behind, asked } = this.#options;
    const { ledger } = replication;
    const answer = (...parts: readonly unknown[]): void => {
      for (const content of parts) this.#say(link, { kind: 'part', id, content });
      this.#say(link, { kind: 'end', id });
    };
    if (!networks.some((network) => ledger.networks.has(network))) return this.#say(link, { kind: 'refused', id, busy: false });
    switch (question.kind) {
      case 'hashes':
        return Buffer.compare(root, ledger.root) === 0 ? answer() : answer(new Map(ledger.hashes));
      case 'vectors':
        return answer(question.origins.map((origin) => ledger.vector(origin)));
      case 'delta':
        return view(question.origin, (vector) => {
          if (!vector) return this.#say(link, { kind: 'refused', id, busy: true });
          const operations = beyond(question.origin, question.base, vector);
          const parts: Operation[][] = [];
          for (let i = 0; i < operations.length; i += operationsPerFrame) parts.push(operations.slice(i, i + operationsPerFrame));
          answer(vector, ...parts);
        });
      case 'behind':
        return behind(link.peer);
      case 'keep':
        return asked(link.peer, question, (held) => answer(held));
    }
  }
}
