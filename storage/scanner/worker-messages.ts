// What a scan worker and its pool say to each other.
import type { ScannedFile } from './scan-file.ts';

export interface ScanRequest {
  readonly path: string;
}

export type ScanReply = { readonly kind: 'scanned'; readonly file: ScannedFile } | { readonly kind: 'failed'; readonly code: string; readonly reason: string };

/** Places in the shared Int32Array of a worker and its pool. */
export const YIELDING = 0;
export const READS = 1;
export const SIGNALS = 2;
