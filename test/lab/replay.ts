// Sends the datagrams of a capture again, from the host whose address they came from, with their old ports and to where they
// went then: what somebody on the LAN can do who kept yesterday's traffic.
//     node replay.js CAPTURE SOURCE_ADDRESS
// Prints how many it sent.
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { readDatagrams } from './pcap.ts';


const [file = '', source = ''] = process.argv.slice(2);
const sockets = new Map<number, Socket>();
const socketOf = async (port: number): Promise<Socket> => {
  const known = sockets.get(port);
  if (known !== undefined) return known;
  const socket = createSocket({ type: 'udp4', reuseAddr: true });
  socket.on('error', () => {}); // the destination may have no such port any more
  socket.bind(port, source);
  await once(socket, 'listening');
  socket.setMulticastTTL(1);
  socket.setMulticastInterface(source);
  sockets.set(port, socket);
  return socket;
};

const datagrams = readDatagrams(readFileSync(file)).filter((datagram) => datagram.source === source);
for (const { sourcePort, destination, destinationPort, payload } of datagrams) {
  (await socketOf(sourcePort)).send(payload, destinationPort, destination);
  await sleep(1); // far below what overflows a receiver's buffer
}
await sleep(100);
for (const socket of sockets.values()) socket.close();
console.log(datagrams.length);
