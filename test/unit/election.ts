// Elections and leases as traces a person can read (test/transcripts/election*.txt; UPDATE=1 writes them anew, to be read in the
// diff). The lines that do not start with a space are the script; between them stands what happens, with its time and who did it.
//
// What is said by everybody all the time is left out: beats and pulses, questions of membership, renewals, and what is said again
// because a datagram may be lost. A pulse is shown when it answers a message, and when its sender says for the first time that it
// hears nobody. Datagrams take 1 ms, a term takes 5 ms to the disk, and a peer is `ready` (rank 1) when it has been up for a minute.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import type { PeerId } from '../../lib/ids.ts';
import { ROLES, type Role } from '../../lib/roles.ts';
import type { Talk } from '../../peer/coordination/coordination.ts';
import { Room, type RoomEvent } from '../sim/coordination-room.ts';

const folder = new URL('../../../test/transcripts/', import.meta.url);

/** What is said again within this is not shown again. */
const AGAIN_MS = 1_000;

function talk(message: Talk): string {
  switch (message.kind) {
    case 'election':
      return `ELECTION rank ${message.rank}, term ${message.term}`;
    case 'answer':
      return `ANSWER ${message.candidate}: ${message.higher} is higher`;
    case 'coordinator':
      return `COORDINATOR term ${message.term}`;
    case 'suspect':
      return `SUSPECT ${message.coordinator}, term ${message.term}`;
    case 'promised':
      return `PROMISED term ${message.term}`;
    case 'grant':
      return `GRANT ${message.role}, number ${message.number} of term ${message.term}`;
    case 'revoke':
      return `REVOKE ${message.role}, term ${message.term}`;
    case 'release':
      return `RELEASE ${message.role}: ${message.why}`;
    case 'died':
      return `DIED ${message.peer}, boot ${message.boot}`;
  }
}

/** One line of what a peer does, or undefined where it is routine. */
class Narrator {
  readonly #saidAt = new Map<string, number>();
  readonly #lone = new Set<string>();

  tell(event: RoomEvent): string | undefined {
    switch (event.kind) {
      case 'said': {
        const line = `says to ${event.to ?? 'all'}: ${talk(event.message)}${event.lostTo.length > 0 ? ` (lost on the way to ${event.lostTo.join(', ')})` : ''}`;
        return this.#isAgain(`${event.who} ${line}`, event.at) ? undefined : line;
      }
      case 'pulsed': {
        const { coordinator, term, lone, claims } = event.pulse;
        const isNews = lone && !this.#lone.has(event.who);
        if (lone) this.#lone.add(event.who);
        else this.#lone.delete(event.who);
        if (isNews) return 'says by its pulses that it hears nobody';
        if (event.to === null || event.pulse.asks || event.cause === undefined || !isTelling(event.cause)) return undefined;
        const held = claims.map(({ role }) => role).join(', ');
        return `pulses to ${event.to}: ${coordinator === null ? 'follow nobody' : coordinator === event.who ? `coordinate, term ${term}` : `follow ${coordinator}, term ${term}`}${held && `, hold ${held}`}`;
      }
      case 'phase':
        if (event.phase === 'turn') return `waits for others to take it, ${event.ms} ms`;
        if (event.phase === 'answered') return `has its answer and waits for COORDINATOR, ${event.ms} ms`;
        return undefined;
      case 'member': {
        const { peer, to, reason } = event.change;
        return reason === 'joined' ? undefined : `finds ${peer} ${to}: ${reason}`;
      }
      case 'effect':
        return this.#effect(event);
    }
  }

  #effect({ effect, input }: Extract<RoomEvent, { kind: 'effect' }>): string | undefined {
    switch (effect.kind) {
      case 'tell': {
        const { news } = effect;
        if (news.kind === 'coordinator') return news.coordinator === null ? `follows nobody: ${news.reason}` : `follows ${news.coordinator}, term ${news.term}: ${news.reason}`;
        if (news.kind === 'handOver') return `grants ${news.role} to ${news.to}: ${news.why}${news.from === null ? '' : `, was with ${news.from}`}`;
        return `hears of term ${news.term} from ${news.peer}, which cannot be`;
      }
      case 'hold':
        return `holds ${effect.role} by ${effect.token.term}.${effect.token.coordinator}.${effect.token.number}`;
      case 'drop':
        return `drops ${effect.role}: ${effect.why}`;
      case 'doubt':
        return `asks ${effect.peer} whether it lives`;
      case 'slept':
        return 'finds that it slept';
      case 'persist':
        return input.kind === 'pulse' || (input.kind === 'message' && input.message.kind !== 'promised') ? undefined : `writes term ${effect.claim.term} to its disk`;
      default:
        return undefined;
    }
  }

  #isAgain(line: string, at: number): boolean {
    const saidAt = this.#saidAt.get(line) ?? Number.NEGATIVE_INFINITY;
    this.#saidAt.set(line, at);
    return at - saidAt <= AGAIN_MS;
  }
}

