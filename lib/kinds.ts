// The kinds of registers, by the first part of their keys, and whose they are. Replication treats all alike; what differs is
// what may be dropped when a peer changes networks, and what a person reads in the event log.
import { isId, type NetworkId } from './ids.ts';

/** What one machine says of itself or of others, and can say again or do without: it follows from its disk, is a filter on
 *  reading, or tells what a network did. Everything else, kinds of versions to come included, was made by a person and is never dropped by a program. */
const OWNED_KINDS = ['copy', 'election', 'forget', 'handover', 'here', 'holding', 'leaving', 'unite'] as const;
/** Of these, what is told to people. */
const OWNED_EVENTS = ['election', 'forget', 'handover'] as const satisfies readonly (typeof OWNED_KINDS)[number][];

export const kindOf = (key: string): string => {
  const slash = key.indexOf('/');
  return slash < 0 ? key : key.slice(0, slash);
};

export const isUserData = (key: string): boolean => !(OWNED_KINDS as readonly string[]).includes(kindOf(key));

/** What stands in the event log: what a person did, and who coordinates and holds roles since when. Forgetting a machine is one's
 *  own doing too, though it may be said again; a deletion stands there as that of the thing itself, and not once more as `gone`. */
export const isEvent = (key: string): boolean =>
  isUserData(key) ? kindOf(key) !== 'gone' : (OWNED_EVENTS as readonly string[]).includes(kindOf(key));

/** Where user data lies among rows, which are keys that end in NUL: before, between and after the kinds that are owned. The keys
 *  of a kind are its name, and what begins with its name and '/'; '0' is the letter after '/'. */
export const USER_DATA_RANGES: readonly { readonly gte?: string; readonly lt?: string }[] = [
  ...OWNED_KINDS.flatMap((kind, i) => [
    { ...(i > 0 && { gte: `${OWNED_KINDS[i - 1]}0` }), lt: kind },
    { gte: `${kind}\u0001`, lt: `${kind}/` },
  ]),
  { gte: `${OWNED_KINDS.at(-1)}0` },
];

const UNITE = 'unite/';

/** `unite/<network id>`: a person has declared this network and its own to be one. */
export const uniteKey = (network: NetworkId): string => `${UNITE}${network}`;

export function unitedNetwork(key: string): NetworkId | undefined {
  const id = key.startsWith(UNITE) ? key.slice(UNITE.length) : undefined;
  return isId(id) ? (id as string as NetworkId) : undefined;
}
