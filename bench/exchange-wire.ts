// What the lab's cables carry: plain TCP from each of some hosts to one, at once, beside which the exchange is judged.
import type { Host } from '../test/lab/lab.ts';

const PORT = 4_000;
const SECONDS = 2;
const START_MS = 10_000;

const SEND = `
  const bytes = Buffer.alloc(65_536);
  require('node:net').createServer((socket) => {
    const send = () => { while (socket.write(bytes)); };
    socket.on('drain', send).on('error', () => {});
    send();
  }).listen(${PORT}, () => console.log('listening'));`;

const RECEIVE = `
  let bytes = 0, began;
  for (const host of process.argv.slice(1)) {
    require('node:net').connect(${PORT}, host).on('data', (part) => { began ??= performance.now(); bytes += part.length; });
  }
  setTimeout(() => { console.log(bytes * 8 / (performance.now() - began) / 1000); process.exit(); }, ${SECONDS * 1_000});`;

/** @returns Mbit/s of payload */
export async function wireRate(senders: readonly Host[], receiver: Host): Promise<number> {
  const sending = await Promise.all(
    senders.map(async (host) => {
      const process = host.spawn(globalThis.process.execPath, ['-e', SEND], { name: 'wire' });
      await process.line((line) => line === 'listening', { what: 'sender', timeoutMs: START_MS });
      return process;
    }),
  );
  const rate = Number(await receiver.run(process.execPath, ['-e', RECEIVE, ...senders.map(({ address }) => address)]));
  await Promise.all(sending.map((process) => process.kill('SIGKILL')));
  return rate;
}
