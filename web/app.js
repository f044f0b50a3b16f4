// Puts the page together: the search box, the list, the queue, the player, the peers, and the keys that work everywhere.
import { ApiError, follow, search, status } from './api.js';
import { byId, element, icon, plural, toast } from './dom.js';
import { SongList } from './list.js';
import { showPeers } from './peers.js';
import { createPlayer } from './player.js';
import { Queue, shuffle } from './queue.js';

const TYPING_PAUSE_MS = 120;
/** While a scan runs, the list follows it no faster than somebody reads. */
const REFRESH_MS = 2_000;
const SHUFFLE_SONGS = 200;

const queue = new Queue();
const player = createPlayer(queue);
const list = new SongList();
let latest;

const complain = (error) => {
  if (error.name === 'AbortError') return;
  if (!(error instanceof ApiError)) console.error(error);
  toast(error instanceof ApiError ? error.message : 'Something went wrong in this page.');
};

// --- status

async function refreshStatus() {
  latest = await status();
  const names = new Map([[latest.peer.id, latest.peer.name], ...latest.members.map(({ id, name }) => [id, name])]);
  list.nameOfPeer = (id) => names.get(id) ?? 'another peer';
  showPeers(latest);
  showEmpty();
}

// --- songs

function showCount() {
  byId('songs-title').textContent = list.words ? `“${list.words}”` : 'All songs';
  byId('songs-count').textContent = list.total === 0 ? '' : plural(list.total, 'song');
  byId('actions').hidden = list.total === 0;
}

/** What to do, where there is nothing to show. */
function showEmpty() {
  const box = byId('empty');
  box.hidden = !list.shown || list.total > 0;
  document.querySelector('.columns').hidden = list.shown && list.total === 0;
  if (list.total > 0 || latest === undefined) return;
  if (list.words) {
    box.replaceChildren(element('h2', {}, 'No song matches'), element('p', {}, 'Fewer letters find more: the beginnings of words are enough, in any order.'));
    return;
  }
  const parts = [
    element('h2', {}, latest.catalog.scanning ? 'Looking for music…' : 'No music yet'),
    element('p', {}, 'Start this peer with the folders that hold your music, or start a peer on a machine that has some. It shows here within seconds.'),
    element('p', {}, element('code', {}, 'spotify-peer start ~/Music')),
  ];
  if (latest.sample) {
    const play = element('button', { type: 'button', className: 'primary' }, icon('play'), 'Play a sample');
    play.addEventListener('click', () => queue.start({ ...latest.sample, album: '', id: 'sample', sample: true }));
    parts.push(play, element('p', { className: 'quiet' }, 'Generated on this machine, so that you can hear that it works.'));
  }
  box.replaceChildren(...parts);
}

const show = (words, options) => list.show(words, options).catch(complain);

list.addEventListener('shown', () => {
  showCount();
  showEmpty();
});
list.addEventListener('add', ({ detail }) => {
  queue.add(detail.song);
  if (queue.current === undefined) queue.next();
  else toast(`“${detail.song.title}” is in the queue.`);
});
list.addEventListener('play', ({ detail: { song, at } }) => {
  if (song.id === queue.current?.id) {
    player.toggle();
    return;
  }
  void playFrom(song, at);
});

/** Begins at once; what follows comes when it is loaded. */
async function playFrom(song, at) {
  queue.start(song);
  try {
    const following = await list.following(at);
    if (queue.current === song) queue.extend(following);
  } catch (error) {
    complain(error);
  }
}

byId('play-all').addEventListener('click', () => {
  const song = list.songAt(0);
  if (song) void playFrom(song, 0);
  else search(list.words, { limit: 1, offset: 0 }).then(({ songs }) => songs[0] && playFrom(songs[0], 0), complain);
});
byId('shuffle-all').addEventListener('click', () => {
  list.sample(SHUFFLE_SONGS).then((songs) => {
    const [first, ...rest] = shuffle(songs);
    if (first) {
      queue.start(first);
      queue.extend(rest);
    }
  }, complain);
});

// --- search

const input = byId('search');
let typing;

