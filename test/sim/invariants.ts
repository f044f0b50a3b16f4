// What has to hold of simulated peers (docs/CONSISTENCY.md says it for people). Each invariant lives for one run.
import { digestOf } from '../../lib/digest.ts';
import { answeredUntil, forgetKey, forgottenAt, HERE_KEY } from '../../lib/forget.ts';
import { isUserData } from '../../lib/kinds.ts';
import type { Millis } from '../../lib/time.ts';
import { hex, type NetworkId, type PeerId } from '../../lib/ids.ts';
import { compareStamps, type Operation } from '../../lib/operation.ts';
import { headOf, type Vector } from '../../lib/vector.ts';
import type { Machine } from './host.ts';
import { belongs } from './belonging.ts';
import { type Check, held, lifeOf, setsBack, valueText } from './look.ts';
import { describe, type Fact, ReplicatingPeer } from './replicating-peer.ts';
import { Oracle, Winners } from './oracle.ts';
import type { Host } from './peer.ts';
import type { Fault, Scenario } from './scenario.ts';
import type { Letter } from './letters.ts';
import { follows, shows } from './shown.ts';
import type { Subject } from './world.ts';

type Peer = ReplicatingPeer;

/** 1: heads never go back while a process lives, a place in a log has one content, and heads claim nothing that is missing. */
function claims(): Check {
  const oracle = new Oracle();
  return {
    name: 'heads claim only what is held, and one place in a log has one content',
    told: (machine, fact) => {
      if ((fact as Fact).kind !== 'changed') return null;
      const { changes, moved } = fact as Extract<Fact, { kind: 'changed' }>;
      for (const { after } of changes) {
        const twice = oracle.see(after);
        if (twice) return twice;
      }
      for (const origin of moved) {
        const missing = oracle.missing(origin, lifeOf(machine).replication.ledger.vector(origin), held(machine));
        if (missing) return `${machine.name}: ${missing}`;
      }
      return null;
    },
    healed: ({ running }) => {
      for (const machine of running) {
        for (const [origin, vector] of lifeOf(machine).replication.ledger.vectors) {
          const missing = oracle.missing(origin, vector, held(machine));
          if (missing) return `${machine.name}: ${missing}`;
        }
      }
      return null;
    },
  };
}

/** 1 and 3: while a process lives its heads and its winners only grow, so nothing deleted comes back. */
function grows(): Check {
  const heads = new Map<string, Map<PeerId, Vector>>();
  return {
    name: 'heads and winners never go back while a process lives',
    told: (machine, fact) => {
      const name = `${machine.name} ${machine.boots} ${lifeOf(machine).boot}`;
      if ((fact as Fact).kind === 'dropped') heads.delete(name);
      if ((fact as Fact).kind !== 'changed') return null;
      const { changes, moved } = fact as Extract<Fact, { kind: 'changed' }>;
      for (const { before, after } of changes) {
        if (before && compareStamps(before, after) >= 0) return `${machine.name} replaced ${before.key}@${before.lamport} by ${after.lamport}`;
      }
      const known = heads.get(name) ?? new Map<PeerId, Vector>();
      heads.set(name, known);
      for (const origin of moved) {
        const vector = lifeOf(machine).replication.ledger.vector(origin);
        for (const [epoch, head] of known.get(origin) ?? []) if (headOf(vector, epoch) < head) return `${machine.name}: the head of ${origin.slice(0, 4)} fell from ${head}`;
        known.set(origin, vector);
      }
      return null;
    },
  };
}

/** 2: quiet and connected means identical state, by networks: those of one id are one, and two stay apart only with user data. */
function converges(): Check {
  /** What was found to be identical: it is looked at again only when somebody's state was written anew. */
  let identical = '';
  return {
    name: 'quiet and connected means identical state',
    healed: (world) => {
      const looked = world.running.map((machine) => `${machine.name} ${lifeOf(machine).boot} ${lifeOf(machine).store.revision} ${lifeOf(machine).replication.ledger.network}`).join();
      if (looked === identical) return null;
      const networks = new Map<NetworkId | null, Machine<Peer>[]>();
      for (const machine of world.running) {
        const { network } = lifeOf(machine).replication.ledger;
        networks.set(network, [...(networks.get(network) ?? []), machine]);
      }
      if (networks.has(null)) return 'a peer has no network';
      for (const machine of world.running) {
        const { network, networks: united } = lifeOf(machine).replication.ledger;
        for (const other of networks.keys()) if (other !== network && other !== null && united.has(other)) return `${machine.name} was united with a network that is still apart`;
      }
      for (const machines of networks.values()) {
        const [first, ...others] = machines as [Machine<Peer>, ...Machine<Peer>[]];
        if (networks.size > 1 && !lifeOf(first).replication.ledger.user) return `${first.name} is apart without user data`;
        for (const machine of machines) {
          const { digest } = lifeOf(machine).replication.ledger;
          if (hex(digest) !== hex(digestOf(lifeOf(machine).store.registers('')))) return `${machine.name}'s digest is not that of its winners`;
        }
        for (const machine of others) {
          const [a, b] = [lifeOf(first), lifeOf(machine)];
          const different = differenceOf(a.store.registers(''), b.store.registers(''));
          if (different) return `${first.name} and ${machine.name} differ: ${different}`;
          if (hex(a.replication.ledger.digest) !== hex(b.replication.ledger.digest)) return `${first.name} and ${machine.name} have different digests of one state`;
          if (hex(a.replication.ledger.root) !== hex(b.replication.ledger.root)) return `${first.name} and ${machine.name} have different vectors of one state`;
        }
      }
      identical = looked;
      return null;
    },
  };
}

