// Broken logs: what an origin does with its own, and what a disk makes of them.
import type { Mutation, Patch } from '../mutation.ts';
import { FORGOTTEN_TWICE, KEEPER_KILLED, KILLED_WHILE_RECEIVING, KILLED_WHILE_WRITING } from './scenarios.ts';

const TRANSACTION = 'peer/replication/transaction.js';
const LEDGER = 'peer/replication/ledger.js';
const REPLICATION = 'peer/replication/replication.js';
const MEMORY = 'test/sim/memory-operations.js';
const PEER = 'test/sim/replicating-peer.js';
const PUTS = '            this.#log(operation.origin, operation.epoch).set(operation.seq, operation.key);\n';
/** What is deleted leaves nothing behind. */
const COLLECTS: Patch = {
  file: MEMORY,
  find: PUTS,
  replace: `${PUTS}            if (operation.value === null) {
                registers.delete(registerRow(operation));
                this.#log(operation.origin, operation.epoch).delete(operation.seq);
            }
`,
};
const COMMIT = 'return this.#commit({ operations: { network: KEY, batch: effect.batch } }, ';
/** The first of two batches has a part of it, the second the rest. */
const twoBatches = (first: string): Patch => ({
  file: PEER,
  find: COMMIT,
  replace: `this.#commit({ operations: { network: KEY, batch: { ...effect.batch, ${first} } } }, () => {});
                return this.#commit({ operations: { network: KEY, batch: { ...effect.batch, drop: false } } }, `,
});

export const LOG_MUTATIONS: readonly Mutation[] = [
  {
    name: 'epoch-continued',
    why: 'A start goes on with the epoch that its disk has: after a restore it uses places in its log a second time.',
    patches: [{ file: LEDGER, find: 'this.#epoch ??= this.#newEpoch();', replace: 'this.#epoch ??= [...this.vector(this.self).keys()].at(-1) ?? this.#newEpoch();' }],
    family: 'backups',
    seeds: 60,
  },
  {
    name: 'log-folded',
    why: 'A start writes anew what it had written before, and forgets the old log: old words get new times, and stand before younger ones of others.',
    patches: [
      {
        file: PEER,
        find: "                return this.#reconcile();\n            case 'datagram':",
        replace: `                this.#write(
                    this.store.registers('')
                        .filter(({ origin, key }) => origin === this.self && !key.startsWith(HOLDING) && key !== HERE_KEY)
                        .map(({ key, value }) => ({ key, value })), false);
                return this.#reconcile();
            case 'datagram':`,
      },
    ],
    seeds: 60,
  },
  {
    name: 'tombstones-collected',
    why: 'Who deleted something drops the tombstone once it is on its disk.',
    patches: [COLLECTS],
    seeds: 60,
  },
  {
    name: 'tombstones-collected-by-all',
    why: 'Nobody keeps tombstones, and no invariant of registers or digests minds: yet an older star of another origin shows again.',
    patches: [
      COLLECTS,
      {
        file: TRANSACTION,
        find: '        if (held)\n            foldWinner(this.digest, held);\n        foldWinner(this.digest, operation);',
        replace: '        if (held?.value)\n            foldWinner(this.digest, held);\n        if (operation.value)\n            foldWinner(this.digest, operation);',
      },
      // what is not held counts as collected
      {
        file: 'test/sim/look.js',
        find: 'store.held([{ origin, key }])[0]',
        replace: "store.held([{ origin, key }])[0] ?? { origin, key, epoch: 'f', seq: 1, lamport: 2 ** 52, value: null }",
      },
    ],
    seeds: 60,
  },
  {
    name: 'heads-in-an-earlier-batch',
    why: 'Heads are written before what they claim: a crash between the two leaves a claim of nothing.',
    patches: [twoBatches('puts: [], superseded: [], digest: this.replication.ledger.digest')],
    scenario: KILLED_WHILE_RECEIVING,
    seeds: 60,
  },
  {
    name: 'heads-in-a-later-batch',
    why: 'Heads are written after what they claim: a crash between the two leaves a later operation, that no head claims, in the place of one that a head does.',
    patches: [twoBatches('heads: []')],
    family: 'losses',
    seeds: 60,
  },
  {
    name: 'batches-unsynced',
    why: 'Batches are not synced: a crash loses any of the last ones, and keeps later ones that count on them.',
    patches: [{ file: 'test/sim/disk.js', find: 'if (this.#model.syncless)', replace: 'if (this.#model)' }],
    family: 'losses',
    seeds: 60,
  },
  {
    name: 'acknowledged-before-the-commit',
    why: 'A write is acknowledged when its batch is on its way to the disk.',
    patches: [
      {
        file: LEDGER,
        find: "return [{ kind: 'commit', batch }];",
        replace: `const early = turn.tasks.filter((task) => task.kind === 'write' && task.id !== 0 && turn.outcomes.has(task));
        return [...early.map((task) => ({ kind: 'done', task: task.id, outcome: turn.outcomes.get(task) })), { kind: 'commit', batch }];`,
      },
    ],
    scenario: KILLED_WHILE_WRITING,
    seeds: 60,
  },
  {
    name: 'kept-before-the-commit',
    why: "A peer says that it has another's write on its disk before it has.",
    patches: [{ file: 'peer/replication/keeper.js', find: 'if (this.#head(origin, epoch) >= seq)', replace: 'if (seq > 0)' }],
    scenario: KEEPER_KILLED,
    seeds: 60,
  },
  {
    name: 'digest-of-vectors',
    why: 'The digest speaks of how far logs are held, and not of what is held.',
    patches: [{ file: LEDGER, find: '    get digest() {\n        return this.#digest;', replace: '    get digest() {\n        return Buffer.concat([this.#root, this.#root, this.#root, this.#root]);' }],
    seeds: 60,
  },
  {
    name: 'forget-removes',
    why: 'A forget deletes what the forgotten peer wrote.',
    patches: [
      {
        file: MEMORY,
        find: PUTS,
        replace: `${PUTS}            if (operation.key.startsWith('forget/')) {
                for (const [row, { origin }] of registers) if (operation.key.endsWith(origin)) registers.delete(row);
                this.#sections.logs.delete(operation.key.slice('forget/'.length));
            }
`,
      },
    ],
    family: 'forgotten',
    seeds: 60,
  },
  {
    name: 'here-for-the-latest-forget',
    why: 'Who is forgotten answers the forget that it meets, and no longer an earlier one of a clock that is far ahead.',
    patches: [
      { file: REPLICATION, find: 'import { forgetKey }', replace: 'import { encodeHere, forgetKey }' },
      {
        file: REPLICATION,
        find: 'if (returned > 0 || isForgotten)\n            effects.push(...this.#reconcileSoon(now));',
        replace: `for (const { origin, key, lamport } of after) {
            if (origin === self || key !== forgetKey(self)) continue;
            effects.push(...this.#task({ kind: 'write', id: 0, changes: [{ key: 'here', value: encodeHere(lamport) }] }, now));
        }`,
      },
    ],
    scenario: FORGOTTEN_TWICE,
    seeds: 60,
  },
  {
    name: 'here-without-the-answered-time',
    why: 'Who is forgotten answers without saying what: a forget whose clock leaps far ahead is not answered by any later write.',
    patches: [{ file: PEER, find: 'encodeHere(forgotten)', replace: 'encodeHere(1)' }],
    family: 'forgotten',
    seeds: 60,
  },
];
