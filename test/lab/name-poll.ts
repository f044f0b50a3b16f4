// A program for lab hosts with Avahi: every 50 ms it looks a name up and opens the page there, as somebody's browser would, whatever
// became of the times before. Prints what each got, and from when to when it took.
//   node name-poll.js NAME WAY
// WAY is `avahi-resolve`, that program, or `nss`, the socket by which nss-mdns asks for every program that resolves names.
import { execFile } from 'node:child_process';
import { get } from 'node:http';
import { connect } from 'node:net';
import { HTTP_PORT_DEFAULT } from '../../peer/http/listen.ts';

const EVERY_MS = 50;
/** Longer than a page takes on a machine that has ten times too much to do. */
const PAGE_MS = 3_000;

const [name, way] = process.argv.slice(2) as [string, string];

const byProgram = (): Promise<string | null> =>
  new Promise((resolve) => execFile('avahi-resolve', ['-4', '-n', name], (_, stdout) => resolve(stdout.trim().split('\t')[1] ?? null)));

/** '+ 2 0 spotify-peer.local 10.99.0.1', or '-15 Timeout reached'. */
const bySocket = (): Promise<string | null> =>
  new Promise((resolve) => {
    let text = '';
    const socket = connect('/run/avahi-daemon/socket', () => socket.write(`RESOLVE-HOSTNAME-IPV4 ${name}\n`));
    socket.setEncoding('utf8');
    socket.on('error', () => resolve(null));
    socket.on('close', () => resolve(null));
    socket.on('data', (part: string) => {
      text += part;
      if (!text.includes('\n')) return;
      resolve(/^\+ \d+ \d+ \S+ (\S+)/.exec(text)?.[1] ?? null);
      socket.destroy();
    });
  });

const open = (address: string): Promise<{ readonly page: string | null; readonly why?: string }> =>
  new Promise((resolve) => {
    // a connection of its own each time: one that was kept would not show that the name leads elsewhere
    const request = get({ host: address, port: HTTP_PORT_DEFAULT, path: '/healthz', agent: false, signal: AbortSignal.timeout(PAGE_MS) }, (response) => {
      let page = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => (page += part));
      response.on('error', (error) => resolve({ page: null, why: error.message }));
      response.on('end', () => resolve(response.statusCode === 200 ? { page } : { page: null, why: String(response.statusCode) }));
    });
    request.on('error', (error) => resolve({ page: null, why: error.message }));
  });

setInterval(async () => {
  const from = Date.now();
  const address = await (way === 'nss' ? bySocket() : byProgram());
  const { page, why } = address === null ? { page: null, why: 'no address' } : await open(address);
  console.log(JSON.stringify({ from, to: Date.now(), address, page, why }));
}, EVERY_MS);
