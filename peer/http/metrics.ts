// /metrics: what `status` says and what playing took, as Prometheus reads it (its text format 0.0.4). A registry is made for each
// answer of figures that are kept elsewhere, so nothing here has to be kept in step. prom-client is loaded by the first who asks:
// it costs 30 ms and 11 MB, and most peers are never asked.
import { ROLES } from '../../lib/roles.ts';
import { type Distribution, type ExchangeStats, FIRST_BYTE_BOUNDS_MS } from '../chunks/exchange-stats.ts';
import type { StatusJson } from './schemas.ts';

export interface Measured {
  readonly status: StatusJson;
  readonly stats: ExchangeStats;
  /** Of the program. */
  readonly version: string;
}

/** A value for each set of labels; there may be none. */
interface Labelled {
  readonly labelNames: readonly string[];
  readonly values: readonly (readonly [labels: Readonly<Record<string, string>>, value: number])[];
}

const by = (labelName: string, values: readonly (readonly [label: string, value: number])[]): Labelled => ({
  labelNames: [labelName],
  values: values.map(([label, value]) => [{ [labelName]: label }, value]),
});
const single = (value: number): Labelled => ({ labelNames: [], values: [[{}, value]] });

/** A name that its peer chose. The library escapes quotes, backslashes and line ends; not every reader gets over other controls, or what else ends lines. */
const labelOf = (name: string): string => name.toWellFormed().replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, ' ');

const STATES = ['alive', 'suspect', 'dead', 'left'] as const;

