// What has to hold of peers that coordinate (../../docs/ROLES.md says it for people). Each invariant lives for one run.
import type { PeerId } from '../../lib/ids.ts';
import { ROLES, type Role, type Term } from '../../lib/roles.ts';
import type { Millis } from '../../lib/time.ts';
import { NAP_MS } from './coordination-families.ts';
import { CoordinatingPeer, type CoordinationFact, showLetter } from './coordinating-peer.ts';
import type { Machine } from './host.ts';
import type { Letter } from './letters.ts';
import type { Host } from './peer.ts';
import type { HandOverReason } from '../../peer/coordination/grants.ts';
import { Stability } from './stability.ts';
import type { Invariant, Subject, World } from './world.ts';

type Check = Invariant<CoordinatingPeer>;
type Place = World<CoordinatingPeer>;

/** After so long without a change a component has one coordinator, whatever was before. */
const AGREED_MS: Millis = 10_000;
/** A coordinator that nothing has happened to for so long is replaced by nobody. */
const UNDISTURBED_MS: Millis = 10_000;
const AT_ONCE_MS: Millis = 60;
/** From letting go of a role to its next grant. */
const LATELY_MS: Millis = 2_500;
/** Later than this a witness may be too late. */
const PUNCTUAL_MS: Millis = 100;
/** Who starts listens, is challenged and answers for so long at most, if much is lost; then it knows of a coordinator. */
const INTRODUCED_MS: Millis = 4_000;
/** What a hand-over is for, although its former holder lives. A lease may run out where much is late or lost. */
const WANTED: ReadonlySet<HandOverReason> = new Set<HandOverReason>(['balance', 'failed', 'unable', 'leaving', 'left', 'expired']);
/** Lost more often than that, and among fewer, beats may fail to come for as long as a verdict takes. */
const FEW = 5;
const LOSS_AMONG_FEW = 0.1;
const LOSS = 0.31;
/** Who has been stopped looks at its leases within a tick. */
const NOTICED_MS: Millis = 400;
/** Timers are not more exact. */
const TIMER_MS: Millis = 1;

const peerOf = (machine: Machine<CoordinatingPeer>): CoordinatingPeer => machine.peer as CoordinatingPeer;
const short = (peer: PeerId | null): string => peer?.slice(0, 8) ?? 'nobody';

/** 4: all follow one, who knows it. */
function disagreement(machines: readonly Machine<CoordinatingPeer>[]): string | null {
  const [first] = machines;
  if (!first) return null;
  const { coordinator, term } = peerOf(first).coordination;
  for (const machine of machines) {
    const other = peerOf(machine).coordination;
    if (other.coordinator === null) return `${machine.name} follows nobody (${other.phase})`;
    if (other.coordinator !== coordinator || other.term !== term) {
      return `${first.name} follows ${short(coordinator)} in term ${term}, and ${machine.name} ${short(other.coordinator)} in term ${other.term}`;
    }
  }
  const itself = machines.find((machine) => peerOf(machine).self === coordinator);
  if (!itself) return `all follow ${short(coordinator)}, which is not among them`;
  return peerOf(itself).coordination.isCoordinator ? null : `all follow ${itself.name}, which does not know it`;
}

const agrees = (): Check => ({
  name: 'all follow one coordinator once everything has healed',
  healed: ({ running }) => disagreement(running),
});

/** 4, while things go wrong elsewhere: whoever hears each other agrees, be they cut off from the rest. */
function components(): Check {
  const stability = new Stability<CoordinatingPeer>();
  return {
    name: 'those who hear each other have one coordinator within a bounded time',
    stepped: (_machine, world) => {
      if (!stability.look(world) || world.phase !== 'eventful' || isTooLossy(world)) return null;
      for (const component of cliquesOf(world, stability)) {
        const wrong = disagreement(component);
        if (wrong) return `${wrong}; for ${AGREED_MS} ms nothing has changed for ${component.map(({ name }) => name).join(', ')}`;
      }
      return null;
    },
  };
}

