// Coordination's part in the network: says what duties want said, looks after members that they doubt, tells them what others say and
// who comes and goes, and publishes the names of the roles that are held here.
import type { Pulse } from '../../lib/coordination-messages.ts';
import type { BootId, PeerId } from '../../lib/ids.ts';
import type { Log } from '../../lib/log.ts';
import type { Offer } from '../../lib/messages.ts';
import type { Clock, Millis } from '../../lib/time.ts';
import type { Neighbourhood } from '../neighbourhood.ts';
import type { MemberChange } from '../presence.ts';
import type { Duties, DutyEffect } from './duties.ts';

export interface DutyTrafficOptions {
  readonly duties: Duties;
  readonly neighbours: Pick<Neighbourhood, 'presence' | 'datagrams' | 'links' | 'names'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly trouble: (what: string) => (error: unknown) => void;
}

/** Resolvers keep an address for a second after it was replaced (RFC 6762, 10.2), and who got it then opens a page a moment later. */
const LED_HERE_MS: Millis = 1_200;

export class DutyTraffic {
  readonly #options: DutyTrafficOptions;

  constructor(options: DutyTrafficOptions) {
    this.#options = options;
  }

  carryOut(effect: DutyEffect): void {
    const { duties, neighbours: { presence, datagrams }, clock, log } = this.#options;
    switch (effect.kind) {
      case 'multicast':
        return presence.toAll('members', effect.message);
      case 'send':
        return presence.send(effect.to, effect.message);
      case 'pulseTo':
        return presence.send(effect.peer, { kind: 'pulse', pulse: duties.pulse(effect) });
      case 'speak':
        return presence.feed({ kind: 'speak' });
      case 'pace':
        return presence.feed({ kind: 'pace', quick: effect.quick });
      case 'doubt':
        presence.feed({ kind: 'doubted', peer: effect.peer });
        return void this.#knockAt(effect.peer);
      case 'vouched':
        return presence.feed({ kind: 'vouched', peer: effect.peer, heardAt: clock.now() - effect.agoMs });
      case 'slept':
        log('slept', {});
        datagrams.discardQueued();
        return presence.feed({ kind: 'stalled' });
    }
  }

  async #knockAt(peer: PeerId): Promise<void> {
    const { presence, links } = this.#options.neighbours;
    const bootId = presence.bootOf(peer);
    if (bootId && (await links.hasEnded(bootId))) presence.feed({ kind: 'refused', peer, bootId });
  }

  pulsed(peer: PeerId, bootId: BootId, pulse: Pulse, offer?: Offer): void {
    const { duties, neighbours: { presence } } = this.#options;
    // of a process that is gone nothing counts any more
    if (presence.lives(peer, bootId)) duties.feed({ kind: 'pulse', from: peer, bootId, pulse, ...(offer && { offer }) });
  }

  memberChanged({ peer, to, reason }: MemberChange): void {
    const { duties } = this.#options;
    if (to === 'suspect') return;
    if (to !== 'alive') return duties.feed({ kind: 'gone', peer, why: reason === 'refused' ? 'died' : reason === 'goodbye' ? 'left' : 'silent' });
    if (reason === 'restarted') duties.feed({ kind: 'gone', peer, why: 'died' });
    duties.feed({ kind: 'alive', peer });
  }

  /** Roles that are held for others are names that lead here. */
  nameRoles(): void {
    const { duties, neighbours: { names }, trouble } = this.#options;
    const { held } = duties;
    names.setRoles(held);
    if (held.includes('gateway')) names.holdGateway();
    else names.dropGateway().catch(trouble('cannot withdraw the name of the gateway'));
  }

  /** What this machine does for others passes to them while it still answers. */
  async handOver(): Promise<void> {
    const { duties, neighbours: { names } } = this.#options;
    const wasGateway = duties.holds('gateway');
    await duties.handOver();
    // where nobody follows, nobody is waited for
    if (!wasGateway || duties.holder('gateway') === undefined) return;
    await names.dropGateway();
    await new Promise((resolve) => setTimeout(resolve, LED_HERE_MS));
  }
}
