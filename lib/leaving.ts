// `leaving`: the origin was told to leave, and will be switched off. What only it holds goes to others first of all, and it counts
// for none of the machines that a song is to be on.
import type { Value } from './operation.ts';

export const LEAVING_KEY = 'leaving';
/** CBOR true. */
export const LEAVING_VALUE: Value = Uint8Array.of(0xf5);
