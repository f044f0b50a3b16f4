// When a refused connection means that a process has ended.
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import t from 'tap';
import type { Address } from '../../discovery/address.ts';
import type { BootId, PeerId } from '../../lib/ids.ts';
import { knock } from '../../peer/stream/knock.ts';
import { Refusals } from '../../peer/stream/refusals.ts';

const PEER = 'b' as PeerId;
const [BOOT, NEXT_BOOT] = ['b/1' as BootId, 'b/2' as BootId];

interface Listening {
  readonly address: Address;
  readonly calls: () => number;
  readonly end: () => Promise<void>;
}

async function listen(): Promise<Listening> {
  let calls = 0;
  const server: Server = createServer((socket) => {
    calls += 1;
    socket.on('error', () => {});
    socket.resume();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { readonly port: number };
  const end = async (): Promise<void> => void (await new Promise((done) => server.close(done)));
  return { address: { host: '127.0.0.1', port }, calls: () => calls, end };
}

t.test('a knock tells who listens from who does not', async (t) => {
  const { address, end } = await listen();
  t.equal(await knock(address, 1_000), 'open');
  await end();
  t.equal(await knock(address, 1_000), 'refused');
  t.equal(await knock(address, 0), 'unknown', 'without time there is no answer');
});

t.test('a process that took a connection, dialled or to find that out, has ended when it is refused', async (t) => {
  for (const way of ['dialled', 'called back'] as const) {
    const { address, end } = await listen();
    const refusals = new Refusals();
    if (way === 'dialled') refusals.took(PEER, BOOT);
    else await refusals.learn(PEER, BOOT, address);
    t.notOk(await refusals.hasEnded(PEER, BOOT, address), `${way}: it listens`);
    await end();
    t.ok(await refusals.hasEnded(PEER, BOOT, address), way);
    t.notOk(await refusals.hasEnded(PEER, NEXT_BOOT, address), `${way}: of another boot nothing is known`);
  }
});

t.test('one that never took a connection has a firewall, and has not ended', async (t) => {
  const { address, end } = await listen();
  await end();
  const refusals = new Refusals();
  await refusals.learn(PEER, BOOT, address);
  t.notOk(await refusals.hasEnded(PEER, BOOT, address));
});

t.test('however many want to know, it is knocked at once', async (t) => {
  const { address, calls, end } = await listen();
  const refusals = new Refusals();
  refusals.took(PEER, BOOT);
  t.same(new Set(await Promise.all(Array.from({ length: 200 }, () => refusals.hasEnded(PEER, BOOT, address)))), new Set([false]));
  t.equal(calls(), 1);
  await end();
});
