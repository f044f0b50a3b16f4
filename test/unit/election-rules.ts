// Rules of elections and claims that neither transcripts nor the simulator notice the lack of soon. Each is asked of the whole machine of
// one peer, which is told what others say.
import t from 'tap';
import type { Pulse } from '../../lib/coordination-messages.ts';
import type { BootId, PeerId } from '../../lib/ids.ts';
import { seededRandom } from '../../lib/random.ts';
import { Coordination, type CoordinationEffect, type CoordinationNews } from '../../peer/coordination/coordination.ts';
import { NO_PULSE } from '../sim/pulse.ts';

const idOf = (letter: string): PeerId => letter.repeat(32) as PeerId;
const INSANE_TERM = 2 ** 40;

class Told {
  readonly peer: Coordination;
  #pulses = 0;

  /** It has started, and listens. */
  constructor(self: string) {
    this.peer = new Coordination({ self: idOf(self), bootId: idOf('0') as string as BootId, random: seededRandom(1), stored: { term: 0, coordinator: null } });
    this.peer.step({ kind: 'able', offer: { roles: [], load: 0, stability: 0 }, ready: true, now: 0 });
    this.peer.step({ kind: 'started', now: 0 });
  }

  alive(...letters: string[]): void {
    for (const letter of letters) this.peer.step({ kind: 'alive', peer: idOf(letter), now: 0 });
  }

  pulse(from: string, follows: string | null, term: number, now: number, more: Partial<Pulse> = {}): CoordinationEffect[] {
    this.#pulses += 1;
    return this.peer.step({ kind: 'pulse', from: idOf(from), bootId: idOf(from) as string as BootId, pulse: { ...NO_PULSE, number: this.#pulses, coordinator: follows === null ? null : idOf(follows), term, ...more }, now });
  }
}

const doubts = (effects: readonly CoordinationEffect[]): PeerId[] => effects.flatMap((effect) => (effect.kind === 'doubt' ? [effect.peer] : []));
const newsOf = (effects: readonly CoordinationEffect[]): CoordinationNews[] => effects.flatMap((effect) => (effect.kind === 'tell' ? [effect.news] : []));

t.test('who follows our coordinator no more has it asked, if it knows of nobody instead', async (t) => {
  const told = new Told('a');
  told.alive('b', 'c');
  told.pulse('c', 'c', 1, 10);
  told.pulse('b', 'c', 1, 20);
  t.same(doubts(told.pulse('b', 'c', 1, 30)), []);
  t.same(doubts(told.pulse('b', null, 0, 40)), [idOf('c')]);
  t.same(doubts(told.pulse('b', null, 0, 50)), [], 'once');
  t.equal(told.peer.coordinator, idOf('c'), 'it is still followed');
});

t.test('of many, the first three alone ask a coordinator that somebody doubts', async (t) => {
  const letters = [...'123456789abcd'];
  for (const [self, asks] of [['9', false], ['a', true], ['b', true], ['c', true]] as const) {
    const told = new Told(self);
    told.alive(...letters.filter((letter) => letter !== self));
    told.pulse('d', 'd', 1, 10, { rank: 2 });
    for (const letter of letters.filter((letter) => letter !== self && letter !== 'd')) told.pulse(letter, 'd', 1, 20, { rank: 1 });
    told.peer.step({ kind: 'able', offer: { roles: [], load: 0, stability: 0 }, ready: true, now: 25 });
    t.same(doubts(told.pulse('1', null, 0, 30)), asks ? [idOf('d')] : [], self);
  }
});

t.test('a pulse that was on its way when its sender claimed does not make it step down, and what else it says counts', async (t) => {
  const told = new Told('a');
  told.alive('b', 'c');
  told.pulse('c', null, 0, 5);
  told.peer.step({ kind: 'message', from: idOf('c'), message: { kind: 'coordinator', term: 1 }, now: 10 });
  told.pulse('c', null, 0, 309);
  t.equal(told.peer.coordinator, idOf('c'));
  told.pulse('c', 'b', 2, 309);
  t.equal(told.peer.coordinator, idOf('b'), 'it knows of a greater one');
  const later = new Told('a');
  later.alive('b', 'c');
  later.peer.step({ kind: 'message', from: idOf('c'), message: { kind: 'coordinator', term: 1 }, now: 10 });
  later.pulse('c', null, 0, 310);
  t.equal(later.peer.coordinator, null, 'one that comes later says so');
});

t.test('an insane term is told of once, as long as its sender is here', async (t) => {
  const told = new Told('a');
  told.alive('e');
  t.match(newsOf(told.pulse('e', 'e', INSANE_TERM, 10)), [{ kind: 'insaneTerm', peer: idOf('e'), term: INSANE_TERM }]);
  t.same(newsOf(told.pulse('e', 'e', INSANE_TERM, 20)), []);
  told.peer.step({ kind: 'gone', peer: idOf('e'), why: 'left', now: 30 });
  told.peer.step({ kind: 'alive', peer: idOf('e'), now: 40 });
  t.equal(newsOf(told.pulse('e', 'e', INSANE_TERM, 50)).length, 1, 'and anew when it is back');
});

t.test('what is claimed under an insane term counts for nothing, nor does what its sender claimed before', async (t) => {
  const told = new Told('a');
  told.alive('b', 'c');
  told.pulse('c', 'c', 1, 10);
  told.pulse('b', 'c', 1, 20, { claims: [{ role: 'users', number: 5 }] });
  t.equal(told.peer.holder('users')?.peer, idOf('b'));
  told.pulse('b', 'b', INSANE_TERM, 30, { claims: [{ role: 'users', number: 5 }] });
  t.equal(told.peer.holder('users'), undefined);
});

t.test('a grant that is said again has its holder say its claim to the coordinator, which has not heard it', async (t) => {
  const told = new Told('a');
  told.alive('c');
  told.peer.step({ kind: 'able', offer: { roles: ['music'], load: 0, stability: 0 }, ready: true, now: 0 });
  told.pulse('c', 'c', 1, 10);
  const { number } = told.peer.pulse(20);
  const grant = { kind: 'message', from: idOf('c'), message: { kind: 'grant', role: 'music', term: 1, number: 1, boot: idOf('0') as string as BootId, echo: number } } as const;
  const kinds = (now: number): string[] => told.peer.step({ ...grant, now }).map(({ kind }) => kind);
  t.ok(kinds(30).includes('hold'));
  t.match(told.peer.step({ ...grant, now: 130 }), [{ kind: 'pulseTo', peer: idOf('c'), asks: true }]);
});

for (const why of ['died', 'left'] as const) {
  t.test(`of a coordinator that ${why} hearsay that was on its way is not believed, and later one is`, async (t) => {
    const told = new Told('a');
    told.alive('b', 'c');
    told.pulse('c', 'c', 1, 10);
    told.pulse('b', 'c', 1, 20);
    told.peer.step({ kind: 'gone', peer: idOf('c'), why, now: 1_000 });
    told.pulse('b', 'c', 1, 1_300, { ageMs: 0 });
    t.equal(told.peer.coordinator, null);
    told.peer.step({ kind: 'alive', peer: idOf('c'), now: 1_301 });
    told.pulse('b', 'c', 1, 1_301, { ageMs: 0 });
    t.equal(told.peer.coordinator, idOf('c'));
  });
}