function isTooLossy({ scenario: { network, peers } }: Place): boolean {
  return network.loss > (peers < FEW ? LOSS_AMONG_FEW : LOSS) || network.bursts !== null;
}

/** Who hears one datagram in hundreds does not take itself for deaf, and finds everybody silent. */
const hearsLittle = (machine: Machine<CoordinatingPeer>, world: Place): boolean => world.network.datagrams.isStormy(machine.host);

/** A machine that begins to refuse calls is taken for dead by those whose streams to it break too: docs/ROLES.md. */
const refusesCalls = ({ scenario: { faults } }: Place): boolean =>
  faults.some(({ kind }) => kind === 'refuseStreams') && faults.some((fault) => fault.kind !== 'refuseStreams' && (fault.kind !== 'pause' || fault.forMs > NAP_MS[1]));

/** Groups of machines that have all heard each other, and nobody else, for AGREED_MS. Full disks take part in no election. */
function cliquesOf(world: Place, stability: Stability<CoordinatingPeer>): Machine<CoordinatingPeer>[][] {
  const { now } = world.scheduler;
  const { length } = world.machines;
  const since = now - AGREED_MS;
  const cliques: Machine<CoordinatingPeer>[][] = [];
  const seen = new Set<Host>();
  for (const machine of world.running) {
    if (seen.has(machine.host)) continue;
    const group = world.machines.filter(({ host }) => host === machine.host || stability.wayBetween(host, machine.host, length).open);
    for (const { host } of group) seen.add(host);
    const calm = group.every(({ host }) => stability.machineSince(host, world) <= since) && world.machines.every(({ host }) => group.every((one) => one.host === host || stability.wayBetween(one.host, host, length).since <= since));
    const closed = group.every((one) => world.machines.every((other) => one === other || stability.wayBetween(one.host, other.host, length).open === group.includes(other)));
    // whoever hears more than its component may follow whom it hears, unless that one hears nobody
    const overhears = group.some((one) => world.machines.some(({ host, peer }) => peer !== null && !group.some((other) => other.host === host) && world.network.paths.isOpen(host, one.host) && hearsAnybody(host, world)));
    if (overhears) continue;
    const living = group.filter(({ peer, isPaused }) => peer !== null && !isPaused);
    if (calm && closed && living.length > 0 && living.every(({ disk }) => !disk.hasFailed)) cliques.push(living);
  }
  return cliques;
}

const hearsAnybody = (host: Host, { machines, network }: Place): boolean => machines.some((other) => other.host !== host && network.paths.isOpen(other.host, host));

/** 4: the terms that a peer claims grow, over its restarts too. */
function terms(): Check {
  const claimed = new Map<PeerId, { readonly term: Term; readonly boots: number }>();
  return {
    name: 'nobody claims one term twice, or a smaller one later',
    told: (machine, told, { scenario }) => {
      const fact = told as CoordinationFact;
      if (fact.kind !== 'news' || fact.news.kind !== 'coordinator') return null;
      const { coordinator, term } = fact.news;
      const { self } = peerOf(machine);
      if (coordinator !== self || scenario.faults.some(({ kind }) => kind === 'insaneTerm' || kind === 'wipe')) return null;
      const before = claimed.get(self);
      claimed.set(self, { term, boots: machine.boots });
      return before && before.term >= term ? `${machine.name} claims term ${term}, after ${before.term}` : null;
    },
  };
}

