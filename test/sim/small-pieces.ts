// The small world `pieces`: host 2 merges a large delta of host 1 in pieces, with other tasks and crashes between all of its commits,
// while host 3 asks it for what it holds. Here the real ledger is run input by input, with its turns under way
// (small-merger.ts).
//
// It begins after host 1 has written x, x and y, of which host 2 has heard the first. So the delta's first piece supersedes what
// host 2's head claims, and before the last one nobody else may take that origin from there.
import { digestOf } from '../../lib/digest.ts';
import { hex, type PeerId } from '../../lib/ids.ts';
import type { Operation } from '../../lib/operation.ts';
import { headOf, type Vector } from '../../lib/vector.ts';
import type { Ledger, LedgerEffect, LedgerInput, Task } from '../../peer/replication/ledger.ts';
import { TRUE } from '../../peer/replication/replication.ts';
import type { OperationBatch } from '../../storage/operation-batch.ts';
import type { Model } from './exhaustive.ts';
import { claimsTooMuch, endsWrong, exchange, goesBack, NOTHING_WRITTEN, writtenToo, type Written } from './small-claims.ts';
import { SmallMemory } from './small-memory.ts';
import { type Merger, MERGER, Mergers } from './small-merger.ts';
import { nameOf, operationText, smallEpoch, smallId, SmallPeer, vectorText } from './small-peer.ts';

export type PieceBug =
  /** Of an origin that is half merged is told what its heads say. */
  | 'half of it is served'
  /** Heads move with the first piece. */
  | 'heads move first'
  /** A start does not go on with what was half merged. */
  | 'half a merge is forgotten'
  /** A crash can keep the heads of a batch without its operations. */
  | 'the head is outside the batch';

export interface PiecePlan {
  readonly steps: number;
  /** Of host 1, beyond what it has written at first. */
  readonly writes: number;
  /** Of host 2. */
  readonly ownWrites: number;
  readonly fetches: number;
  /** Of host 3. */
  readonly asks: number;
  readonly crashes: number;
  readonly leaves: number;
}

export interface PieceWorld {
  /** null: left for good. */
  readonly writer: SmallPeer | null;
  readonly merger: Merger;
  readonly asker: SmallPeer;
  /** Its questions that wait for a moment in which nothing is under way, by task. */
  readonly asked: ReadonlyMap<number, { readonly origin: PeerId; readonly base: Vector }>;
  readonly written: Written;
  readonly left: Readonly<Record<keyof PiecePlan, number>>;
  readonly wrong: string | null;
}

export type PieceAction =
  | { readonly kind: 'write' | 'own' | 'fetch' | 'land' | 'leave' }
  | { readonly kind: 'hear' | 'overhear'; readonly operation: Operation }
  | { readonly kind: 'ask'; readonly origin: PeerId }
  | { readonly kind: 'crash'; readonly keeps: boolean };

/** Two merges of three pieces each, and what waits for them. */
const COMMITS_MAX = 20;
const WRITER = smallId<PeerId>(1);
const ASKER = smallId<PeerId>(3);
const FIRST_EPOCH = smallEpoch(0, { isBelow: false });

/** What an action takes from the plan. */
const SPENT: Partial<Record<PieceAction['kind'], keyof PiecePlan>> = {
  write: 'writes',
  own: 'ownWrites',
  fetch: 'fetches',
  ask: 'asks',
  crash: 'crashes',
  leave: 'leaves',
};

