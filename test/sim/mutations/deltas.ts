// Broken merging: what a delta carries, when it counts, and how it is taken.
import type { Mutation } from '../mutation.ts';
import { DELTA_IS_CUT, DELTA_OF_THE_OLD_NETWORK, HALF_MERGED_AND_ASKED, STARTS_SUPERSEDE } from './scenarios.ts';

const TRANSACTION = 'peer/replication/transaction.js';
const LEDGER = 'peer/replication/ledger.js';
const TALK = 'test/sim/talk.js';

export const DELTA_MUTATIONS: readonly Mutation[] = [
  {
    name: 'half-delta',
    why: 'A delta whose stream breaks in its middle is applied as far as it came, and with all of its heads.',
    patches: [
      { file: TALK, find: 'for (const [id, { link: other, done }] of', replace: 'for (const [id, { link: other, done, parts }] of' },
      { file: TALK, find: 'delete(id);\n            done(null);', replace: 'delete(id);\n            done(parts.length > 1 ? parts : null);' },
    ],
    scenario: DELTA_IS_CUT,
    seeds: 60,
  },
  {
    name: 'half-merge',
    why: 'Half of what a delta carries is merged, and all of its heads are.',
    patches: [{ file: TRANSACTION, find: 'this.merge(delta.operations);', replace: 'this.merge(delta.operations.slice(0, Math.ceil(delta.operations.length / 2)));' }],
    seeds: 60,
  },
  {
    name: 'base-unchecked',
    why: 'A delta counts although what it leaves out, because its receiver had it when it asked, is no longer held.',
    patches: [{ file: TRANSACTION, find: 'if (!covers(this.vector(origin), base))', replace: 'if (!covers(base, base))' }],
    trace: { file: 'replication', claim: 'a delta on a base that the receiver no longer holds is refused whole' },
    seeds: 60,
  },
  {
    name: 'base-and-network-unchecked',
    why: 'Neither base nor network of a delta is looked at: what leaves out something that went with the old network counts in the new one.',
    patches: [
      { file: TRANSACTION, find: 'if (!covers(this.vector(origin), base))', replace: 'if (!covers(base, base))' },
      { file: LEDGER, find: 'if (network !== null && !this.networks.has(network))', replace: 'if (network === undefined)' },
      { file: LEDGER, find: "kind === 'append' || kind === 'apply' || kind === 'merge'", replace: "kind === 'append'" },
    ],
    scenario: DELTA_OF_THE_OLD_NETWORK,
    seeds: 60,
  },
  {
    name: 'heads-replaced',
    why: 'The heads of a delta replace those that are held, though they may have been overtaken meanwhile.',
    patches: [
      {
        file: TRANSACTION,
        find: '            this.#raise(origin, epoch, head);\n    }\n    /** Registers',
        replace: '            this.#raise(origin, epoch, head);\n        this.#vectors.set(origin, new Map(vector));\n    }\n    /** Registers',
      },
      { file: TRANSACTION, find: 'if (head > headOf(this.#committed.vectors', replace: 'if (head !== headOf(this.#committed.vectors' },
    ],
    family: 'bulk',
    seeds: 60,
  },
  {
    name: 'registers-replaced',
    why: 'What comes replaces what is held, whichever is greater.',
    patches: [{ file: TRANSACTION, find: 'compareStamps(held, operation) >= 0', replace: 'compareStamps(held, operation) === 0' }],
    family: 'bulk',
    seeds: 60,
  },
  {
    name: 'delta-per-epoch',
    why: 'A delta carries one epoch of its origin. What a later one superseded in it is in neither, and lost with the last who has both.',
    patches: [
      {
        file: TALK,
        find: 'return view(question.origin, (vector) => {',
        replace: `return view(question.origin, (whole) => {
                    const vector = whole && new Map([...whole].filter(([epoch, head]) => head > (question.base.get(epoch) ?? 0)).slice(0, 1));`,
      },
    ],
    scenario: STARTS_SUPERSEDE,
    seeds: 60,
  },
  {
    name: 'one-epoch-for-all',
    why: 'The operations of one epoch are sent, and the receiver takes the heads of all.',
    patches: [
      {
        file: TALK,
        find: 'beyond(question.origin, question.base, vector);',
        replace: 'beyond(question.origin, question.base, new Map([...vector].filter(([epoch, head]) => head > (question.base.get(epoch) ?? 0)).slice(0, 1)));',
      },
    ],
    scenario: STARTS_SUPERSEDE,
    seeds: 60,
  },
  {
    name: 'appends-beyond-gaps',
    why: 'An operation that came alone counts whatever lies between it and the head.',
    patches: [
      { file: TRANSACTION, find: 'if (seq !== headOf(this.vector(origin), epoch) + 1)', replace: 'if (seq <= headOf(this.vector(origin), epoch))' },
      { file: 'peer/replication/gossip.js', find: '    return [...origins].flatMap((origin) => drain(state, origin));', replace: "    return [{ kind: 'append', operations }];" },
    ],
    seeds: 60,
  },
  {
    name: 'delta-taken-in-a-batch',
    why: 'A delta is read while a batch is on its way to the disk: its operations and its vector are of two moments.',
    patches: [
      {
        file: LEDGER,
        find: '    #begin() {\n        if (this.#turn)\n            return [];',
        replace: `    #begin() {
        if (this.#turn) {
            const views = this.#queue.filter(({ kind }) => kind === 'view');
            this.#queue = this.#queue.filter(({ kind }) => kind !== 'view');
            return views.flatMap((task) => this.#view(task));
        }`,
      },
    ],
    family: 'bulk',
    seeds: 60,
  },
  {
    name: 'merge-heads-early',
    why: 'The heads of a large delta move with its first piece.',
    patches: [{ file: LEDGER, find: '    transaction.merge(operations);', replace: '    transaction.merge(operations);\n    transaction.raise(merging);' }],
    seeds: 60,
  },
  {
    name: 'half-merged-served',
    why: 'An origin of which a large delta is half merged is served: operations that its heads do not claim stand for others that they do.',
    patches: [{ file: LEDGER, find: 'if (this.#merging?.origin === origin)', replace: 'if (origin === undefined)' }],
    scenario: HALF_MERGED_AND_ASKED,
    seeds: 60,
  },
];
