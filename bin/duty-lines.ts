// What `start` tells a person of coordination: who coordinates, and what this machine does for all. An election with its hand-overs
// is a dozen events within a second, and some undo others; so they are told when they have come to rest, as what is different then.
import { shortId } from '../lib/ids.ts';
import { type Role, ROLES } from '../lib/roles.ts';
import { electionWords, handOverWords, listed, passedWords } from './coordination-words.ts';
import { webAddress } from './print-status.ts';
import { printable } from './text.ts';

export interface CoordinatorFacts {
  /** null: nobody coordinates. */
  readonly peer: string | null;
  readonly name: string;
  readonly term: number;
  readonly reason: string;
  readonly self: boolean;
}

/** Of this machine. */
export interface RoleFacts {
  readonly role: Role;
  readonly state: 'held' | 'dropped';
  readonly token?: string;
  /** Of one that was dropped. */
  readonly why?: string;
}

/** Of this machine as coordinator. */
export interface HandoverFacts {
  readonly role: Role;
  readonly from: string | null;
  readonly to: string;
  readonly why: string;
  readonly names: { readonly from: string | null; readonly to: string };
}

/** Of this machine as gateway. */
export interface GatewayNameFacts {
  readonly name?: string | null | undefined;
  readonly before?: string | null | undefined;
  /** Address of who has the name that it would have otherwise. */
  readonly foreigner?: string | undefined;
}

type Coordinator = Pick<CoordinatorFacts, 'peer' | 'name' | 'self' | 'reason'>;

export interface Lines {
  /** What this machine does, in one line. */
  readonly duties: string | undefined;
  readonly handOvers: readonly string[];
  readonly troubles: readonly string[];
}

/** @returns what makes it undone */
export type After = (ms: number, then: () => void) => () => void;

const after: After = (ms, then) => {
  const timer = setTimeout(then, ms).unref();
  return () => clearTimeout(timer);
};

/** Elections take less, with the hand-overs that follow. */
const REST_MS = 1_000;
/** Most vacancies are over by then. */
const VACANT_MS = 5_000;
const SELF = 'this machine';

export class DutyLines {
  readonly #say: (lines: Lines) => void;
  readonly #after: After;
  #told: Coordinator | undefined;
  #coordinator: Coordinator | undefined;
  readonly #toldRoles = new Set<Role>();
  readonly #roles = new Set<Role>();
  readonly #whyDropped = new Map<Role, string>();
  #handOvers: HandoverFacts[] = [];
  #toldAddress: string | undefined;
  #address: string | undefined;
  #troubles: string[] = [];
  #waiting: { readonly patient: boolean; readonly end: () => void } | undefined;

  /** @param wait tests have their own time */
  constructor(say: (lines: Lines) => void, wait = after) {
    this.#say = say;
    this.#after = wait;
  }

  coordinator({ peer, name, self, reason }: CoordinatorFacts): void {
    this.#coordinator = { peer, name, self, reason };
    this.#arm();
  }

  role({ role, state, why = '' }: RoleFacts): void {
    if (state === 'held') this.#roles.add(role);
    else {
      this.#roles.delete(role);
      this.#whyDropped.set(role, why);
    }
    this.#arm();
  }

  handover(facts: HandoverFacts): void {
    this.#handOvers.push(facts);
    this.#arm();
  }

  gatewayName({ name, before, foreigner }: GatewayNameFacts): void {
    this.#address = name ? webAddress(name) : undefined;
    if (foreigner !== undefined) {
      if (!name) this.#troubles.push(`every name that the web page could have is somebody else's here, as of ${foreigner}`);
      else this.#troubles.push(before ? `${foreigner} is called ${before} too, so the web page has another name` : `${foreigner} has the name that the web page would have otherwise`);
    }
    this.#arm();
  }

  #arm(patient = false): void {
    if (this.#waiting && !this.#waiting.patient) return;
    this.#waiting?.end();
    this.#waiting = { patient, end: this.#after(patient ? VACANT_MS : REST_MS, () => this.#rest(patient)) };
  }

  #rest(patient: boolean): void {
    this.#waiting = undefined;
    const isVacant = this.#coordinator?.peer === null && this.#told?.peer != null;
    // what happens until there is one belongs to the same line
    if (isVacant && !patient) return this.#arm(true);
    const lines = { duties: this.#duties(), handOvers: this.#passed(), troubles: this.#troubles.map(printable) };
    this.#told = this.#coordinator;
    this.#toldRoles.clear();
    for (const role of this.#roles) this.#toldRoles.add(role);
    this.#toldAddress = this.#address;
    this.#handOvers = [];
    this.#troubles = [];
    if (lines.duties !== undefined || lines.handOvers.length > 0 || lines.troubles.length > 0) this.#say(lines);
  }

  #duties(): string | undefined {
    const who = this.#coordinatorWords();
    const passed = new Set(this.#moved().map(({ role }) => role));
    const gained = ROLES.filter((role) => this.#roles.has(role) && !this.#toldRoles.has(role) && !passed.has(role));
    const lost = ROLES.filter((role) => !this.#roles.has(role) && this.#toldRoles.has(role) && !passed.has(role) && this.#whyDropped.get(role) !== 'leaving');
    const subject = who?.startsWith(SELF) ? 'it' : SELF;
    const parts = [
      ...(who === undefined ? [] : [who]),
      ...(gained.length === 0 ? [] : [`${subject} holds ${gained.length === ROLES.length ? 'all roles' : listed(gained)}`]),
      ...[...new Set(lost.map((role) => this.#whyDropped.get(role) ?? ''))].map(
        (why) => `${subject} holds ${listed(lost.filter((role) => this.#whyDropped.get(role) === why))} no more${why ? ` (${handOverWords(why, SELF)})` : ''}`,
      ),
      ...(this.#address === undefined || this.#address === this.#toldAddress ? [] : [`the web page of all is ${this.#address}`]),
    ];
    return parts.length === 0 ? undefined : printable(parts.join('; '));
  }

  #coordinatorWords(): string | undefined {
    const [now, before] = [this.#coordinator, this.#told];
    if (now === undefined || now.peer === before?.peer) return undefined;
    if (now.peer === null) return before ? 'nobody coordinates now' : undefined;
    const nameOf = ({ peer, self, name }: Coordinator): string | undefined => (self ? SELF : peer === null ? undefined : name || shortId(peer));
    const who = nameOf(now) as string;
    return before ? `${who} coordinates now (${electionWords(now.reason, nameOf(before))})` : `${who} coordinates`;
  }

  /** Those of which somebody may want to know: a role has left the one who had it. */
  #moved(): readonly HandoverFacts[] {
    return this.#handOvers.filter(({ from, to }) => from !== null && from !== to);
  }

  /** Roles that passed the same way for the same reason are one line. */
  #passed(): readonly string[] {
    const alike = new Map<string, HandoverFacts[]>();
    for (const facts of this.#moved()) {
      const way = `${facts.from} ${facts.to} ${facts.why}`;
      alike.set(way, [...(alike.get(way) ?? []), facts]);
    }
    return [...alike.values()].map((some) => {
      const [{ from, to, why, names }] = some as [HandoverFacts];
      // only the coordinator hands over, so that its own id is that of this machine
      const nameOf = (id: string, name: string | null): string => (this.#coordinator?.self && id === this.#coordinator.peer ? SELF : name || shortId(id));
      const former = from === null ? undefined : nameOf(from, names.from);
      return printable(`${passedWords([...new Set(some.map(({ role }) => role))], { from: former, to: nameOf(to, names.to) })}: ${handOverWords(why, former)}`);
    });
  }
}