/** A coordinator that lives and is heard is never replaced. */
function stays(): Check {
  const stability = new Stability<CoordinatingPeer>();
  /** Of hosts, when they claimed. Two that claim in one moment have not heard of each other. */
  const claimedAt = new Map<Host, Millis>();
  return {
    name: 'nobody replaces a coordinator that lives and is heard',
    stepped: (_machine, world) => {
      stability.look(world);
      return null;
    },
    told: (machine, told, world) => {
      const fact = told as CoordinationFact;
      const { now } = world.scheduler;
      if (fact.kind === 'news' && fact.news.kind === 'coordinator' && fact.news.coordinator === peerOf(machine).self && fact.news.reason !== 'promised') claimedAt.set(machine.host, now);
      if (fact.kind !== 'news' || fact.news.kind !== 'coordinator' || world.phase !== 'eventful' || isTooLossy(world) || refusesCalls(world)) return null;
      if (fact.news.coordinator !== peerOf(machine).self || fact.news.reason === 'promised' || hearsLittle(machine, world)) return null;
      const since = world.scheduler.now - UNDISTURBED_MS;
      const { length } = world.machines;
      for (const other of world.running) {
        if (other === machine || !peerOf(other).coordination.isCoordinator || peerOf(other).coordination.isLone || other.isStopping || now - (claimedAt.get(other.host) ?? 0) < AT_ONCE_MS) continue;
        const way = stability.wayBetween(machine.host, other.host, length);
        const calm = way.open && Math.max(way.since, stability.machineSince(other.host, world)) <= since && stability.machineSince(machine.host, world) <= world.scheduler.now - INTRODUCED_MS;
        if (calm) return `${machine.name} claims to coordinate (${fact.news.reason}), although ${other.name} does and nothing has happened to the two for ${UNDISTURBED_MS} ms`;
      }
      return null;
    },
  };
}

/** A takeover moves no role, and nothing else does while its holder lives and is heard. */
function sticks(): Check {
  const stability = new Stability<CoordinatingPeer>();
  const letGoAt = new Map<string, Millis>();
  return {
    name: 'no role moves away from a holder that lives and is heard',
    stepped: (_machine, world) => {
      stability.look(world);
      return null;
    },
    told: (machine, told, world) => {
      const fact = told as CoordinationFact;
      if (fact.kind === 'drop') letGoAt.set(`${machine.host}/${fact.role}`, world.scheduler.now);
      if (fact.kind !== 'news' || fact.news.kind !== 'handOver' || world.phase !== 'eventful' || isTooLossy(world) || refusesCalls(world) || hearsLittle(machine, world)) return null;
      const { role, from, to, why } = fact.news;
      const holder = world.running.find((one) => peerOf(one).self === from);
      if (!holder || holder === machine || from === to || WANTED.has(why) || holder.isStopping) return null;
      // a role that nobody could hold meanwhile is not his any more
      const hasIt = peerOf(holder).coordination.holds(role, world.scheduler.now) || (letGoAt.get(`${holder.host}/${role}`) ?? Number.NEGATIVE_INFINITY) > world.scheduler.now - LATELY_MS;
      if (!hasIt) return null;
      const calm = world.running.every((one) => {
        const way = stability.wayBetween(machine.host, one.host, world.machines.length);
        return one === machine || (way.open && way.since <= world.scheduler.now - UNDISTURBED_MS);
      });
      if (!calm || stability.machineSince(holder.host, world) > world.scheduler.now - UNDISTURBED_MS) return null;
      return `${machine.name} grants ${role} to ${short(to)} (${why}), although ${holder.name} held it and nothing has happened to it for ${UNDISTURBED_MS} ms`;
    },
  };
}

/** Where nobody knows whether the coordinator is dead, the highest that anybody hears claims. */
function highest(): Check {
  const stability = new Stability<CoordinatingPeer>();
  return {
    name: 'nobody claims to coordinate while somebody higher is heard by a third',
    stepped: (_machine, world) => {
      stability.look(world);
      return null;
    },
    told: (machine, told, world) => {
      const fact = told as CoordinationFact;
      if (fact.kind !== 'news' || fact.news.kind !== 'coordinator' || world.phase !== 'eventful' || world.scenario.network.loss > 0 || world.scenario.network.lateMs > PUNCTUAL_MS || isTooLossy(world)) return null;
      if (fact.news.coordinator !== peerOf(machine).self || fact.news.reason !== 'silent') return null;
      const since = world.scheduler.now - UNDISTURBED_MS;
      const calm = world.running.filter((one) => one !== machine && stability.machineSince(one.host, world) <= since && !one.isStopping && !one.isPaused && !one.disk.hasFailed);
      const hear = (one: Machine<CoordinatingPeer>, other: Machine<CoordinatingPeer>): boolean => {
        const way = stability.wayBetween(one.host, other.host, world.machines.length);
        return way.open && way.since <= since;
      };
      for (const higher of calm) {
        if (!isHigher(peerOf(higher), peerOf(machine))) continue;
        const witness = calm.find((one) => one !== higher && hear(one, higher) && hear(one, machine));
        if (witness) return `${machine.name} claims to coordinate, although ${higher.name} is higher and ${witness.name} hears both`;
      }
      return null;
    },
  };
}