function differenceOf(ours: readonly Operation[], theirs: readonly Operation[]): string | null {
  const text = (operation: Operation): string => `${operation.key} of ${operation.origin.slice(0, 4)} ${operation.epoch.slice(0, 4)}:${operation.seq}@${operation.lamport}=${valueText(operation)}`;
  const texts = new Set(theirs.map(text));
  for (const operation of ours) if (!texts.delete(text(operation))) return `only one has ${text(operation)}`;
  const [left] = texts;
  return left ? `only one has ${left}` : null;
}

/** What was held when everything healed is held at the end, or something greater, whatever came back or met. */
function loses(): Check {
  const atHealing = new Map<string, Winners>();
  return {
    name: 'nothing that a person made is lost once somebody holds it',
    stepped: (machine, world) => {
      if (world.phase !== 'healing' || atHealing.size > 0) return null;
      for (const other of world.running) {
        const winners = new Winners();
        for (const operation of lifeOf(other).store.registers('')) if (isUserData(operation.key)) winners.add(operation);
        atHealing.set(other.name, winners);
      }
      return machine ? null : null;
    },
    healed: (world) => {
      for (const machine of world.running) {
        for (const operation of atHealing.get(machine.name) ?? []) {
          const now = held(machine)(operation.origin, operation.key);
          if (!now || compareStamps(now, operation) < 0) return `${machine.name} held ${operation.key}@${operation.lamport}=${valueText(operation)} and does not now`;
        }
      }
      return null;
    },
  };
}

/** Faults after which a machine may not have what it had. */
const takesDisk = (fault: Fault): boolean =>
  setsBack(fault) || fault.kind === 'clone' || ((fault.kind === 'crash' || fault.kind === 'stop') && fault.restartMs === null);

/** 6: an acknowledged write survives the end of its peer; one that is not `local only` survives the loss of its disk. */
function acknowledges(): Check {
  const acknowledged: { readonly host: number; readonly network: NetworkId | null; readonly replicated: boolean; readonly operation: Operation }[] = [];
  return {
    name: 'what was acknowledged is kept',
    told: (machine, fact) => {
      if ((fact as Fact).kind !== 'acknowledged') return null;
      const { operations, how } = fact as Extract<Fact, { kind: 'acknowledged' }>;
      const { network } = lifeOf(machine).replication.ledger;
      for (const operation of operations) acknowledged.push({ host: machine.host, network, replicated: how === 'replicated', operation });
      return null;
    },
    healed: (world) => {
      const lossy = new Set(world.scenario.faults.flatMap((fault) => (takesDisk(fault) ? [(fault as { host: number }).host] : [])));
      for (const { host, network, replicated, operation } of acknowledged) {
        // a clone is two machines with one disk's past, so a scenario with one says nothing about disks that are lost
        const survives = replicated ? lossy.size <= 1 && !world.scenario.faults.some(({ kind }) => kind === 'clone') : !lossy.has(host);
        if (!survives) continue;
        for (const machine of world.running) {
          // one whose disk is lost may come back into the other of two networks that are apart
          const isThere = network === null ? machine.host === host : lifeOf(machine).replication.ledger.networks.has(network);
          if (!isThere) continue;
          const now = held(machine)(operation.origin, operation.key);
          if (!now || compareStamps(now, operation) < 0) return `${machine.name} does not hold ${operation.key}@${operation.lamport}=${valueText(operation)}, acknowledged ${replicated ? 'as replicated' : 'locally'}`;
        }
      }
      return null;
    },
  };
}

/** What a machine says that it has is what it has. */
const mirrors = (): Check => ({
  name: 'what a machine says of its files is what lies on its disk',
  healed: (world) => {
    for (const machine of world.running) {
      const { self, store } = lifeOf(machine);
      const said = store.registers('holding/').filter(({ origin, value }) => origin === self && value !== null).map(({ key }) => key.slice('holding/'.length));
      if ([...said].sort().join() !== [...machine.files].sort().join()) return `${machine.name} has ${[...machine.files].sort().join() || 'nothing'} and says ${said.join() || 'nothing'}`;
      if (answeredUntil(held(machine)(self, HERE_KEY)) < forgottenAt(store.registers(forgetKey(self)))) return `${machine.name} is here and forgotten`;
    }
    return null;
  },
});

