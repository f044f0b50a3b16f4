// The kinds of registers, by the first part of their keys, and whose they are. Replication treats all alike; what differs is
// what may be dropped when a peer changes networks, and what a person reads in the event log.

/** What one machine says of itself or of others, and can say again: it follows from its disk or is a filter on reading.
 *  Everything else, kinds of versions to come included, was made by a person and is never dropped by a program. */
const OWNED_KINDS: ReadonlySet<string> = new Set(['holding', 'copy', 'here', 'forget', 'unite']);

export const kindOf = (key: string): string => {
  const slash = key.indexOf('/');
  return slash < 0 ? key : key.slice(0, slash);
};

export const isUserData = (key: string): boolean => !OWNED_KINDS.has(kindOf(key));

/** What stands in the event log: what a person did. Forgetting a machine is one's own doing too, though it may be said again. */
export const isEvent = (key: string): boolean => isUserData(key) || kindOf(key) === 'forget';