/** Both have been ready for long, so it is their ids that count. */
const isHigher = (one: CoordinatingPeer, other: CoordinatingPeer): boolean => one.isReady && one.self > other.self;

/** 5: of what one coordinator granted in one term, nothing is held twice; and nobody holds what has run out. */
function leases(): Check {
  const stability = new Stability<CoordinatingPeer>();
  return {
    name: 'no lease is live on two peers, and none is held after its end',
    stepped: (machine, world) => {
      stability.look(world);
      return machine.peer === null || refusesCalls(world) ? null : leaseWrong(machine, world, world.scheduler.now - stability.machineSince(machine.host, world) > NOTICED_MS);
    },
  };
}

function leaseWrong(machine: Machine<CoordinatingPeer>, { scheduler: { now }, machines }: Place, awake: boolean): string | null {
    for (const [role, { token, until }] of peerOf(machine).coordination.held) {
      if (until <= now - TIMER_MS && awake) return `${machine.name} holds ${role}, whose lease ended ${Math.round(now - until)} ms ago`;
      if (until <= now) continue;
      for (const other of machines) {
        if (other === machine || other.peer === null) continue;
        const lease = other.peer.coordination.held.get(role);
        if (!lease || lease.until <= now || lease.token.term !== token.term || lease.token.coordinator !== token.coordinator) continue;
        return `${machine.name} holds ${role} by grant ${token.number}, and ${other.name} by grant ${lease.token.number} of the same term`;
      }
    }
    return null;
}

/** 5: in quiet every role that somebody may hold is held, by one, under the coordinator of all. */
const roles = (): Check => ({
  name: 'every role is held by exactly one in quiet',
  healed: (world) => {
    for (const role of ROLES) {
      const wrong = roleWrong(role, world);
      if (wrong) return wrong;
    }
    return null;
  },
});

function roleWrong(role: Role, { running, scheduler: { now } }: Place): string | null {
  const able = running.filter((machine) => peerOf(machine).offer.roles.includes(role));
  const holders = running.filter((machine) => peerOf(machine).coordination.holds(role, now));
  if (holders.length > 1) return `${holders.map(({ name }) => name).join(' and ')} hold ${role}`;
  const [holder] = holders;
  if (!holder) return able.length > 0 ? `nobody holds ${role}, and ${able.map(({ name }) => name).join(', ')} may` : null;
  const { self, coordination } = peerOf(holder);
  if (!able.includes(holder)) return `${holder.name} holds ${role}, and must not`;
  const token = coordination.held.get(role)?.token;
  if (token?.coordinator !== coordination.coordinator || token.term !== coordination.term) return `${holder.name} holds ${role} by a grant of another term than the coordinator's`;
  const stranger = running.find((machine) => peerOf(machine).coordination.holder(role)?.peer !== self);
  return stranger ? `${stranger.name} does not know that ${holder.name} holds ${role}` : null;
}

export const coordinationSubject = (): Subject<CoordinatingPeer> => ({
  make: (env) => new CoordinatingPeer(env),
  invariants: () => [agrees(), components(), terms(), stays(), highest(), sticks(), leases(), roles()],
  // who was barred from a role for half a minute may be the only one who may hold it
  healMs: 45_000,
  // a coordinator that could not hear until everything healed takes itself for deaf as late as this
  stableMs: 4_000,
  quietMs: 4_000,
  // the only frames of its streams are their first
  show: (content) => ('message' in (content as Letter) ? showLetter(content as Letter) : 'hello'),
});
