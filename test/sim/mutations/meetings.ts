// Broken meetings: of clocks, of peers that gossip, of clones, of networks.
import type { Mutation } from '../mutation.ts';
import { ANSWER_FROM_THE_OLD_NETWORK, DATA_IS_LATE, EMPTY_NETWORKS_MEET, OWN_WORDS_COME_BACK, PROOFS_ARE_REPLAYED, RELAY_SPEAKS_LATE, WORD_WHILE_LEAVING } from './scenarios.ts';

const TRANSACTION = 'peer/replication/transaction.js';
const LEDGER = 'peer/replication/ledger.js';
const GOSSIP = 'peer/replication/gossip.js';
const NETWORKS = 'peer/replication/networks.js';
const REPLICATION = 'peer/replication/replication.js';
const VERIFIER = 'peer/boot-verifier.js';

export const MEETING_MUTATIONS: readonly Mutation[] = [
  {
    name: 'lamport-by-the-local-clock',
    why: 'An operation too far ahead of the own clock is refused instead of kept: peers whose clocks differ disagree for ever.',
    patches: [
      {
        file: TRANSACTION,
        find: 'if (seq !== headOf(this.vector(origin), epoch) + 1)',
        replace: 'if (seq !== headOf(this.vector(origin), epoch) + 1 || operation.lamport > this.#committed.clock.time + 2 ** 40)',
      },
      {
        file: TRANSACTION,
        find: '        this.checkBase(delta);',
        replace: `        this.checkBase(delta);
        const isTooFar = delta.operations.some(({ lamport }) => lamport > this.#committed.clock.time + 2 ** 40);
        if (isTooFar) throw new PeerError('BAD_OPERATION', 'too far ahead');`,
      },
    ],
    family: 'leaps',
    seeds: 60,
  },
  {
    name: 'own-times-not-attached',
    why: 'A peer that gets its own operations back from others does not attach them when they are far ahead, and what it writes after them never wins.',
    patches: [{ file: TRANSACTION, find: 'clock.witness(operation.lamport, { own: operation.origin === self })', replace: 'clock.witness(operation.lamport)' }],
    scenario: OWN_WORDS_COME_BACK,
    seeds: 10,
  },
  {
    name: 'time-not-attached',
    why: 'What is received is not attached to the Lamport clock: what is written after it is ordered before it.',
    patches: [
      {
        file: TRANSACTION,
        find: 'if (!clock.witness(operation.lamport, { own: operation.origin === self }))',
        replace: 'if (operation.origin === self && !clock.witness(operation.lamport, { own: true }))',
      },
      { file: REPLICATION, find: '        clock.catchUp(lamport);\n', replace: '' },
    ],
    seeds: 60,
  },
  {
    name: 'beat-ahead-of-the-disk',
    why: 'A beat names the time of the clock, which is ahead of its head by what is on its way to the disk.',
    patches: [{ file: LEDGER, find: 'return this.#turn?.since ?? this.clock.time;', replace: 'return this.clock.time;' }],
    trace: { file: 'event-log', claim: 'while own writes are on their way to the disk, the committed time stays before them' },
    seeds: 60,
  },
  {
    name: 'root-stale',
    why: 'The hash over all vectors is not kept up, so nobody notices that states differ.',
    patches: [{ file: LEDGER, find: '        this.#root = root;\n', replace: '' }],
    seeds: 60,
  },
  {
    name: 'sync-never-ends',
    why: 'After the first pull a peer takes it for still going on.',
    patches: [{ file: GOSSIP, find: '            state.syncing = null;\n', replace: '' }],
    seeds: 60,
  },
  {
    name: 'clone-on-hearsay',
    why: 'Another boot of the own identity is believed in because a member says so, without a proof over a fresh nonce.',
    patches: [
      {
        file: VERIFIER,
        find: 'return this.#challenge({ peer, bootId: boot, address, rival: undefined, relayed: true });',
        replace: "return [{ kind: 'clone', peer, verified: bootId, bootId: boot }];",
      },
    ],
    scenario: RELAY_SPEAKS_LATE,
    seeds: 60,
  },
  {
    name: 'old-proof',
    why: 'A proof counts whatever the nonce that it signs: one that was captured makes a dead boot live.',
    patches: [
      { file: VERIFIER, find: 'if (Buffer.compare(nonce, message.nonce) !== 0 || peerOf', replace: 'if (peerOf' },
      { file: VERIFIER, find: '!pending || pending.relayed || Buffer.compare(pending.nonce, message.nonce) !== 0', replace: '!pending || pending.relayed' },
      { file: VERIFIER, find: 'const text = proofText({ verifier, nonce, signer: peer, bootId,', replace: 'const text = proofText({ verifier, nonce: message.nonce, signer: peer, bootId,' },
    ],
    scenario: PROOFS_ARE_REPLAYED,
    seeds: 60,
  },
  {
    name: 'adoption-without-order',
    why: 'Of two networks without user data each gives way to the other, for ever.',
    patches: [{ file: NETWORKS, find: "return theirs.user || theirs.id < ours.id ? 'adopt' : 'wait';", replace: "return 'adopt';" }],
    scenario: EMPTY_NETWORKS_MEET,
    seeds: 60,
  },
  {
    name: 'hearsay-forgotten',
    why: 'Who gives way to a network because it has user data forgets that, and gives way to the next before the data has come.',
    patches: [{ file: REPLICATION, find: 'this.#invitedBy = user ? of : null;', replace: 'this.#invitedBy = null;' }],
    scenario: DATA_IS_LATE,
    seeds: 60,
  },
  {
    name: 'adoption-drops-user-data',
    why: 'Of two networks that both hold what people made one gives way.',
    patches: [
      { file: NETWORKS, find: "return 'apart';", replace: "return theirs.id < ours.id ? 'adopt' : 'wait';" },
      { file: LEDGER, find: 'if (this.#network !== null && this.#user)', replace: 'if (this.#network === undefined)' },
    ],
    seeds: 60,
  },
  {
    name: 'foreign-delta',
    why: 'A delta that was asked for in one network is merged into the next.',
    patches: [
      { file: LEDGER, find: 'if (network !== null && !this.networks.has(network))', replace: 'if (network === undefined)' },
      { file: LEDGER, find: "kind === 'append' || kind === 'apply' || kind === 'merge'", replace: "kind === 'append'" },
    ],
    scenario: ANSWER_FROM_THE_OLD_NETWORK,
    seeds: 60,
  },
  {
    name: 'foreign-operations-drained',
    why: 'Operations that came in one network and were not merged yet, be it that they wait for others, are merged in the next.',
    patches: [
      { file: LEDGER, find: "kind === 'append' || kind === 'apply' || kind === 'merge'", replace: "kind === 'apply' || kind === 'merge'" },
      { file: GOSSIP, find: '            state.waiting.clear();\n            state.waitingCount = 0;\n', replace: '' },
    ],
    scenario: WORD_WHILE_LEAVING,
    seeds: 60,
  },
];
