// When a refused connection means that a process has ended.
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { connect, createServer, type Server } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t, { type Test } from 'tap';
import type { Address } from '../../discovery/address.ts';
import type { BootId } from '../../lib/ids.ts';
import { knock } from '../../peer/stream/knock.ts';
import { Refusals } from '../../peer/stream/refusals.ts';

const [BOOT, NEXT_BOOT] = ['b/1' as BootId, 'b/2' as BootId];

interface Listening {
  readonly address: Address;
  readonly calls: () => number;
  readonly end: () => Promise<void>;
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** An address at which SYNs are dropped: nobody accepts, and the queue is full. */
async function fullQueue(t: Test): Promise<Address> {
  const program = `require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, function () {
    console.log(this.address().port);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30_000);
  })`;
  const busy = spawn(process.execPath, ['-e', program]);
  t.teardown(() => busy.kill('SIGKILL'));
  const [line] = (await once(busy.stdout, 'data')) as [Buffer];
  const address = { host: '127.0.0.1', port: Number(String(line)) };
  for (let i = 0; i < 4; i += 1) {
    const socket = connect(address);
    socket.on('error', () => {});
    t.teardown(() => socket.destroy());
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
  return address;
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

t.test('a machine that says nothing is left in time, whatever is collected meanwhile, and without a word', async (t) => {
  const warnings: Error[] = [];
  const warned = (warning: Error): void => void warnings.push(warning);
  process.on('warning', warned);
  const silent = await fullQueue(t);
  const began = performance.now();
  const knocking = knock(silent, 600);
  setTimeout(() => collect(), 450);
  t.equal(await knocking, 'unknown');
  const ms = performance.now() - began;
  t.ok(ms >= 595 && ms < 1_500, `${ms} ms`);
  await new Promise(setImmediate);
  process.off('warning', warned);
  t.same(warnings, []);
});

t.test('a process that took a connection, dialled or to find that out, has ended when it is refused', async (t) => {
  for (const way of ['dialled', 'called back'] as const) {
    const { address, end } = await listen();
    const refusals = new Refusals();
    if (way === 'dialled') refusals.took(BOOT, address);
    else await refusals.learn(BOOT, address);
    t.notOk(await refusals.hasEnded(BOOT), `${way}: it listens`);
    await end();
    t.ok(await refusals.hasEnded(BOOT), way);
    t.notOk(await refusals.hasEnded(NEXT_BOOT), `${way}: of another boot nothing is known`);
  }
});

t.test('one that never took a connection has a firewall, and has not ended', async (t) => {
  const { address, end } = await listen();
  await end();
  const refusals = new Refusals();
  await refusals.learn(BOOT, address);
  t.notOk(await refusals.hasEnded(BOOT));
});

t.test('however many want to know, one knock tells all', async (t) => {
  const { address, calls, end } = await listen();
  const refusals = new Refusals();
  refusals.took(BOOT, address);
  t.same(new Set(await Promise.all(Array.from({ length: 200 }, () => refusals.hasEnded(BOOT)))), new Set([false]));
  t.equal(calls(), 1);
  await end();
});
