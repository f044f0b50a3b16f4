// What people see: a merged view shows the latest word of all peers, so it is compared with everything that was ever written, and
// not with registers. A tombstone that its writer no longer keeps, and a word that is written anew with a later time, leave every
// register right and the view wrong.
import { isUserData } from '../../lib/kinds.ts';
import { compareStamps, type Operation } from '../../lib/operation.ts';
import type { Millis } from '../../lib/time.ts';
import type { Host } from './peer.ts';
import { type Check, lifeOf, setsBack, valueText } from './look.ts';
import type { Fact } from './replicating-peer.ts';
import type { Scenario } from './scenario.ts';

const later = (one: Operation | undefined, other: Operation): Operation => (one && compareStamps(one, other) >= 0 ? one : other);

/** What a machine has held of people's words since its disk was last set back, the latest of each key. */
interface Memory {
  readonly latest: Map<string, Operation>;
  since: Millis;
}

/** 3: what was said last, as far as a machine ever knew, or something later, is what it shows. */
export function shows(): Check {
  /** A person says each word once, so what says it again later is no later word. */
  const first = new Map<string, Operation>();
  const memories = new Map<Host, Memory>();
  const memoryOf = (host: Host, { scenario, now }: { readonly scenario: Scenario; readonly now: Millis }): Memory => {
    const known = memories.get(host);
    const isGone = scenario.faults.some((fault) => setsBack(fault) && fault.host === host && fault.at > (known?.since ?? 0) && fault.at <= now);
    const memory = known && !isGone ? known : { latest: new Map<string, Operation>(), since: 0 };
    memory.since = now;
    memories.set(host, memory);
    return memory;
  };
  const saidAs = (operation: Operation): Operation => (operation.value && first.get(valueText(operation))) || operation;
  return {
    name: 'what is shown is the latest of all that was written',
    told: ({ host }, fact, { scenario, scheduler }) => {
      if ((fact as Fact).kind === 'dropped') memories.delete(host);
      if ((fact as Fact).kind !== 'changed') return null;
      const { latest } = memoryOf(host, { scenario, now: scheduler.now });
      for (const { after } of (fact as Extract<Fact, { kind: 'changed' }>).changes) {
        if (!isUserData(after.key)) continue;
        const known = after.value && first.get(valueText(after));
        if (after.value && (!known || compareStamps(after, known) < 0)) first.set(valueText(after), after);
        latest.set(after.key, later(latest.get(after.key), saidAs(after)));
      }
      return null;
    },
    healed: ({ running, scenario, scheduler }) => {
      for (const machine of running) {
        const { latest } = memoryOf(machine.host, { scenario, now: scheduler.now });
        const shown = new Map<string, Operation>();
        for (const operation of lifeOf(machine).store.registers('')) shown.set(operation.key, later(shown.get(operation.key), operation));
        for (const [key, expected] of latest) {
          const found = shown.get(key);
          const text = found ? `${valueText(found)}@${saidAs(found).lamport}` : 'nothing';
          if (!found || compareStamps(saidAs(found), expected) < 0) return `${machine.name} shows ${text} for ${key}, and has known ${valueText(expected)}@${expected.lamport}`;
        }
      }
      return null;
    },
  };
}

/** Lamport's condition: who writes with knowledge of something writes later. Clocks that leap are not followed, so where there are
 *  any it says nothing. */
export function follows(): Check {
  const times = new Map<string, number>();
  return {
    name: 'what is written comes after all that its writer held',
    told: (machine, fact, { scenario }) => {
      if ((fact as Fact).kind !== 'changed' || scenario.workload.some(({ kind }) => kind === 'leap')) return null;
      const { self, boot, replication } = lifeOf(machine);
      const before = times.get(boot) ?? 0;
      let time = before;
      for (const { after } of (fact as Extract<Fact, { kind: 'changed' }>).changes) {
        time = Math.max(time, after.lamport);
        const isNew = after.origin === self && after.epoch === replication.ledger.head?.epoch;
        if (isNew && after.lamport <= before) return `${machine.name} wrote ${after.key}@${after.lamport} and held what was of ${before}`;
      }
      times.set(boot, time);
      return null;
    },
  };
}
