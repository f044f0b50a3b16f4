// The lab itself: whoever trusts a test of a fault has to know that the fault was there.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import { readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import t from 'tap';
import { type Host, Lab } from '../lab.ts';
import { readDatagrams } from '../pcap.ts';
import type { Running } from '../running.ts';
import { until } from '../until.ts';

const REPLAY = join(import.meta.dirname, `../replay${extname(import.meta.filename)}`);
const GROUP = '239.255.1.1';
const PORT = 5000;
/** Only what hangs is stopped by it. */
const TEST_MS = 60_000;

/** Prints each datagram that arrives, and answers those that were not sent to the group. */
const LISTEN = `
  const socket = require('node:dgram').createSocket({ type: 'udp4', reuseAddr: true });
  socket.on('message', (bytes, from) => {
    console.log(JSON.stringify({ event: 'heard', text: bytes.toString(), from: from.address }));
    if (bytes.toString().startsWith('ask')) socket.send('answer', from.port, from.address);
  });
  socket.bind(${PORT}, () => { socket.addMembership('${GROUP}'); console.log('listening'); });`;

/** Sends one text some times, and prints how many answers came within some milliseconds after. */
const SEND = `
  const [text, address, times, waitMs] = process.argv.slice(1);
  const socket = require('node:dgram').createSocket('udp4');
  let answers = 0;
  socket.on('message', () => { answers += 1; });
  socket.bind(0, async () => {
    socket.setMulticastTTL(1);
    for (let i = 0; i < Number(times); i += 1) {
      await new Promise((done) => socket.send(text, ${PORT}, address, done));
      if (i % 10 === 9) await new Promise((done) => setTimeout(done, 1));
    }
    setTimeout(() => { console.log(answers); socket.close(); }, Number(waitMs));
  });`;

const send = async (from: Host, text: string, address: string, times = 1, waitMs = 150): Promise<number> => {
  const { stdout, stderr, code } = await from.exec(process.execPath, ['-e', SEND, text, address, String(times), String(waitMs)]);
  if (code !== 0) throw new Error(stderr);
  return Number(stdout);
};

const listen = async (host: Host): Promise<Running> => {
  const listener = host.spawn(process.execPath, ['-e', LISTEN], { name: 'listener' });
  await listener.line((line) => line === 'listening', { what: 'socket', timeoutMs: 10_000 });
  return listener;
};

const heard = (listener: Running, text: string): number => listener.lines().filter((line) => line.includes(`"${text}"`)).length;

