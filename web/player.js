// Sound: an <audio> element that plays the queue, and the controls around it, here and on the lock screen.
import { audioUrl } from './api.js';
import { byId, clock, hue, setIcon, slide, toast } from './dom.js';

const SEEK_SECONDS = 5;
/** Songs that fail in a row before it gives up: with all of them gone, skipping on would never end. */
const FAILURES_MAX = 3;

/** @param {import('./queue.js').Queue} queue */
export function createPlayer(queue) {
  const audio = byId('audio');
  const position = byId('position');
  let failures = 0;
  let seeking = false;

  function load() {
    const song = queue.current;
    audio.src = audioUrl(song, queue.upcoming);
    audio.play().catch((error) => {
      // A browser that wants a click first; anything else comes as the element's own 'error'.
      if (error.name === 'NotAllowedError') toast('Press play to begin.');
    });
    byId('now-title').textContent = song.title;
    byId('now-artist').textContent = song.artist;
    const cover = byId('now-cover');
    cover.classList.remove('none');
    cover.style.setProperty('--hue', String(hue(song)));
    document.title = song.artist ? `${song.title} · ${song.artist}` : song.title;
    position.disabled = false;
    if ('mediaSession' in navigator) {
      navigator.mediaSession.metadata = new MediaMetadata({ title: song.title, artist: song.artist, album: song.album });
    }
  }

  function showState() {
    const button = byId('toggle');
    button.disabled = queue.current === undefined;
    button.setAttribute('aria-label', audio.paused ? 'Play' : 'Pause');
    setIcon(button, audio.paused ? 'play' : 'pause');
    byId('next').disabled = !queue.hasNext;
    byId('previous').disabled = queue.current === undefined;
    if ('mediaSession' in navigator) navigator.mediaSession.playbackState = queue.current === undefined ? 'none' : audio.paused ? 'paused' : 'playing';
  }

  /** The file's own length, or the catalog's until it is known. */
  const length = () => (Number.isFinite(audio.duration) ? audio.duration : (queue.current?.durationMs ?? 0) / 1000);

  function showTime() {
    const seconds = length();
    slide(position, seeking ? Number(position.value) : seconds > 0 ? audio.currentTime / seconds : 0);
    const at = seeking ? Number(position.value) * seconds : audio.currentTime;
    byId('elapsed').textContent = clock(at);
    byId('duration').textContent = clock(seconds);
    position.setAttribute('aria-valuetext', `${clock(at)} of ${clock(seconds)}`);
  }

  const player = {
    get paused() {
      return audio.paused;
    },
    toggle() {
      if (queue.current === undefined) return;
      if (audio.paused) void audio.play().catch(() => {});
      else audio.pause();
    },
    next: () => queue.next(),
    /** As everywhere: back to the beginning first, to the song before within its first seconds. */
    previous() {
      if (audio.currentTime > 3 || !queue.hasPrevious) audio.currentTime = 0;
      else queue.previous();
    },
    /** @param {number} direction */
    seek(direction) {
      if (queue.current !== undefined) audio.currentTime = Math.min(length(), Math.max(0, audio.currentTime + direction * SEEK_SECONDS));
    },
  };

  queue.addEventListener('change', ({ detail }) => {
    if (detail.song) load();
    showState();
  });
  for (const event of ['play', 'pause', 'emptied']) audio.addEventListener(event, showState);
  for (const event of ['timeupdate', 'durationchange', 'emptied']) audio.addEventListener(event, showTime);
  audio.addEventListener('playing', () => {
    failures = 0;
  });
  audio.addEventListener('ended', () => queue.next());
  audio.addEventListener('error', () => {
    const { title } = queue.current ?? {};
    if (title === undefined) return;
    failures += 1;
    const unsupported = audio.error?.code === MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED;
    toast(`“${title}” ${unsupported ? 'cannot be played here, or nobody who has it is there.' : 'broke off.'}`);
    if (failures < FAILURES_MAX && queue.hasNext) setTimeout(() => queue.next(), 1200);
  });
  position.addEventListener('input', () => {
    seeking = true;
    showTime();
  });
  position.addEventListener('change', () => {
    seeking = false;
    audio.currentTime = Number(position.value) * length();
  });
  byId('toggle').addEventListener('click', player.toggle);
  byId('next').addEventListener('click', player.next);
  byId('previous').addEventListener('click', player.previous);
  byId('now-cover').classList.add('none');

  const volume = byId('volume');
  const setVolume = (value) => {
    audio.volume = value;
    slide(volume, value);
  };
  setVolume(Number(localStorage.getItem('volume') ?? 1));
  volume.addEventListener('input', () => {
    setVolume(Number(volume.value));
    localStorage.setItem('volume', volume.value);
  });

  if ('mediaSession' in navigator) {
    const actions = { play: player.toggle, pause: player.toggle, nexttrack: player.next, previoustrack: player.previous, seekbackward: () => player.seek(-2), seekforward: () => player.seek(2) };
    for (const [action, handler] of Object.entries(actions)) navigator.mediaSession.setActionHandler(action, handler);
    navigator.mediaSession.setActionHandler('seekto', ({ seekTime }) => {
      audio.currentTime = seekTime;
    });
  }
  return player;
}
