// One end of a transfer in bench/exchange-transfer.ts, a process of its own so that its processor time is its own.
//   exchange-transfer-end.js https-give FILE...            prints {port}
//   exchange-transfer-end.js https-take FOLDER             its first line is what https-give printed; takes file N for each line N after
//                                                          that, hashes and writes it, prints {ms}
//   exchange-transfer-end.js torrent-give RIVAL FILE...    prints {port, torrents}
//   exchange-transfer-end.js torrent-take FOLDER RIVAL     its first line is what torrent-give printed
//   exchange-transfer-end.js parts-give FILE...            prints {port, songs}
//   exchange-transfer-end.js parts-take FOLDER             its first line is what parts-give printed
//   exchange-transfer-end.js peer-take FOLDER URL          takes the song of each line, and throws it away: its peer has verified and kept it
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { get } from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { giveParts, type Offer, openTaker } from './exchange-parts.ts';
import { openRival } from './exchange-rival.ts';

const say = (what: object): void => console.log(JSON.stringify(what));

/** TLS 1.3 with a shared key, as between peers: there is no certificate to make. */
const KEY = Buffer.alloc(32, 7);
const TLS = { ciphers: 'TLS_AES_128_GCM_SHA256', minVersion: 'TLSv1.3' } as const;

function httpsGive(files: readonly string[]): void {
  const server = https.createServer({ ...TLS, pskCallback: () => KEY }, (request, response) => {
    createReadStream(files[Number(request.url?.slice(1))] as string).pipe(response);
  });
  server.listen(0, '127.0.0.1', () => say({ port: (server.address() as { port: number }).port }));
}

async function httpsTake(folder: string, port: number, file: string): Promise<void> {
  const agent = { ...TLS, host: '127.0.0.1', port, path: `/${file}`, pskCallback: () => ({ psk: KEY, identity: 'bench' }), checkServerIdentity: () => undefined };
  await new Promise<void>((resolve, reject) => {
    https
      .get(agent, (response) => {
        const hash = createHash('sha256');
        const hashing = new Transform({
          transform: (part: Buffer, _encoding, done) => {
            hash.update(part);
            done(null, part);
          },
        });
        pipeline(response, hashing, createWriteStream(join(folder, file))).then(resolve, reject);
      })
      .on('error', reject);
  });
}

async function torrentGive(rival: string, files: readonly string[]): Promise<void> {
  const client = await openRival(rival);
  client.on('error', fail);
  const torrents: string[] = [];
  for (const file of files) {
    torrents.push(await new Promise((resolve) => client.seed(file, { announce: [] }, ({ torrentFile }) => resolve(Buffer.from(torrentFile).toString('base64')))));
  }
  say({ port: client.torrentPort, torrents });
}

function peerTake(url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      let bytes = 0;
      response.on('data', (part: Buffer) => (bytes += part.byteLength));
      response.on('error', reject);
      response.on('end', () => (bytes === Number(response.headers['content-length']) ? resolve() : reject(new Error(`${bytes} bytes of ${url}`))));
    }).on('error', reject);
  });
}

function fail(error: Error): never {
  console.error(error);
  process.exit(1);
}

const [what, first = '', ...rest] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Does this for each line, and says how long it took. */
async function serve(take: (line: string) => Promise<void>): Promise<void> {
  say({ ready: true });
  for (let { value, done } = await lines.next(); !done; { value, done } = await lines.next()) {
    const beganAt = performance.now();
    await take(value as string);
    say({ ms: performance.now() - beganAt });
  }
  process.exit();
}

switch (what) {
  case 'https-give':
    httpsGive([first, ...rest]);
    break;
  case 'https-take': {
    const { port } = JSON.parse((await lines.next()).value as string) as { port: number };
    await serve((file) => httpsTake(first, port, file)).catch(fail);
    break;
  }
  case 'torrent-give':
    await torrentGive(first, rest).catch(fail);
    break;
  case 'torrent-take': {
    const client = await openRival(rest[0] as string);
    client.on('error', fail);
    const { port, torrents } = JSON.parse((await lines.next()).value as string) as { port: number; torrents: string[] };
    await serve(
      (file) =>
        new Promise((resolve, reject) => {
          client.add(Buffer.from(torrents[Number(file)] as string, 'base64'), { path: first, announce: [] }, (torrent) => {
            torrent.on('error', (error) => reject(error));
            torrent.on('done', () => resolve());
            torrent.addPeer(`127.0.0.1:${port}`);
          });
        }),
    ).catch(fail);
    break;
  }
  case 'parts-give':
    say(await giveParts([first, ...rest]));
    break;
  case 'parts-take': {
    const take = await openTaker(first, JSON.parse((await lines.next()).value as string) as Offer);
    await serve((song) => take(Number(song))).catch(fail);
    break;
  }
  case 'peer-take':
    await serve((song) => peerTake(`${rest[0]}/api/songs/${song}/audio`)).catch(fail);
    break;
  default:
    fail(new Error(`no end ${what}`));
}
