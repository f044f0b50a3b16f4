// Times the first byte of the sound of songs at one peer, one after the other; prints JSON. Started by bench/first-byte.ts and
// bench/exchange-first-byte.ts on the listener's host.
//   node build/bench/first-byte-client.js URL [FIRST-BYTE] < ids
import { text } from 'node:stream/consumers';

const [url, from = '0'] = process.argv.slice(2);
const ids = (await text(process.stdin)).split('\n').filter(Boolean);
const times: number[] = [];
for (const id of ids) {
  const startedAt = performance.now();
  const response = await fetch(`${url}/api/songs/${id}/audio`, { headers: from === '0' ? {} : { range: `bytes=${from}-` } });
  if (!response.ok || !response.body) throw new Error(`${id}: ${response.status}`);
  const reader = response.body.getReader();
  await reader.read();
  times.push(performance.now() - startedAt);
  // the rest is not wanted: the next song shall not wait behind it
  await reader.cancel();
}
console.log(JSON.stringify(times));
