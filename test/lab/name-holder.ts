// A program for lab hosts: a peer of which there are only the names and an HTTP server. It is told what to do by signals:
// USR1 holds the gateway's role, USR2 drops it, TERM leaves politely, KILL is a crash.
//   node name-holder.js NETWORK ID MEMBER,MEMBER,...
import { createServer } from 'node:http';
import { listInterfaces } from '../../discovery/interfaces.ts';
import { Names } from '../../discovery/names.ts';
import type { PeerId } from '../../lib/ids.ts';
import { HTTP_PORT_DEFAULT } from '../../peer/http/listen.ts';

const [network, id, list] = process.argv.slice(2) as [string, string, string];
const members = new Set(list.split(','));
const say = (event: string, more: object = {}): void => console.log(JSON.stringify({ event, at: Date.now(), ...more }));

const names = new Names({ interfaces: listInterfaces() });
await names.ready;
names.on('gatewayName', (named) => say('name', named));
names.watchGateway({ network, isMember: (address) => members.has(address) });
names.publish({ peer: id.repeat(32) as PeerId, name: `nick ${id}`, network, version: 1, port: 17784, httpPort: HTTP_PORT_DEFAULT });

const server = createServer((_, response) => response.end(id));
server.listen(HTTP_PORT_DEFAULT, () => say('ready'));

process.on('SIGUSR1', () => {
  names.setRoles(['gateway']);
  names.holdGateway();
  say('holds');
});
process.on('SIGUSR2', () => {
  names.setRoles([]);
  void names.dropGateway().then(() => say('dropped'));
});
process.on('SIGTERM', () => {
  void names.stop().then(() => process.exit());
});
setInterval(() => say('heard', { name: names.gatewayNameHeard ?? null }), 200);
