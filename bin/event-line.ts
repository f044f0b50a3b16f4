// One event of the log as a person reads it: Lamport time, wall time where it is known, the machine, and what was done in words.
//
// The log has the newest word of each machine on each key, so it does not tell by itself whether a song was put into a playlist or
// moved in it. That is told where the reader has seen the word before (`before`); else the commoner of the two is said.
import { shortId } from '../lib/ids.ts';
import type { EventJson } from '../peer/http/log-schemas.ts';
import { electionWords, handOverWords, passedWords } from './coordination-words.ts';
import type { Colors } from './print.ts';
import { fit, formatDuration, plural, printable } from './text.ts';

/** What an event names by ids, as a person knows it. */
export interface Names {
  song(id: string): Promise<string>;
  playlist(id: string): Promise<string>;
  peer(id: string): string;
}

interface Said {
  readonly event: EventJson;
  readonly before: EventJson | undefined;
  readonly deleted: boolean;
  readonly names: Names;
}

interface Sentence {
  /** The parts of the key that it names; an event without them is of a newer version's form. */
  readonly needs: readonly string[];
  words(parts: Readonly<Record<string, string>>, said: Said): string | Promise<string>;
}

const SENTENCES: Readonly<Record<string, Sentence>> = {
  forget: { needs: ['peer'], words: ({ peer = '' }, { deleted, names }) => `${deleted ? 'remembered' : 'forgot'} ${names.peer(peer)}` },
  election: {
    needs: ['coordinator', 'reason'],
    words: ({ coordinator = '', reason = '' }, { event, names }) =>
      `${names.peer(coordinator)} coordinates now, term ${String(event['term'])}: ${electionWords(reason, peerIn(event, 'before', names))}`,
  },
  handover: {
    needs: ['role', 'to', 'why'],
    words: ({ role = '', to = '', why = '' }, { event, names }) => {
      const from = peerIn(event, 'from', names);
      return `${passedWords([role], { from, to: names.peer(to), again: event['from'] === to })}: ${handOverWords(why, from)}`;
    },
  },
  profile: { needs: ['profile'], words: ({ profile, profileName = profile }, { deleted }) => `${deleted ? 'deleted' : 'made'} profile ${profileName}` },
  playlist: { needs: ['playlist'], words: playlistWords },
  item: { needs: ['playlist'], words: itemWords },
  setting: {
    needs: ['setting'],
    words: (_parts, { event, deleted }) => (deleted ? 'took back how many copies are made' : `wants each song on ${plural(Number(event['copies']), 'machine')}`),
  },
  star: { needs: ['profile', 'song'], words: async ({ profile, song = '' }, { deleted, names }) => `${profile} ${deleted ? 'unstarred' : 'starred'} ${await names.song(song)}` },
  rating: {
    needs: ['profile', 'song'],
    words: async ({ profile, song = '' }, { event, deleted, names }) => {
      const title = await names.song(song);
      if (deleted) return `${profile} took back the rating of ${title}`;
      return `${profile} rated ${title}${typeof event['rating'] === 'number' ? ` ${event['rating']} of 5` : ''}`;
    },
  },
  play: {
    needs: ['profile', 'song'],
    words: async ({ profile, song = '' }, { event, deleted, names }) => {
      const { listenedMs } = event;
      return `${profile} ${deleted ? 'took back having played' : 'played'} ${await names.song(song)}${typeof listenedMs === 'number' ? ` for ${formatDuration(listenedMs)}` : ''}`;
    },
  },
  session: {
    needs: ['profile', 'device'],
    words: async ({ profile, device = '', song }, { event, deleted, names }) => {
      const where = `on device ${shortId(device)}`;
      if (deleted) return `${profile} ended the queue ${where}`;
      if (typeof song === 'string') return `${profile} ${event['playing'] === true ? 'plays' : 'paused'} ${await names.song(song)} ${where}`;
      return `${profile} ${event['songs'] === 0 ? 'emptied' : 'changed'} the queue ${where}`;
    },
  },
};

const peerIn = (event: EventJson, part: string, names: Names): string | undefined => {
  const id = event[part];
  return typeof id === 'string' ? names.peer(id) : undefined;
};

/** What machines did by themselves stands back behind what people did. */
const isQuiet = ({ kind }: EventJson): boolean => kind === 'election' || kind === 'handover';

/** An introduction of its owner may come between the time when a playlist is born and its first word. Who renames one sooner than
 *  that has made it so, as far as anybody can tell. */
const isMade = ({ born, lamport }: EventJson): boolean => typeof born === 'number' && lamport <= born + 2;

function playlistWords({ playlist = '', profile, playlistName }: Readonly<Record<string, string>>, { event, before, deleted }: Said): string {
  const formerly = typeof before?.['playlistName'] === 'string' ? before['playlistName'] : undefined;
  if (deleted) return `deleted playlist ${formerly ?? shortId(playlist)}`;
  if (playlistName === undefined) return `wrote playlist ${shortId(playlist)}`;
  if (formerly !== undefined && formerly !== playlistName) return `renamed playlist ${formerly} to ${playlistName}`;
  return isMade(event) ? `${profile} made playlist ${playlistName}` : `named playlist ${playlistName}`;
}

async function itemWords({ playlist = '', song }: Readonly<Record<string, string>>, { before, deleted, names }: Said): Promise<string> {
  const which = song ?? before?.['song'];
  const [title, list] = await Promise.all([typeof which === 'string' ? names.song(which) : 'a song', names.playlist(playlist)]);
  if (deleted) return `took ${title} out of ${list}`;
  return before ? `moved ${title} in ${list}` : `put ${title} into ${list}`;
}

async function wordsOf(said: Said): Promise<string> {
  const { event, deleted } = said;
  const sentence = Object.hasOwn(SENTENCES, event.kind) ? SENTENCES[event.kind] : undefined;
  if (!sentence?.needs.every((name) => typeof event[name] === 'string')) return `${deleted ? 'deleted' : 'wrote'} ${event.key}`;
  return sentence.words(event as unknown as Record<string, string>, said);
}

/** Playlists and their items carry the time of their making along; it does not say when they were changed. */
const isDated = ({ event, before }: Said): boolean => (event.kind === 'playlist' ? isMade(event) : event.kind !== 'item' || before === undefined);

const LAMPORT_COLUMNS = 8;
const NAME_COLUMNS = 14;

/** '2026-03-05 20:15:09' by the clock of this machine's zone. */
function formatTime(at: string | null): string {
  if (at === null) return fit('-', 19);
  const date = new Date(at);
  return fit(new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19).replace('T', ' '), 19);
}

export interface EventLineOptions {
  readonly names: Names;
  readonly colors: Colors;
  /** What was said of the same key before, if the reader knows. */
  readonly before?: EventJson | undefined;
}

export async function eventLine(event: EventJson, { names, colors, before }: EventLineOptions): Promise<string> {
  const said: Said = { event, before: before?.deleted === true ? undefined : before, deleted: event.deleted === true, names };
  const words = printable(await wordsOf(said));
  const columns = [
    colors.dim(fit(String(event.lamport), LAMPORT_COLUMNS, 'right')),
    colors.dim(formatTime(isDated(said) ? event.at : null)),
    colors.bold(fit(event.name || shortId(event.origin), NAME_COLUMNS)),
    `${isQuiet(event) ? colors.dim(words) : words}${event.settled ? '' : colors.yellow(' ~')}`,
  ];
  return columns.join('  ');
}