export function pieceModel(plan: PiecePlan, bug: PieceBug | null): Model<PieceWorld, PieceAction> {
  const memory = new SmallMemory();
  const settled = new Set<string>();
  const mergers = new Mergers(memory, { forgets: bug === 'half a merge is forgotten' });

  /** Carries out what can be carried out at once, and leaves a commit under way. */
  function carryOut(world: PieceWorld, ledger: Ledger, begun: readonly LedgerEffect[], inputs: readonly LedgerInput[]): PieceWorld {
    const { merger } = world;
    const { disk } = merger;
    let { asker, wrong, written } = world;
    const asked = new Map(world.asked);
    const aside = new Map(merger.aside);
    const stepped = [...inputs];
    let pending: OperationBatch | null = merger.pending;
    const step = (input: LedgerInput): LedgerEffect[] => {
      stepped.push(input);
      return ledger.step(input);
    };
    const effects = [...begun];
    for (let effect = effects.shift(); effect; effect = effects.shift()) {
      switch (effect.kind) {
        case 'read': {
          const operations = effect.piece && (aside.get(effect.piece.aside)?.[effect.piece.done] as readonly Operation[]);
          const piece = operations && { operations, held: disk.held(operations) };
          effects.push(...step({ kind: 'read', held: disk.held(effect.registers), piece }));
          break;
        }
        case 'commit':
          pending = effect.batch;
          break;
        case 'done':
        case 'refused': {
          const question = asked.get(effect.task);
          asked.delete(effect.task);
          const isServed = effect.kind === 'done' || bug === 'half of it is served';
          if (!question || !isServed) break;
          const vector = ledger.vector(question.origin);
          const after = memory.same(asker.apply({ ...question, vector, operations: disk.beyond(question.origin, question.base, vector) }));
          wrong ??= goesBack(asker, after);
          asker = after;
          break;
        }
        case 'changed':
          for (const { after } of effect.changes) {
            if (after.origin !== MERGER) continue;
            const now = writtenToo(written, [after]);
            if (typeof now === 'string') wrong ??= now;
            else written = now;
          }
          break;
        case 'dropped':
        case 'leapt':
      }
    }
    // between two turns a ledger follows from its disk, its clock and its epoch
    const isIdle = pending === null;
    const rest = isIdle ? { since: disk, lamport: ledger.clock.time, inputs: [] } : { inputs: stepped };
    return { ...world, merger: { ...merger, ...rest, aside, pending }, asker, asked, written, wrong };
  }

  function tell(world: PieceWorld, input: LedgerInput): PieceWorld {
    const ledger = mergers.ledgerOf(world.merger);
    return carryOut(world, ledger, ledger.step(input), [...world.merger.inputs, input]);
  }

  const task = (world: PieceWorld, task: Task): PieceWorld => tell(world, { kind: 'task', task });

  /** The commit under way has reached the disk. */
  function land(world: PieceWorld): PieceWorld {
    const { merger } = world;
    const disk = merger.disk.copy();
    disk.commit(merger.pending as OperationBatch);
    const wrong = world.wrong ?? goesBack(mergers.held(merger.disk), mergers.held(disk));
    return tell({ ...world, wrong, merger: { ...merger, disk, pending: null } }, { kind: 'committed' });
  }

  function crash(world: PieceWorld, keeps: boolean): PieceWorld {
    const { merger } = world;
    const { pending } = merger;
    const disk = merger.disk.copy();
    if (pending && keeps) disk.commit(bug === 'the head is outside the batch' ? { ...pending, puts: [], superseded: [] } : pending);
    let { written } = world;
    for (const operation of (keeps && pending?.puts) || []) if (operation.origin === MERGER) written = writtenToo(written, [operation]) as Written;
    const fresh = { since: disk, disk, lamport: disk.load().lamport, inputs: [], pending: null, aside: merger.aside };
    // another epoch for another start
    const crashes = plan.crashes - world.left.crashes + 1;
    const booted = { ...world, written, asked: new Map(), merger: { ...fresh, epoch: smallEpoch(crashes, { isBelow: false }) } };
    const ledger = mergers.boot(booted.merger);
    return carryOut(booted, ledger, ledger.start(), []);
  }

  function fetch(world: PieceWorld): PieceWorld {
    const base = mergers.look(world.merger).vector(WRITER);
    const { operations, ...delta } = (world.writer as SmallPeer).answer({ origin: WRITER, base });
    const name = `${world.left.fetches}`;
    const pieces = operations.map((operation) => [operation]);
    const aside = new Map(world.merger.aside).set(name, pieces);
    const count = bug === 'heads move first' ? 1 : pieces.length;
    return task({ ...world, merger: { ...world.merger, aside } }, { kind: 'merge', id: 1, delta, aside: name, pieces: count, network: null });
  }

  /** Host 3 asks host 2 for what host 1 or host 2 wrote. */
  function ask(world: PieceWorld, origin: PeerId): PieceWorld {
    const id = 10 + world.left.asks;
    const asked = new Map(world.asked).set(id, { origin, base: world.asker.ledger.vector(origin) });
    return task({ ...world, asked }, { kind: 'view', id, origin });
  }

  function write(world: PieceWorld): PieceWorld {
    const { peer, outcome } = (world.writer as SmallPeer).run({ kind: 'write', id: 1, changes: [{ key: 'star/x', value: null }] });
    if (outcome?.kind !== 'wrote') throw new Error('a write is not refused');
    return { ...world, writer: memory.same(peer), written: writtenToo(world.written, outcome.operations) as Written };
  }

  function actions({ writer, merger, asker, written, left }: PieceWorld): PieceAction[] {
    if (left.steps === 0) return [];
    const all: PieceAction[] = [];
    const ledger = mergers.look(merger);
    const isNext = (vector: Vector, { epoch, seq }: Operation): boolean => seq === headOf(vector, epoch) + 1;
    if (merger.pending) all.push({ kind: 'land' });
    if (writer && left.writes > 0) all.push({ kind: 'write' });
    const lacks = writer?.answer({ origin: WRITER, base: ledger.vector(WRITER) }).operations ?? [];
    if (left.fetches > 0 && lacks.length > 0) all.push({ kind: 'fetch' });
    if (left.ownWrites > 0) all.push({ kind: 'own' });
    for (const operation of written.operations) {
      if (operation.origin === WRITER && isNext(ledger.vector(WRITER), operation)) all.push({ kind: 'hear', operation });
      if (isNext(asker.ledger.vector(operation.origin), operation)) all.push({ kind: 'overhear', operation });
    }
    if (left.asks > 0) for (const origin of [WRITER, MERGER]) if (ledger.vectors.has(origin)) all.push({ kind: 'ask', origin });
    if (left.crashes > 0) for (const keeps of merger.pending ? [false, true] : [false]) all.push({ kind: 'crash', keeps });
    if (writer && left.leaves > 0) all.push({ kind: 'leave' });
    return all;
  }

  function happen(world: PieceWorld, action: PieceAction): PieceWorld {
    switch (action.kind) {
      case 'write':
        return write(world);
      case 'own':
        return task(world, { kind: 'write', id: 2, changes: [{ key: 'star/x', value: TRUE }] });
      case 'fetch':
        return fetch(world);
      case 'hear':
        return task(world, { kind: 'append', id: 0, operations: [action.operation] });
      case 'overhear': {
        const asker = memory.same(world.asker.run({ kind: 'append', id: 1, operations: [action.operation] }).peer);
        return { ...world, asker, wrong: world.wrong ?? goesBack(world.asker, asker) };
      }
      case 'ask':
        return ask(world, action.origin);
      case 'land':
        return land(world);
      case 'crash':
        return crash(world, action.keeps);
      case 'leave':
        return { ...world, writer: null };
    }
  }


  function apply(world: PieceWorld, action: PieceAction): PieceWorld {
    const after = happen(world, action);
    const what = SPENT[action.kind];
    return { ...after, left: { ...after.left, steps: after.left.steps - 1, ...(what && { [what]: after.left[what] - 1 }) } };
  }

  function check(world: PieceWorld): string | null {
    if (world.wrong !== null) return world.wrong;
    const ledger = mergers.look(world.merger);
    const onDisk = mergers.held(world.merger.disk);
    for (const peer of [onDisk, world.asker]) {
      const wrong = claimsTooMuch(peer, world.written);
      if (wrong !== null) return wrong;
    }
    for (const [origin, vector] of ledger.vectors) {
      if (vectorText(vector) !== vectorText(onDisk.ledger.vector(origin))) return `what host 2 says of ${nameOf(origin)} is not what is on its disk`;
    }
    if (hex(onDisk.ledger.digest) !== hex(digestOf(onDisk.winners))) return 'the digest on the disk is not that of its winners';
    return end(world);
  }

  /** What is under way reaches the disk. */
  function drain(before: PieceWorld): PieceWorld {
    let world = before;
    for (let commits = 0; world.merger.pending !== null; commits++) {
      if (commits > COMMITS_MAX) return { ...world, wrong: 'merging does not come to an end' };
      world = land(world);
    }
    return world;
  }

  const drained = new Map<number, PieceWorld>();

  /** What is under way comes to its end, and then all that are left pull from each other. */
  function end(before: PieceWorld): string | null {
    const number = mergers.numberOf(before.merger);
    const known = before.asked.size === 0 ? drained.get(number) : undefined;
    const after = known ?? drain(before);
    if (before.asked.size === 0) drained.set(number, after);
    // who is asked nothing changes nobody
    const world = known ? { ...before, merger: known.merger, wrong: known.wrong } : after;
    if (world.wrong !== null) return world.wrong;
    const { writer, merger, asker } = world;
    if (merger.disk.load().merging && bug === null) return 'what is half merged stays so';
    const peers = [...(writer ? [writer] : []), mergers.held(merger.disk), asker];
    const name = peers.map((peer) => memory.number(peer)).join();
    if (settled.has(name)) return null;
    settled.add(name);
    return endsWrong(peers, (one, other, question) => memory.same(exchange(one, other, question)));
  }

  return {
    initial: begun(plan),
    actions,
    apply,
    // without the steps that are left: the search comes to a world first with the most of them
    fingerprint: ({ writer, merger, asker, asked, written, left: { steps: _, ...left }, wrong }) =>
      [
        writer ? memory.number(writer) : '-',
        mergers.numberOf(merger),
        memory.number(asker),
        [...asked].map(([id, { origin, base }]) => `${id}${nameOf(origin)}${vectorText(base)}`).join(),
        written.operations.map((operation) => memory.numberOf(operationText(operation))).sort().join(),
        Object.values(left).join(),
        wrong ?? '',
      ].join(';'),
    check,
    show,
  };
}

