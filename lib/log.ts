// What a running peer tells: an event with its facts. `start` prints them as lines for people or, with --json, as NDJSON.

export type LogEvent =
  | 'ready'
  | 'scan'
  | 'scanned'
  | 'member'
  | 'network'
  | 'clone'
  | 'cloned'
  | 'apart'
  | 'adopted'
  | 'leap'
  | 'returned'
  | 'store-salvaged'
  | 'synced'
  | 'liar'
  | 'version'
  | 'file-changed'
  | 'damaged'
  | 'copy-failed'
  | 'coordinator'
  | 'handover'
  | 'role'
  | 'service'
  | 'gateway-name'
  | 'insane-term'
  | 'slept'
  | 'trouble';

export type Log = (event: LogEvent, facts: Readonly<Record<string, unknown>>) => void;