/** 7: a quiet network transfers no operation, and has nothing left to do. */
const rests = (): Check => ({
  name: 'a quiet network transfers no operation',
  told: (machine, fact, world) => {
    const { kind } = fact as Fact;
    return world.phase === 'quiet' && ['changed', 'multicast', 'dropped', 'rekeyed'].includes(kind) ? `${machine.name} ${describe(fact as Fact)}` : null;
  },
  healed: (world) => {
    const all = world.running.map((machine) => lifeOf(machine).self);
    for (const machine of world.running) {
      const { self, here } = lifeOf(machine);
      const seen = new Set([self, ...here]);
      if (seen.size !== all.length || !all.every((peer) => seen.has(peer))) return `${machine.name} does not see who is here`;
    }
    const busy = world.running.find((machine) => !lifeOf(machine).isResting);
    return busy ? `${busy.name} still has something to do` : null;
  },
});

/** From its first question on a challenge is answered within so long, or given up; then batches end before the new key. */
const PROOF_MS: Millis = 5_000;

/** An identity is one process's, and nobody changes it but for another process that lives, or did a moment ago. */
function identities(): Check {
  const livedAt = new Map<PeerId, Map<Host, Millis>>();
  return {
    name: 'who has a clone takes a new key, and nobody else does',
    stepped: (machine, { scenario, scheduler }) => {
      if (!hasClone(scenario)) return null;
      const { self } = lifeOf(machine);
      const hosts = livedAt.get(self) ?? new Map<Host, Millis>();
      livedAt.set(self, hosts.set(machine.host, scheduler.now));
      return null;
    },
    told: (machine, fact, { scenario, scheduler }) => {
      if ((fact as Fact).kind !== 'rekeyed') return null;
      if (!hasClone(scenario)) return `${machine.name} takes a new key, and has no clone`;
      // who was paused believes what was true when it was
      if (scenario.faults.some((fault) => fault.kind === 'pause' && fault.host === machine.host)) return null;
      const { from } = fact as Extract<Fact, { kind: 'rekeyed' }>;
      const others = [...(livedAt.get(from) ?? [])].filter(([host]) => host !== machine.host);
      return others.some(([, at]) => scheduler.now - at < PROOF_MS) ? null : `${machine.name} takes a new key, and its clone is gone`;
    },
    healed: (world) => {
      const peers = new Set(world.running.map((machine) => lifeOf(machine).self));
      return peers.size < world.running.length ? 'two processes live with one identity' : null;
    },
  };
}

const hasClone = ({ faults }: Scenario): boolean => faults.some(({ kind }) => kind === 'clone');

/** A network without user data gives way once, or a few times when several meet, and not for ever. */
function settles(): Check {
  const counts = new Map<string, number>();
  return {
    name: 'networks that give way come to an end',
    told: (machine, fact) => {
      if ((fact as Fact).kind !== 'dropped') return null;
      const count = (counts.get(machine.name) ?? 0) + 1;
      counts.set(machine.name, count);
      return count > DROPS_MAX ? `${machine.name} has changed networks ${count} times` : null;
    },
  };
}
const DROPS_MAX = 12;

export const replicationSubject = (): Subject<Peer> => ({
  make: (env) => new ReplicatingPeer(env),
  invariants: () => [claims(), grows(), converges(), loses(), acknowledges(), shows(), follows(), belongs(), mirrors(), rests(), identities(), settles()],
  healMs: 120_000,
  stableMs: 6_000,
  quietMs: 15_000,
  show: (content) => {
    const letter = content as Partial<Letter> & { readonly kind?: string };
    if (letter.message) return `${letter.peer?.slice(0, 4)} ${showMessage(letter.message)}`;
    return JSON.stringify(content, (_key, value: unknown) => (value instanceof Map ? Object.fromEntries([...value].map(([key, head]) => [String(key).slice(0, 4), head])) : typeof value === 'string' && value.length > 16 ? value.slice(0, 8) : value)).slice(0, 240);
  },
});

function showMessage(message: Letter['message']): string {
  if (message.kind === 'beat') return `beat @${message.lamport} root ${hex(message.root).slice(0, 6)} head ${message.head?.seq ?? '-'} net ${message.network?.slice(0, 4) ?? '-'}${message.user ? ' user' : ''}`;
  if (message.kind === 'operations') return `operations ${message.operations.map(({ key, seq, lamport }) => `${key}:${seq}@${lamport}`).join(' ')}`;
  return message.kind;
}