function begun(left: PiecePlan): PieceWorld {
  const changes = ['star/x', 'star/x', 'star/y'].map((key) => ({ key, value: TRUE }));
  const { peer: writer, outcome } = SmallPeer.empty(WRITER).run({ kind: 'write', id: 1, changes }, () => FIRST_EPOCH);
  if (outcome?.kind !== 'wrote') throw new Error('a write is not refused');
  const [first] = outcome.operations as [Operation];
  const { store: disk, ledger } = SmallPeer.empty(MERGER).run({ kind: 'append', id: 1, operations: [first] }).peer;
  return {
    writer,
    merger: { since: disk, disk, lamport: ledger.clock.time, epoch: FIRST_EPOCH, inputs: [], aside: new Map(), pending: null },
    asker: SmallPeer.empty(ASKER),
    asked: new Map(),
    written: writtenToo(NOTHING_WRITTEN, outcome.operations) as Written,
    left,
    wrong: null,
  };
}

function show(action: PieceAction): string {
  switch (action.kind) {
    case 'write':
      return 'host 1 takes the star from x';
    case 'own':
      return 'host 2 stars x';
    case 'fetch':
      return 'host 2 fetches all that it lacks of host 1, puts it aside and begins to merge it in pieces';
    case 'hear':
      return `host 2 hears ${operationText(action.operation)}`;
    case 'overhear':
      return `host 3 hears ${operationText(action.operation)}`;
    case 'ask':
      return `host 3 asks host 2 for ${nameOf(action.origin)}`;
    case 'land':
      return 'what host 2 writes reaches its disk';
    case 'crash':
      return `host 2 crashes${action.keeps ? ', with what it was writing on its disk,' : ''} and starts`;
    case 'leave':
      return 'host 1 leaves for good';
  }
}