function searchFor(words) {
  const address = new URL(location.href);
  if (words) address.searchParams.set('q', words);
  else address.searchParams.delete('q');
  history.replaceState(null, '', address);
  setView('songs');
  void show(words);
}

input.addEventListener('input', () => {
  clearTimeout(typing);
  typing = setTimeout(() => searchFor(input.value.trim()), TYPING_PAUSE_MS);
});
input.addEventListener('keydown', (event) => {
  if (event.key === 'ArrowDown') {
    event.preventDefault();
    list.focus();
  } else if (event.key === 'Escape') {
    input.value = '';
    searchFor('');
  }
});
byId('search-form').addEventListener('submit', (event) => {
  event.preventDefault();
  clearTimeout(typing);
  searchFor(input.value.trim());
  // A phone's keyboard covers the answers.
  if (matchMedia('(pointer: coarse)').matches) input.blur();
});

// --- queue

function showQueue() {
  byId('queue-list').replaceChildren(
    ...queue.entries.map(({ song }, at) => {
      const current = at === queue.index;
      const jump = element('button', { type: 'button', className: 'jump' }, element('strong', {}, song.title), element('span', {}, song.artist || 'Unknown artist'));
      jump.addEventListener('click', () => queue.jump(at));
      const row = element('li', { className: current ? 'current' : at < queue.index ? 'played' : '' }, jump);
      if (current) jump.setAttribute('aria-current', 'true');
      else {
        const remove = element('button', { type: 'button', className: 'act', 'aria-label': `Remove ${song.title} from the queue` }, icon('remove'));
        remove.addEventListener('click', () => queue.remove(at));
        row.append(remove);
      }
      return row;
    }),
  );
  byId('queue-empty').hidden = queue.entries.length > 0;
  byId('queue-clear').hidden = queue.entries.length < 2;
  byId('shuffle').setAttribute('aria-pressed', String(queue.shuffled));
}

const showPlaying = () => list.setPlaying(queue.current, player.paused);

queue.addEventListener('change', ({ detail }) => {
  showQueue();
  showPlaying();
  if (detail.song) byId('queue-list').querySelector('.current')?.scrollIntoView({ block: 'nearest' });
});
for (const event of ['play', 'pause']) byId('audio').addEventListener(event, showPlaying);
byId('queue-clear').addEventListener('click', () => queue.clear());
byId('shuffle').addEventListener('click', () => queue.setShuffled(!queue.shuffled));

// --- views (a phone shows one at a time) and keys

function setView(name) {
  document.body.dataset.view = name;
  for (const tab of document.querySelectorAll('.tabs button')) tab.setAttribute('aria-pressed', String(tab.dataset.view === name));
}
document.querySelector('.tabs').addEventListener('click', (event) => {
  const view = event.target.closest('button')?.dataset.view;
  if (view) setView(view);
});

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input')) return;
  const keys = {
    '/': () => input.focus(),
    ' ': event.target.closest('button') ? undefined : player.toggle,
    ArrowLeft: () => (event.shiftKey ? player.previous() : player.seek(-1)),
    ArrowRight: () => (event.shiftKey ? player.next() : player.seek(1)),
  };
  const act = keys[event.key];
  if (act === undefined) return;
  event.preventDefault();
  act();
});

// --- live

let refreshing;

function refreshSoon() {
  refreshing ??= setTimeout(() => {
    refreshing = undefined;
    void show(list.words, { keep: true });
  }, REFRESH_MS);
}

let connected = true;
follow(
  (kind) => {
    refreshStatus().catch(complain);
    if (kind === 'catalog' || kind === 'network') refreshSoon();
  },
  (now) => {
    if (now !== connected) toast(now ? 'Connected again.' : 'The connection to this peer is lost; trying again.');
    if (now && !connected) refreshSoon();
    connected = now;
  },
);

setView('songs');
showQueue();
input.value = new URLSearchParams(location.search).get('q') ?? '';
// Names first, so that the rows can say on which peers a song is.
refreshStatus()
  .catch(complain)
  .then(() => show(input.value.trim()));