t.setTimeout(TEST_MS);
t.test('a lab of three hosts', { skip, timeout: TEST_MS }, async (t) => {
  const lab = await Lab.create({ name: 'harness', hosts: 3 });
  t.teardown(() => lab.close());
  const [h1, h2, h3] = lab.hosts as [Host, Host, Host];
  const [second, third] = await Promise.all([listen(h2), listen(h3)]);

  await t.test('gives each host a name, an address and a home of its own', async (t) => {
    for (const host of lab.hosts) {
      const { stdout } = await host.exec('sh', ['-c', 'uname -n; ip -br -4 address show dev eth0; echo "$HOME"']);
      t.match(stdout, new RegExp(`^${host.name}\n.*${host.address.replaceAll('.', '\\.')}/24.*\n${host.directory}\n`));
    }
  });

  await t.test('carries unicast to one host and multicast to all', async (t) => {
    t.equal(await send(h1, 'ask-1', h2.address), 1, 'h2 answers');
    t.equal(await send(h1, 'ask-all', GROUP), 2, 'h2 and h3 answer');
    t.equal(heard(third, 'ask-1'), 0, 'h3 hears nothing of what is for h2');
  });

  await t.test('loses as many frames as it is told to, in the direction that it is told', async (t) => {
    await lab.loss(h2, 30, { direction: 'in' });
    await send(h1, 'lossy', GROUP, 1000);
    const [lossy, whole] = [heard(second, 'lossy'), heard(third, 'lossy')];
    t.ok(lossy > 600 && lossy < 800, `700 of 1000 expected at 30%, ${lossy} came`);
    t.ok(whole > 950, `nearly all expected at the other host, ${whole} came`);
    await lab.loss(h2, 100, { direction: 'out' });
    t.equal(await send(h1, 'ask-out', h2.address), 0, 'no answer comes back');
    t.equal(heard(second, 'ask-out'), 1, 'but it was asked');
    await lab.loss(h2, 100, { direction: 'in', multicastOnly: true });
    t.equal(await send(h1, 'ask-multi', GROUP), 1, 'multicast only reaches h3');
    t.equal(await send(h1, 'ask-uni', h2.address), 1, 'unicast still passes');
    await lab.loss(h2, 0);
    t.equal(await send(h1, 'ask-again', GROUP), 2, 'a loss of 0 is none');
  });

  await t.test('parts groups of hosts, both ways or one way, and heals', async (t) => {
    await lab.partition([h1], [h2]);
    t.equal(await send(h1, 'ask-part', GROUP), 1, 'only h3 answers');
    t.equal(heard(second, 'ask-part'), 0);
    await lab.heal();
    t.equal(await send(h1, 'ask-healed', GROUP), 2);
    await lab.partition([h2], [h1], { oneWay: true });
    t.equal(await send(h1, 'ask-one-way', GROUP), 1, 'h2 cannot answer');
    t.equal(heard(second, 'ask-one-way'), 1, 'but it hears');
    await lab.heal();
  });

  await t.test('blocks multicast or unicast, of one host or of all', async (t) => {
    await lab.block('multicast', 'all');
    t.equal(await send(h1, 'ask-b1', GROUP), 0);
    t.equal(await send(h1, 'ask-b2', h2.address), 1);
    await lab.heal();
    await lab.block('multicast', h3);
    t.equal(await send(h1, 'ask-b3', GROUP), 1);
    await lab.heal();
    await lab.block('unicast', h2);
    t.equal(await send(h1, 'ask-b4', h2.address), 0);
    t.equal(await send(h1, 'ask-b5', h3.address), 1);
    await lab.heal();
  });

  await t.test('pulls a cable and plugs it in again', async (t) => {
    await lab.cable(h2, 'down');
    t.match(await h2.run('ip', ['-br', 'link', 'show', 'dev', 'eth0']), /DOWN/, 'the host sees it');
    t.equal(await send(h1, 'ask-cut', h2.address), 0);
    await lab.cable(h2, 'up');
    t.equal(await send(h1, 'ask-plugged', h2.address, 1, 1000), 1);
  });

  await t.test('gives a host another address', async (t) => {
    await lab.address(h3, '10.99.0.77/24');
    t.equal(await send(h1, 'ask-new', '10.99.0.77'), 1);
    t.equal(await send(h1, 'ask-old', h3.address), 0);
    await lab.address(h3, `${h3.address}/24`);
  });

  await t.test('slows a cable down to its rate, and counts what passes', async (t) => {
    await lab.rate(h2, '10mbit');
    const before = await lab.traffic(h2);
    const server = h2.spawn(process.execPath, ['-e', `require('node:net').createServer((s) => s.on('error', () => {}).end(Buffer.alloc(1e6))).listen(6000, () => console.log('listening'))`], { name: 'server' });
    await server.line((line) => line === 'listening', { what: 'server', timeoutMs: 10_000 });
    const fetch = `const start = Date.now(); let bytes = 0; require('node:net').connect(6000, '${h2.address}')
      .on('data', (chunk) => { bytes += chunk.length; }).on('end', () => console.log(bytes, Date.now() - start))`;
    const [bytes, ms] = (await h1.run(process.execPath, ['-e', fetch])).split(' ').map(Number) as [number, number];
    t.equal(bytes, 1e6);
    t.ok(ms > 600 && ms < 2000, `1 MB takes 800 ms at 10 Mbit/s, it took ${ms}`);
    const { sentBytes } = await lab.traffic(h2);
    t.ok(sentBytes - before.sentBytes > 1e6, 'the switch saw it pass');
    await lab.rate(h2, 'off');
    const [, fast] = (await h1.run(process.execPath, ['-e', fetch])).split(' ').map(Number) as [number, number];
    t.ok(fast < 400, `without a rate it took ${fast} ms`);
  });

  await t.test('delays frames', { skip: Lab.rawFrames() }, async (t) => {
    // the least of five: a busy machine makes some of them longer
    const roundTrip = `const once = () => new Promise((done) => {
      const start = Date.now(); require('node:net').connect(6000, '${h2.address}').on('connect', function () { done(Date.now() - start); this.destroy(); }); });
      (async () => { let least = 1e9; for (let i = 0; i < 5; i++) least = Math.min(least, await once()); console.log(least); })()`;
    await lab.delay(h2, 50);
    const slow = Number(await h1.run(process.execPath, ['-e', roundTrip]));
    t.ok(slow >= 100 && slow < 300, `a round trip takes 100 ms, it took ${slow}`);
    t.equal(await send(h1, 'ask-slow', GROUP), 2, 'multicast passes too');
    await lab.delay(h2, 0);
    const fast = Number(await h1.run(process.execPath, ['-e', roundTrip]));
    t.ok(fast < 50, `without a delay it took ${fast} ms`);
  });

  await t.test('records what passes the switch', { skip: Lab.rawFrames() }, async (t) => {
    const file = join(lab.directory, 'switch.pcap');
    const stop = await lab.capture('switch', file);
    await send(h1, 'ask-recorded', h2.address);
    await stop();
    const recorded = readDatagrams(readFileSync(file));
    t.match(
      recorded.filter(({ destinationPort, sourcePort }) => destinationPort === PORT || sourcePort === PORT).map(({ source, destination, payload }) => [source, destination, payload.toString()]),
      [[h1.address, h2.address, 'ask-recorded'], [h2.address, h1.address, 'answer']],
    );
  });

  await t.test('sends a recording again, as if its sender were back', { skip: Lab.rawFrames() }, async (t) => {
    const file = join(lab.directory, 'again.pcap');
    const stop = await lab.capture(h1, file);
    await send(h1, 'said once', GROUP);
    await stop();
    await h1.run(process.execPath, [REPLAY, file, h1.address]);
    t.equal(heard(third, 'said once'), 2);
    t.equal(third.lines().filter((line) => line.includes('said once') && line.includes(h1.address)).length, 2, 'from the same address');
  });

  await t.test('kills what was started, and says how it ended', async (t) => {
    t.same(await second.kill('SIGKILL'), { code: null, signal: 'SIGKILL' });
    await t.rejects(second.line(() => false, { what: 'miracle', timeoutMs: 1000 }), /h2: listener: no miracle before it ended with SIGKILL/);
    t.same(await h1.exec('sleep', ['9'], { timeoutMs: 50 }), { code: null, signal: 'SIGKILL', stdout: '', stderr: '\n(killed after 50 ms)' });
  });
});

t.test('a switch that snoops', { skip, timeout: TEST_MS }, async (t) => {
  const lab = await Lab.create({ name: 'snooping', hosts: 3, snooping: 'snoop' });
  t.teardown(() => lab.close());
  const [h1, h2, h3] = lab.hosts as [Host, Host, Host];
  await listen(h2);
  await until('what nobody asked for no longer reaches h3', 5000, async () => {
    const before = await lab.traffic(h3);
    t.equal(await send(h1, 'ask', GROUP, 50), 50, 'the group reaches who joined it');
    const { receivedBytes } = await lab.traffic(h3);
    return receivedBytes - before.receivedBytes;
  }, (bytes) => bytes < 50 * 45);
});
