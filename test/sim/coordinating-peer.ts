// A simulated peer without music: the real machines of membership, boot verification and coordination, and the little that is
// around them on a real machine: datagrams (letters.ts), streams (links.ts), and a term on a disk.
import { createMembership, type Effect as MembershipEffect, isHere, type Input as MembershipInput, type Membership, step as stepMembership } from '../../discovery/membership.ts';
import type { BootId, PeerId } from '../../lib/ids.ts';
import { type Beat, heardName, type Message, type Offer } from '../../lib/messages.ts';
import { type Coordinatorship, type FencingToken, ROLES, type Role } from '../../lib/roles.ts';
import type { Millis } from '../../lib/time.ts';
import { Coordination, type CoordinationEffect, type CoordinationInput, type CoordinationNews, type CoordinationTimer } from '../../peer/coordination/coordination.ts';
import { hexDigits } from './chance.ts';
import { addressOf, type Letter, Letters } from './letters.ts';
import { Links } from './links.ts';
import type { Host, SimEnv, SimInput, SimPeer } from './peer.ts';

/** What the invariants are told. */
export type CoordinationFact =
  | { readonly kind: 'news'; readonly news: CoordinationNews }
  | { readonly kind: 'hold'; readonly role: Role; readonly token: FencingToken }
  | { readonly kind: 'drop'; readonly role: Role }
  /** So many of ELECTION, ANSWER and COORDINATOR. */
  | { readonly kind: 'said'; readonly what: 'election' | 'answer' | 'coordinator' };

type Untimed<T> = T extends { readonly now: number } ? Omit<T, 'now'> : never;

/** Not a minute, so that short scenarios see it. */
const READY_MS: Millis = 8_000;
const LOOK_EVERY_MS: Millis = 1_000;
/** A polite peer says goodbye when its roles have had a moment to pass on. */
const LEAVE_MS: Millis = 60;

export class CoordinatingPeer implements SimPeer {
  readonly self: PeerId;
  readonly boot: BootId;
  readonly membership: Membership;
  readonly coordination: Coordination;
  readonly offer: Offer;
  readonly #env: SimEnv;
  readonly #letters: Letters;
  readonly #links: Links;
  readonly #hosts = new Map<PeerId, Host>();
  readonly #commits = new Map<number, Coordinatorship>();
  readonly #startedAt: Millis;
  #tokens = 0;