/** Is a pulse that follows upon this an answer that the reader should see? Renewals that were asked for are routine. */
const isTelling = (input: { readonly kind: string; readonly pulse?: { readonly asks: boolean } }): boolean => input.kind === 'message' || (input.kind === 'pulse' && input.pulse?.asks === false);

/** What happens in one millisecond, those who do the same together. */
function together(entries: readonly { readonly at: number; readonly who: string; readonly line: string }[]): string[] {
  const lines: { readonly at: number; readonly who: string[]; readonly line: string }[] = [];
  for (const { at, who, line } of entries) {
    const same = lines.find((other) => other.at === at && other.line === line);
    if (same) same.who.push(who);
    else lines.push({ at, who: [who], line });
  }
  return lines.map(({ at, who, line }) => `    ${String(at).padStart(6)} ${who.sort().join(' ').padEnd(9)} ${line}`);
}

/** Who coordinates, according to whom, and who holds what. */
function standing(room: Room): string[] {
  const views = new Map<string, string[]>();
  for (const { machine, coordination } of room.running) {
    const view = coordination.coordinator === null ? 'nobody' : `${coordination.coordinator}, term ${coordination.term}`;
    views.set(view, [...(views.get(view) ?? []), machine.name]);
  }
  const held = ROLES.map((role) => `${role} ${room.holders(role).join(' and ') || 'nobody'}`);
  return [...[...views].map(([view, names]) => `           ${names.join(' ')} follow${names.length > 1 ? '' : 's'} ${view}`), `           roles: ${held.join(', ')}`];
}

/** The verbs of a script. All but the two that let time pass happen at once. */
const VERBS: Readonly<Record<string, (room: Room, words: readonly string[]) => void>> = {
  start: (room, names) => room.start(...names),
  kill: (room, names) => names.forEach((name) => room.kill(name)),
  silence: (room, names) => names.forEach((name) => room.silence(name)),
  stop: (room, names) => names.forEach((name) => room.stop(name)),
  cut: (room, ways) => {
    for (const way of ways) room.cut(...(way.split('->') as [string, string]));
  },
  partition: (room, words) => room.partition(...words.join(' ').split(' | ').map((part) => part.split(' '))),
  heal: (room) => room.heal(),
  lose: (room, [kind = '', , from = '', , to = '']) => room.lose(kind.toLowerCase() as Talk['kind'], from, to),
  disk: (room, [name = '', state]) => {
    room.machine(name).diskFails = state === 'fails';
  },
  store: (room, [name = '', coordinator = '', term]) => room.store(name, { term: Number(term), coordinator: coordinator as PeerId }),
  sleep: (room, [name = '', ms]) => room.sleep(name, Number(ms)),
  fail: (room, [role, , name = '']) => room.fail(name, role as Role),
  load: (room, [name = '', load]) => {
    room.machine(name).load = Number(load);
  },
  may: (room, [name = '', ...roles]) => {
    room.machine(name).roles = roles as Role[];
  },
  /** A datagram of a peer that is not in the room. */
  forge: (room, [from = '', kind, term, , to = '']) => room.tell(to, { kind: 'message', from: from as PeerId, message: { kind: kind?.toLowerCase() as 'coordinator', term: Number(term) } }),
};

/** Plays the lines that do not start with a space, and writes between them what happens. */
function play(text: string): string {
  const narrator = new Narrator();
  let entries: { readonly at: number; readonly who: string; readonly line: string }[] = [];
  const room = new Room({
    observe: (event) => {
      const line = narrator.tell(event);
      if (line !== undefined) entries.push({ at: event.at, who: event.who, line });
    },
  });
  const lines: string[] = [];
  const write = (): void => {
    lines.push(...together(entries));
    entries = [];
  };
  for (const line of text.split('\n')) {
    if (line.startsWith(' ')) continue;
    const [verb = '', ...words] = line.split(' ');
    if (verb === 'at') {
      room.run(Number(words[0]));
      write();
    }
    lines.push(line);
    if (verb === '#' || verb === '') continue;
    if (verb === 'until') room.run(Number(words[0]));
    else if (verb === 'quietly') {
      room.run(Number(words[1]));
      entries = [];
    } else if (verb === 'standing') lines.push(...standing(room));
    else {
      const [act = '', ...rest] = verb === 'at' ? words.slice(1) : [verb, ...words];
      const does = VERBS[act];
      if (!does) throw new Error(`a transcript says '${line}'`);
      does(room, rest);
    }
    write();
  }
  return lines.join('\n');
}

const transcripts = readdirSync(folder).filter((name) => /^election.*\.txt$/.test(name));
t.ok(transcripts.length >= 9, 'the transcripts are there');
for (const name of transcripts) {
  t.test(`transcript ${name}`, async (t) => {
    const url = new URL(name, folder);
    const text = readFileSync(url, 'utf8');
    const played = play(text);
    if (process.env['UPDATE'] === '1') writeFileSync(url, played);
    else t.equal(played, text);
  });
}