/** @returns the text, and its media type */
export async function metricsOf({ status, stats, version }: Measured): Promise<{ readonly text: string; readonly type: string }> {
  const { Counter, Gauge, Histogram, Registry } = await import('prom-client');
  const registry = new Registry();
  const registers = [registry];
  const gauge = (name: string, help: string, value: number | Labelled): void => {
    const { labelNames, values } = typeof value === 'number' ? single(value) : value;
    const metric = new Gauge({ name, help, labelNames, registers });
    for (const [labels, each] of values) metric.set(labels, each);
  };
  const counter = (name: string, help: string, value: number | Labelled): void => {
    const { labelNames, values } = typeof value === 'number' ? single(value) : value;
    const metric = new Counter({ name, help, labelNames, registers });
    for (const [labels, each] of values) metric.inc(labels, each);
  };
  /** prom-client fills a histogram one observation at a time; this one is full already. */
  class FilledHistogram extends Histogram {
    readonly #facts: { readonly name: string; readonly help: string; readonly distribution: Distribution };

    constructor(facts: { readonly name: string; readonly help: string; readonly distribution: Distribution }) {
      super({ name: facts.name, help: facts.help, registers });
      this.#facts = facts;
    }

    /** What the registry asks for, in place of the `get` that the types speak of. */
    getForPromString() {
      const { name, help, distribution: { counts, count, sumMs } } = this.#facts;
      let below = 0;
      const buckets = FIRST_BYTE_BOUNDS_MS.map((ms, i) => ({ metricName: `${name}_bucket`, labels: { le: ms / 1_000 }, value: (below += counts[i] as number) }));
      const whole = [
        { metricName: `${name}_bucket`, labels: { le: '+Inf' }, value: count },
        { metricName: `${name}_sum`, value: sumMs / 1_000 },
        { metricName: `${name}_count`, value: count },
      ];
      return { name, help, type: 'histogram', values: [...buckets, ...whole] };
    }
  }

  const { peer, network, members, coordinator, roles, catalog, copies, cache, replication, playback } = status;
  gauge('spotify_peer_build_info', 'Version of the program, of the protocol between peers and of Node; always 1', {
    labelNames: ['version', 'protocol', 'node'],
    values: [[{ version, protocol: String(network.version ?? ''), node: process.versions.node }, 1]],
  });
  gauge('spotify_peer_members', 'Other peers of the network, by what is known of them', by('state', STATES.map((state) => [state, members.filter((member) => member.state === state).length])));
  gauge('spotify_peer_coordinator', '1 while this peer coordinates', Number(coordinator?.id === peer.id));
  gauge('spotify_peer_coordinator_known', '1 while this peer coordinates or follows a coordinator', Number(coordinator !== null));
  gauge('spotify_peer_coordination_term', 'Term of the coordinator that this peer knows; 0 without one', coordinator?.term ?? 0);
  gauge('spotify_peer_role_held', '1 while this peer holds the role', by('role', ROLES.map((role) => [role, Number(roles[role] === peer.id)])));
  gauge('spotify_peer_catalog_songs', 'Songs that some peer of the network has', catalog.songs);
  gauge('spotify_peer_catalog_own_songs', 'Songs that lie in the music folders of this peer', catalog.ownSongs);
  gauge('spotify_peer_cache_bytes', 'Bytes that the chunk cache takes', cache.bytes);
  gauge('spotify_peer_cache_limit_bytes', 'Bytes that the chunk cache may take', cache.bytesMax);
  gauge('spotify_peer_cache_songs', 'Songs of which the cache has some or all', cache.songs);
  // counting goes through all songs, and nobody counts for a scrape: of the last count, with its age
  if (copies != null) {
    gauge('spotify_peer_copies_songs', 'Songs by the number of machines here that hold them whole, as counted last', by('machines', Object.entries(copies.songs)));
    gauge('spotify_peer_copies_lacking_songs', 'Songs that were on fewer machines than is wanted and could be', copies.toDo);
    gauge('spotify_peer_copies_missing_songs', 'Songs that no machine held whole that was here', copies.missing);
    gauge('spotify_peer_copies_age_seconds', 'How long ago they were counted', (copies.ageMs ?? 0) / 1_000);
  }
  gauge('spotify_peer_replication_behind_operations', 'Operations that others wrote and that are still to come', replication.behind);
  counter('spotify_peer_dropped_total', 'What came from outside and was not taken, since this peer joined its network', by('reason', Object.entries(network.dropped ?? {})));

  new FilledHistogram({ name: 'spotify_peer_play_first_byte_seconds', help: 'Time from the request of a player to its first byte of sound', distribution: stats.firstByteTimes });
  counter('spotify_peer_play_failures_total', 'Plays that got nothing, or not all, for want of a peer that has it', stats.failures);
  counter('spotify_peer_play_stalls_total', 'Times that a player which plays from the first byte on would have fallen silent, waiting for this peer', stats.stalls);
  counter('spotify_peer_play_stalled_seconds_total', 'How long such players would have been silent', stats.stalledMs / 1_000);
  counter('spotify_peer_read_bytes_total', 'Bytes of sound that were read here, by where they were found', by('source', Object.entries(stats.bytes)));
  counter('spotify_peer_hedges_total', 'Late chunks that were asked of a second provider', stats.hedges);
  counter('spotify_peer_wrong_chunks_total', 'Chunks, manifests and edges that were not what was asked for, and were not played', stats.wrongChunks);
  gauge('spotify_peer_provider_bytes_per_second', 'Measured rate of each provider that was asked lately', {
    labelNames: ['peer', 'name'],
    values: (playback?.providers ?? []).map(({ id, name, bytesPerSecond }) => [{ peer: id, name: labelOf(name) }, bytesPerSecond]),
  });
  counter('spotify_peer_served_requests_total', 'Chunks and pieces of tags that were sent to other peers', stats.served.requests);
  counter('spotify_peer_served_bytes_total', 'Bytes of music and tags that were sent to other peers', stats.served.bytes);

  // those of prom-client's own that cost nothing while nobody asks
  const { user, system } = process.cpuUsage();
  counter('process_cpu_seconds_total', 'Time that the processors spent on this process', (user + system) / 1e6);
  gauge('process_resident_memory_bytes', 'Memory of this process', process.memoryUsage.rss());
  gauge('process_start_time_seconds', 'When this process started, in seconds since 1970', performance.timeOrigin / 1_000);
  counter('nodejs_eventloop_busy_seconds_total', 'Time that the event loop was not waiting', performance.eventLoopUtilization().active / 1_000);
  return { text: await registry.metrics(), type: registry.contentType };
}