  /** @param offered what its machine may hold; else drawn */
  constructor(env: SimEnv, offered?: readonly Role[]) {
    this.#env = env;
    const { random } = env;
    this.self = env.disk.identity;
    this.boot = hexDigits(random, 32) as BootId;
    this.#startedAt = env.now();
    // some machines may hold only some roles
    const roles = offered ?? (random() < 0.3 ? ROLES.filter(() => random() < 0.5) : [...ROLES]);
    this.offer = { roles, load: 0, stability: 0 };
    this.membership = createMembership({ self: this.self, random });
    this.coordination = new Coordination({ self: this.self, bootId: this.boot, random, stored: env.disk.claim });
    this.#letters = new Letters({
      env,
      self: this.self,
      boot: this.boot,
      publicKey: env.disk.publicKey,
      heard: (from, message) => this.#heard(from, message),
      met: (peer, boot, host) => {
        this.#hosts.set(peer, host);
        this.#member({ kind: 'heard', peer, bootId: boot, via: 'unicast', address: addressOf(host) });
      },
      clone: () => {},
    });
    this.#links = new Links({
      env,
      self: this.self,
      boot: this.boot,
      living: () => this.#living(),
      linked: ({ peer, boot }, host) => {
        this.#hosts.set(peer, host);
        this.#letters.met(peer, boot);
        this.#member({ kind: 'heard', peer, bootId: boot, via: 'stream', address: addressOf(host) });
      },
      unlinked: ({ peer, boot }, refused) => this.#member({ kind: 'closed', peer, bootId: boot, refused }),
      hasEnded: ({ peer, boot }) => this.#member({ kind: 'refused', peer, bootId: boot }),
      frame: () => {},
      closed: () => {},
    });
  }

  /** As its rank says it. */
  get isReady(): boolean {
    return this.#env.now() - this.#startedAt >= READY_MS;
  }

  input(input: SimInput): void {
    switch (input.kind) {
      case 'started':
        this.#coordinate({ kind: 'able', offer: this.offer, ready: false });
        this.#coordinate({ kind: 'started' });
        this.#member({ kind: 'started' });
        this.#links.start();
        return this.#env.arm('look', LOOK_EVERY_MS);
      case 'datagram':
        return this.#letters.receive(input.content as Letter, input.from, input.via);
      case 'streamOpened':
        return this.#links.opened(input.stream, input.host);
      case 'streamFrame':
        return this.#links.received(input.stream, input.content);
      case 'streamClosed':
        return this.#links.ended(input.stream, input.refused);
      case 'expired':
        return this.#expired(input.timer);
      case 'diskDone': {
        const claim = this.#commits.get(input.token) as Coordinatorship;
        this.#commits.delete(input.token);
        return this.#coordinate({ kind: 'persisted', claim, ok: input.error === null });
      }
      case 'command':
        return;
      case 'stopping':
        this.#coordinate({ kind: 'leaving' });
        return this.#env.arm('leave', LEAVE_MS);
    }
  }

  #expired(timer: string): void {
    if (timer === 'links') return this.#links.tick();
    if (timer === 'look') {
      this.#coordinate({ kind: 'able', offer: this.offer, ready: this.isReady });
      return this.#env.arm('look', LOOK_EVERY_MS);
    }
    if (timer === 'leave') {
      for (let i = 0; i < 3; i++) this.#letters.multicast({ kind: 'goodbye' });
      return;
    }
    if (timer.startsWith('boot/')) return this.#letters.expired(timer as `boot/${PeerId}/${BootId}`);
    if (timer.startsWith('m/')) return this.#member({ kind: 'expired', timer: timer === 'm/beat' ? { kind: 'beat' } : { kind: 'watch', peer: timer.slice('m/'.length) as PeerId } });
    this.#coordinate({ kind: 'expired', timer: timer.slice('c/'.length) as CoordinationTimer });
  }

  // --- members

  #heard({ peer, boot: bootId, host, via }: { readonly peer: PeerId; readonly boot: BootId; readonly host: Host; readonly via: 'multicast' | 'unicast' }, message: Exclude<Message, { kind: 'challenge' | 'proof' | 'clone' }>): void {
    this.#hosts.set(peer, host);
    if (message.kind === 'goodbye') return this.#member({ kind: 'goodbye', peer, bootId });
    const beat = message.kind === 'beat' ? message : undefined;
    const heard = { kind: 'heard' as const, peer, bootId, via, address: addressOf(host) };
    this.#member(beat ? { ...heard, beat: { everyMs: beat.periodMs, hears: beat.heard.includes(heardName(this.self)) ? [this.self] : [], asks: beat.asks } } : heard);
    if (this.membership.members.get(peer)?.bootId !== bootId || !this.#isHere(peer)) return;
    switch (message.kind) {
      case 'beat':
        return this.#coordinate({ kind: 'pulse', from: peer, bootId, pulse: message.pulse, offer: message.offer });
      case 'pulse':
        return this.#coordinate({ kind: 'pulse', from: peer, bootId, pulse: message.pulse });
      case 'election':
      case 'answer':
      case 'coordinator':
      case 'suspect':
      case 'promised':
      case 'grant':
      case 'revoke':
      case 'release':
      case 'died':
        return this.#coordinate({ kind: 'message', from: peer, message });
      case 'ping':
        if (via === 'unicast') this.#letters.send(host, { kind: 'pong', nonce: message.nonce });
        return;
      case 'pong':
        return this.#coordinate({ kind: 'answered', peer });
      case 'relay':
        return this.#member({ kind: 'asked', by: peer, about: message.peer });
      case 'relayed':
        return this.#member({ kind: 'vouched', peer: message.peer, bootId: message.boot, heardAt: this.#env.now() });
      default:
    }
  }

  #doubt(peer: PeerId): void {
    this.#member({ kind: 'doubted', peer });
    const [member, host] = [this.membership.members.get(peer), this.#hosts.get(peer)];
    if (member && host !== undefined) this.#links.knock(peer, member.bootId, host);
  }

  #isHere(peer: PeerId): boolean {
    const member = this.membership.members.get(peer);
    return member !== undefined && isHere(member);
  }

  #member(input: Untimed<MembershipInput>): void {
    const effects = stepMembership(this.membership, { ...input, now: this.#env.now() } as MembershipInput);
    for (const effect of effects) this.#carryOutMembership(effect);
  }

  #carryOutMembership(effect: MembershipEffect): void {
    switch (effect.kind) {
      case 'arm':
        return this.#env.arm(effect.timer.kind === 'beat' ? 'm/beat' : `m/${effect.timer.peer}`, effect.ms);
      case 'beat':
        return this.#letters.multicast(this.#beat(effect));
      case 'pulse':
        return this.#letters.multicast({ kind: 'pulse', pulse: this.coordination.pulse(this.#env.awake()) });
      case 'beatTo':
        return this.#unicast(effect.peer, this.#beat(effect));
      case 'pulseTo':
        return this.#unicast(effect.peer, { kind: 'pulse', pulse: this.coordination.pulse(this.#env.awake()) });
      case 'probe':
        return this.#unicast(effect.peer, { kind: 'ping', nonce: 1 });
      case 'probeVia':
        return this.#unicast(effect.via, { kind: 'relay', peer: effect.peer });
      case 'relayed':
        return this.#unicast(effect.to, { kind: 'relayed', peer: effect.peer, boot: effect.bootId });
      case 'changed': {
        const { peer, to, reason } = effect;
        this.#env.log(() => `sees ${peer.slice(0, 8)} ${to} (${reason})`);
        if (to === 'alive') {
          this.#links.ensure(peer, this.#hosts.get(peer) as Host);
          if (reason === 'restarted') this.#coordinate({ kind: 'gone', peer, why: 'died' });
          return this.#coordinate({ kind: 'alive', peer });
        }
        if (to === 'suspect') return;
        this.#links.drop(peer);
        this.#coordinate({ kind: 'gone', peer, why: reason === 'refused' ? 'died' : reason === 'goodbye' ? 'left' : 'silent' });
      }
    }
  }

  #unicast(peer: PeerId, message: Message): void {
    const host = this.#hosts.get(peer);
    if (host !== undefined) this.#letters.send(host, message);
  }

  #beat({ everyMs, hears, asks }: { readonly everyMs: Millis; readonly hears: readonly PeerId[]; readonly asks: boolean }): Beat {
    return {
      kind: 'beat',
      port: 1,
      periodMs: everyMs,
      lamport: 0,
      root: new Uint8Array(8),
      head: null,
      heard: hears.map(heardName),
      network: null,
      asks,
      user: false,
      pulse: this.coordination.pulse(this.#env.awake()),
      offer: this.offer,
    };
  }

  *#living(): Generator<readonly [PeerId, Host]> {
    for (const member of this.membership.members.values()) {
      const host = this.#hosts.get(member.peer);
      if (isHere(member) && host !== undefined) yield [member.peer, host];
    }
  }

  // --- coordination

  #coordinate(input: Untimed<CoordinationInput>): void {
    const effects = this.coordination.step({ ...input, now: this.#env.awake() } as CoordinationInput);
    for (const effect of effects) this.#carryOut(effect);
  }

  #carryOut(effect: CoordinationEffect): void {
    switch (effect.kind) {
      case 'arm':
        return this.#env.arm(`c/${effect.timer}`, effect.ms);
      case 'multicast': {
        const { message } = effect;
        if (message.kind === 'election' || message.kind === 'answer' || message.kind === 'coordinator') this.#tell({ kind: 'said', what: message.kind });
        return this.#letters.multicast(message);
      }
      case 'send':
        return this.#unicast(effect.to, effect.message);
      case 'pulseTo':
        return this.#unicast(effect.peer, { kind: 'pulse', pulse: this.coordination.pulse(this.#env.awake(), { asks: effect.asks }) });
      case 'speak':
        return this.#member({ kind: 'speak' });
      case 'pace':
        return this.#member({ kind: 'pace', quick: effect.quick });
      case 'persist': {
        this.#tokens += 1;
        this.#commits.set(this.#tokens, effect.claim);
        return this.#env.commit(this.#tokens, { claim: effect.claim });
      }
      case 'doubt':
        return this.#doubt(effect.peer);
      case 'vouched':
        return this.#member({ kind: 'vouched', peer: effect.peer, heardAt: this.#env.now() - effect.agoMs });
      case 'slept':
        return this.#member({ kind: 'stalled' });
      case 'hold':
        return this.#tell({ kind: 'hold', role: effect.role, token: effect.token });
      case 'drop':
        return this.#tell({ kind: 'drop', role: effect.role });
      case 'tell':
        return this.#tell({ kind: 'news', news: effect.news });
      case 'changed':
    }
  }

  #tell(fact: CoordinationFact): void {
    if (fact.kind !== 'said') this.#env.log(() => describe(fact));
    this.#env.tell(fact);
  }
}

