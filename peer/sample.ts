// Something that plays where there is no music yet: generated, local, labelled as what it is, and never replicated.
import { SAMPLE_TUNE, wavOf } from '../lib/wav.ts';
import type { AudioSource } from './http/api-peer.ts';

export function sampleSource(): AudioSource {
  const wav = wavOf(SAMPLE_TUNE);
  return {
    bytes: wav.bytes,
    contentType: 'audio/wav',
    etag: `sample-${SAMPLE_TUNE.seed}`,
    fileName: 'sample.wav',
    async *read(start, end, signal) {
      for (const part of wav.read(start, end)) {
        if (signal.aborted) return;
        yield part;
      }
    },
  };
}
