// The HTTP API of the peer that serves this page: the only thing that the page knows.

/** A failed request, with the one line that the peer gives for people. */
export class ApiError extends Error {}

/** @param {string} path @param {RequestInit} [options] */
async function ask(path, options) {
  const answer = await fetch(path, options).catch(() => {
    throw new ApiError('This peer does not answer. Is it still running?');
  });
  const body = await answer.json().catch(() => undefined);
  if (!answer.ok) throw new ApiError(body?.error?.message ?? `The peer answered ${answer.status}.`);
  return body;
}

/** @param {string} words @param {{ limit: number, offset: number, signal?: AbortSignal }} page */
export const search = (words, { limit, offset, signal }) =>
  ask(`/api/search?${new URLSearchParams({ q: words, limit: String(limit), offset: String(offset) })}`, { signal });

export const status = () => ask('/api/status');

/** @param {{ id?: string, sample?: boolean }} song */
/** @param next what is played after it, if anything: its peer fetches that in advance */
export const audioUrl = (song, next) => (song.sample ? '/api/sample' : `/api/songs/${song.id}/audio${next && !next.sample ? `?next=${next.id}` : ''}`);

/** Calls back with the kind of what changed; and, with undefined, after every new connection, since which anything may
 *  have changed. Only while the page is seen: a browser has six connections to one peer for all its tabs together.
 *  @param {(kind: string | undefined) => void} changed @param {(connected: boolean) => void} connection */
export function follow(changed, connection) {
  let source;
  const open = () => {
    source = new EventSource('/api/events');
    source.onopen = () => {
      connection(true);
      changed(undefined);
    };
    source.onerror = () => connection(false);
    for (const kind of ['cache', 'catalog', 'members', 'network', 'scan', 'userData']) source.addEventListener(kind, () => changed(kind));
  };
  document.addEventListener('visibilitychange', () => {
    source?.close();
    source = undefined;
    if (!document.hidden) open();
  });
  if (!document.hidden) open();
}