const short = (peer: PeerId | null): string => peer?.slice(0, 8) ?? 'nobody';

function describe(fact: CoordinationFact): string {
  switch (fact.kind) {
    case 'news': {
      const { news } = fact;
      if (news.kind === 'coordinator') return `follows ${short(news.coordinator)}, term ${news.term} (${news.reason})`;
      if (news.kind === 'handOver') return `grants ${news.role} to ${short(news.to)}, number ${news.token.number}, held by ${short(news.from)} (${news.why})`;
      return `hears of term ${news.term} from ${short(news.peer)}`;
    }
    case 'hold':
      return `holds ${fact.role} by ${fact.token.term}.${short(fact.token.coordinator)}.${fact.token.number}`;
    case 'drop':
      return `lets go of ${fact.role}`;
    case 'said':
      return fact.what;
  }
}

export function showLetter({ message }: Letter): string {
  const pulseText = ({ number, coordinator, term, ageMs, rank, lone, asks, claims, renewals }: Beat['pulse']): string =>
    `#${number} follows ${short(coordinator)} ${term} age ${ageMs} rank ${rank}${lone ? ' lone' : ''}${asks ? ' asks' : ''}${claims.map(({ role, number: claimed }) => ` ${role}:${claimed}`).join('')}${renewals.map((renewal) => ` renews ${renewal.number}@${renewal.echo}`).join('')}`;
  switch (message.kind) {
    case 'beat':
      return `beat every ${message.periodMs} ${pulseText(message.pulse)}`;
    case 'pulse':
      return `pulse ${pulseText(message.pulse)}`;
    case 'election':
      return `ELECTION rank ${message.rank}, term ${message.term}`;
    case 'answer':
      return `ANSWER to ${short(message.candidate)}: ${short(message.higher)} is higher`;
    case 'coordinator':
      return `COORDINATOR ${message.term}`;
    case 'suspect':
      return `SUSPECT ${short(message.coordinator)}`;
    case 'promised':
      return `PROMISED ${message.term}`;
    case 'grant':
      return `GRANT ${message.role} ${message.term}.${message.number} echo ${message.echo}`;
    case 'revoke':
      return `REVOKE ${message.role} ${message.term}`;
    case 'release':
      return `RELEASE ${message.role} ${message.term}.${message.number} (${message.why})`;
    case 'relay':
    case 'relayed':
    case 'died':
      return `${message.kind} ${short(message.peer)}`;
    default:
      return message.kind;
  }
}
