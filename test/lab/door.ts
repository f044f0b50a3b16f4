// A way from the test to a port of a host: a process on the host that hands what comes to a Unix socket, which the hosts and the test
// both see, on to the port. No switch is passed, so no loss and no cut cable is in the way.
import { join } from 'node:path';
import type { Host } from './lab.ts';

const DOOR_MS = 10_000;

const DOOR = `
  const net = require('node:net');
  const [socket, port] = process.argv.slice(1);
  net.createServer((outside) => {
    const inside = net.connect(Number(port), '127.0.0.1');
    // the end of one comes behind what it sent: only what broke is broken off
    for (const [from, to] of [[inside, outside], [outside, inside]]) from.on('error', () => to.destroy()).pipe(to);
  }).listen(socket, () => console.log('open'));`;

/** @returns the path of a socket to whatever listens at `port` of the host's loopback, now and later */
export async function openDoor(host: Host, { port, name }: { readonly port: number; readonly name: string }): Promise<string> {
  const socket = join(host.directory, name);
  const door = host.spawn(process.execPath, ['-e', DOOR, socket, String(port)], { name });
  await door.line((line) => line === 'open', { what: name, timeoutMs: DOOR_MS });
  return socket;
}
