// A tune out of lib/wav.ts as something to play, for as long as there is no music.
import { setImmediate } from 'node:timers/promises';
import { sha256 } from '../../lib/content.ts';
import { hex } from '../../lib/ids.ts';
import { type Tune, wavOf } from '../../lib/wav.ts';
import type { AudioSource } from './api-peer.ts';

export function generatedSource(tune: Tune): AudioSource {
  const wav = wavOf(tune);
  return {
    bytes: wav.bytes,
    contentType: 'audio/wav',
    etag: hex(sha256(Buffer.from(JSON.stringify(tune)))).slice(0, 32),
    fileName: `${tune.artist} - ${tune.title}.wav`,
    async *read(start, end, signal) {
      for (const part of wav.read(start, end)) {
        if (signal.aborted) return;
        yield part;
        // A part takes some milliseconds to compute; beats go between.
        await setImmediate();
      }
    },
  };
}
