// What the event log says of an operation beside its stamp: the parts of its key by their names, and what this version
// understands of its value. A kind is one row of a table. Kinds of newer versions, and keys that are not as expected, are shown
// by kind and key alone.
import { kindOf } from '../lib/kinds.ts';
import type { Operation, Value } from '../lib/operation.ts';

/** JSON of one event, without what depends on who looks. */
export interface EventFacts {
  readonly kind: string;
  readonly key: string;
  /** Wall time in ISO form, if the value carries one: for display, it orders nothing. */
  readonly at: string | null;
  readonly deleted?: true;
  readonly [part: string]: unknown;
}

interface Kind {
  /** `<profile>` is a part of the key under that name, anything else stands there as it is. */
  readonly key: string;
  /** Further facts. `at` is wall time in milliseconds. What it throws means that the value is a newer version's. */
  readonly value?: (value: Value) => { readonly at?: number; readonly [fact: string]: unknown };
}

const KINDS: readonly Kind[] = [
  { key: 'forget/<peer>' },
  { key: 'profile/<profile>' },
  { key: 'playlist/<playlist>' },
  { key: 'item/<playlist>/<item>' },
  { key: 'star/<profile>/song/<song>' },
  { key: 'rating/<profile>/song/<song>' },
  { key: 'play/<profile>/<song>/<play>' },
  { key: 'session/<profile>/<device>' },
];

const TABLE: ReadonlyMap<string, Kind> = new Map(KINDS.map((kind) => [kindOf(kind.key), kind]));
/** What a Date can hold. */
const WALL_MS_MAX = 8.64e15;

export function describeEvent({ key, value }: Pick<Operation, 'key' | 'value'>): EventFacts {
  const kind = TABLE.get(kindOf(key));
  const parts = kind && partsOf(kind.key, key);
  const { at, ...facts } = (parts && value && valueOf(kind, value)) ?? {};
  return {
    ...facts,
    ...parts,
    kind: kindOf(key),
    key,
    at: at !== undefined && Math.abs(at) <= WALL_MS_MAX ? new Date(at).toISOString() : null,
    ...(value === null && { deleted: true }),
  };
}

function partsOf(pattern: string, key: string): Record<string, string> | undefined {
  const names = pattern.split('/');
  const texts = key.split('/');
  if (names.length !== texts.length) return undefined;
  const parts: Record<string, string> = {};
  for (const [i, name] of names.entries()) {
    const text = texts[i] as string;
    if (name.startsWith('<')) parts[name.slice(1, -1)] = decoded(text);
    else if (name !== text) return undefined;
  }
  return parts;
}

/** Names of people are written into keys like into addresses. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function valueOf(kind: Kind, value: Value): ReturnType<NonNullable<Kind['value']>> | undefined {
  try {
    return kind.value?.(value);
  } catch {
    return undefined;
  }
}
