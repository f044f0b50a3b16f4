// One event of the log as a person reads it: Lamport time, wall time where it is known, the machine, and what was done in words.
import { shortId } from '../lib/ids.ts';
import type { EventJson } from '../peer/http/log-schemas.ts';
import type { Colors } from './print.ts';
import { fit, printable } from './text.ts';

/** What an event names by ids, as a person knows it. */
export interface Names {
  song(id: string): Promise<string>;
  peer(id: string): string;
}

interface Sentence {
  /** The parts of the key that it names; an event without them is of a newer version's form. */
  readonly needs: readonly string[];
  words(parts: Readonly<Record<string, string>>, options: { readonly deleted: boolean; readonly names: Names }): string | Promise<string>;
}

const SENTENCES: Readonly<Record<string, Sentence>> = {
  forget: { needs: ['peer'], words: ({ peer = '' }, { deleted, names }) => `${deleted ? 'remembered' : 'forgot'} ${names.peer(peer)}` },
  profile: { needs: ['profile'], words: ({ profile }, { deleted }) => `${deleted ? 'deleted' : 'wrote'} profile ${profile}` },
  playlist: { needs: ['playlist'], words: ({ playlist = '' }, { deleted }) => `${deleted ? 'deleted' : 'wrote'} playlist ${shortId(playlist)}` },
  item: { needs: ['playlist'], words: ({ playlist = '' }, { deleted }) => `${deleted ? 'took a song out of' : 'put a song into'} playlist ${shortId(playlist)}` },
  star: songOf('starred', 'unstarred'),
  rating: songOf('rated', 'took back the rating of'),
  play: songOf('played', 'did not play'),
  session: { needs: ['profile', 'device'], words: ({ profile, device }, { deleted }) => `${profile} ${deleted ? 'ended' : 'changed'} the queue on ${device}` },
};

function songOf(done: string, undone: string): Sentence {
  return {
    needs: ['profile', 'song'],
    words: async ({ profile, song = '' }, { deleted, names }) => `${profile} ${deleted ? undone : done} ${await names.song(song)}`,
  };
}

async function wordsOf(event: EventJson, names: Names): Promise<string> {
  const deleted = event.deleted === true;
  const sentence = Object.hasOwn(SENTENCES, event.kind) ? SENTENCES[event.kind] : undefined;
  if (!sentence?.needs.every((name) => typeof event[name] === 'string')) return `${deleted ? 'deleted' : 'wrote'} ${event.key}`;
  return sentence.words(event as unknown as Record<string, string>, { deleted, names });
}

const LAMPORT_COLUMNS = 8;
const NAME_COLUMNS = 14;

/** '2026-03-05 20:15:09' by the clock of this machine's zone. */
function formatTime(at: string | null): string {
  if (at === null) return fit('-', 19);
  const date = new Date(at);
  return fit(new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19).replace('T', ' '), 19);
}

export async function eventLine(event: EventJson, { names, colors }: { readonly names: Names; readonly colors: Colors }): Promise<string> {
  const columns = [
    colors.dim(fit(String(event.lamport), LAMPORT_COLUMNS, 'right')),
    colors.dim(formatTime(event.at)),
    colors.bold(fit(event.name || shortId(event.origin), NAME_COLUMNS)),
    `${printable(await wordsOf(event, names))}${event.settled ? '' : colors.yellow(' ~')}`,
  ];
  return columns.join('  ');
}
