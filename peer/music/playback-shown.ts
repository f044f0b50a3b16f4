// What `status` shows of playing.
import type { PeerId } from '../../lib/ids.ts';
import type { Millis } from '../../lib/time.ts';
import type { ExchangeStats } from '../chunks/exchange-stats.ts';
import type { PlaybackJson } from '../http/schemas.ts';

/** Tenths are what a clock can be believed. */
const shownMs = (ms: Millis | null): number | null => (ms === null ? null : Math.round(ms * 10) / 10);

export function playbackShown(
  { plays, failures, recentFirstByteMs: { p50, p99 }, stalls, stalledMs, bytes, hedges, wrongChunks }: ExchangeStats,
  rates: Iterable<{ readonly peer: PeerId; readonly bytesPerSecond: number }>,
  nameOf: (peer: PeerId) => string,
): PlaybackJson {
  const providers = [...rates].map(({ peer, bytesPerSecond }) => ({ id: peer, name: nameOf(peer), bytesPerSecond: Math.round(bytesPerSecond) }));
  return {
    plays,
    failures,
    firstByteMs: { p50: shownMs(p50), p99: shownMs(p99) },
    stalls,
    stalledMs: Math.round(stalledMs),
    bytes: { ...bytes },
    hedges,
    wrongChunks,
    providers: providers.sort((a, b) => b.bytesPerSecond - a.bytesPerSecond),
  };
}
