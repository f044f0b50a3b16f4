// What replication costs when there is nothing to say, among real peers on the loopback interface: a connection that is cut and made
// again, and peers that idle. They live in this process, whose sockets are watched: datagrams by the group that they go to, streams
// by their bytes both ways, TLS included.
//   node build/bench/replication-quiet.js [rounds] [idle seconds]
import { subscribe } from 'node:diagnostics_channel';
import type { Socket as DatagramSocket } from 'node:dgram';
import { mkdtempSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { groupAddress } from '../discovery/group.ts';
import type { Peer } from '../peer/peer.ts';
import { GROUP, homeIn, networkNamed, startPeer } from '../test/fixtures/whole-peer.ts';
import { quantile } from './figures.ts';
import { writeSongs } from './songs.ts';

const ROUNDS = Number(process.argv[2] ?? 10);
const IDLE_S = Number(process.argv[3] ?? 60);
const PEERS = 5;
const CATALOG_GROUP = groupAddress(GROUP.host, 'catalog');
/** Nothing more comes of a start when nothing has come for so long. */
const REST_MS = 5_000;
const SETTLE_MS = 1_000;
const LOOK_EVERY_MS = 5;

/** Of the side that was called, below TLS; so each stream is here once. */
const called: Socket[] = [];
let operationDatagrams = 0;
subscribe('net.server.socket', (message) => void called.push((message as { readonly socket: Socket }).socket));
subscribe('udp.socket', (message) => {
  const { socket } = message as { readonly socket: DatagramSocket };
  const send = socket.send.bind(socket) as (...values: unknown[]) => void;
  (socket as { send: unknown }).send = (...values: unknown[]): void => {
    if (values.includes(CATALOG_GROUP)) operationDatagrams += 1;
    send(...values);
  };
});

const bytesOf = (sockets: readonly Socket[]): number => sockets.reduce((sum, { bytesRead, bytesWritten }) => sum + bytesRead + (bytesWritten ?? 0), 0);
const living = (): Socket[] => called.filter(({ destroyed }) => !destroyed);

const folder = mkdtempSync(join(tmpdir(), 'bench-quiet-'));

async function start(name: string, network: string): Promise<Peer> {
  const home = await homeIn(join(folder, network, name));
  writeSongs(home.music, 20, () => ({ soundBytes: 20_000 }));
  return startPeer(home, { network, name });
}

/** Their songs are found and told. */
async function rest(): Promise<void> {
  for (let said = -1; said !== operationDatagrams; await pause(REST_MS)) said = operationDatagrams;
}

/** Cuts the one stream between two peers. */
async function reconnect(): Promise<{ readonly bytes: number; readonly ms: number; readonly streams: number }> {
  const before = living();
  called.length = 0;
  const cutAt = performance.now();
  for (const socket of before) socket.destroy();
  let lastAt = cutAt;
  for (let bytes = 0; performance.now() - lastAt < SETTLE_MS; await pause(LOOK_EVERY_MS)) {
    const now = bytesOf(called);
    if (now !== bytes) lastAt = performance.now();
    bytes = now;
  }
  if (living().length === 0) throw new Error('the two are not connected again');
  return { bytes: bytesOf(called), ms: lastAt - cutAt, streams: called.length };
}

try {
  const two = [await start('a', networkNamed('two')), await start('b', networkNamed('two'))];
  await rest();
  const reconnects = [];
  for (let round = 0; round < ROUNDS; round++) reconnects.push(await reconnect());
  const bytes = reconnects.map((one) => one.bytes);
  const ms = reconnects.map((one) => one.ms);
  console.log(`a reconnect with nothing new, bytes both ways with TLS: median ${quantile(bytes, 0.5)}, worst ${Math.max(...bytes)}; goal 2048`);
  console.log(`  streams that were opened for it: median ${quantile(reconnects.map(({ streams }) => streams), 0.5)}`);
  console.log(`  from the cut to its last byte, ms: median ${quantile(ms, 0.5).toFixed(0)}, worst ${Math.max(...ms).toFixed(0)} (n ${ROUNDS}); goal 200`);
  await Promise.all(two.map((peer) => peer.stop()));

  called.length = 0;
  const many = await Promise.all(Array.from({ length: PEERS }, (_, i) => start(`p${i}`, networkNamed('many'))));
  await rest();
  const streams = living();
  const [bytesBefore, datagramsBefore, dialledBefore] = [bytesOf(streams), operationDatagrams, called.length];
  await pause(IDLE_S * 1_000);
  const perStream = (bytesOf(streams) - bytesBefore) / streams.length;
  console.log(`${PEERS} idle peers in ${IDLE_S} s: ${operationDatagrams - datagramsBefore} datagrams with operations, ${called.length - dialledBefore} new streams; goal 0`);
  console.log(`  ${perStream.toFixed(0)} bytes on each of ${streams.length} streams, of which signs of life are some 60 every ten seconds, and a sync would be 200`);
  await Promise.all(many.map((peer) => peer.stop()));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
