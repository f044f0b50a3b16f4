// The edges of one file of a cached payload, in a small file beside the chunks, so that this machine can play what needs its
// container's head, and give the original, when nobody else has it any more.
//
//     0   magic, 8 bytes
//     8   length of the prefix, u32
//     12  length of the suffix, u32
//     16  SHA-256 of the prefix, of the suffix
//     80  prefix, suffix
//
// Both hashes and the payload make the file's id, which is the name of this file: a header that is damaged shows it, and
// the edges are checked by their hashes. The header is written last, and a file is as long as its header says or none of
// ours: what a kill left half written is known at the next start.
import { fileIdOf, sha256 } from '../lib/content.ts';
import type { FileId, PayloadId } from '../lib/ids.ts';
import { PREFIX_BYTES_MAX } from '../lib/limits.ts';
import type { Edge } from './local-files.ts';

const MAGIC = Buffer.from('SPedges1', 'latin1');
const PREFIX_BYTES_AT = 8;
const SUFFIX_BYTES_AT = 12;
const PREFIX_HASH_AT = 16;
const SUFFIX_HASH_AT = 48;
export const EDGES_AT = 80;

/** What a file system hands out: the bound of the cache is one of the disk, so it is kept in these. */
export const BLOCK_BYTES = 4096;
export const blockBytes = (bytes: number): number => Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;

export interface Edges {
  readonly prefix: Uint8Array;
  readonly suffix: Uint8Array;
}

export interface EdgesHeader {
  readonly prefixBytes: number;
  readonly suffixBytes: number;
  readonly prefixHash: Uint8Array;
  readonly suffixHash: Uint8Array;
}

/** @returns null where these are not the edges of that file */
export function edgesHeader(payload: PayloadId, file: FileId, { prefix, suffix }: Edges): EdgesHeader | null {
  const header = { prefixBytes: prefix.byteLength, suffixBytes: suffix.byteLength, prefixHash: sha256(prefix), suffixHash: sha256(suffix) };
  const fits = header.prefixBytes <= PREFIX_BYTES_MAX && header.suffixBytes <= PREFIX_BYTES_MAX;
  return fits && fileIdOf({ payload, ...header }) === file ? header : null;
}

export function encodeEdgesHeader(edges: EdgesHeader): Buffer {
  const bytes = Buffer.alloc(EDGES_AT);
  MAGIC.copy(bytes);
  bytes.writeUInt32BE(edges.prefixBytes, PREFIX_BYTES_AT);
  bytes.writeUInt32BE(edges.suffixBytes, SUFFIX_BYTES_AT);
  bytes.set(edges.prefixHash, PREFIX_HASH_AT);
  bytes.set(edges.suffixHash, SUFFIX_HASH_AT);
  return bytes;
}

/** @param size of the whole file @returns null where this is not what its name says, or not all of it */
export function edgesFromHeader(payload: PayloadId, file: FileId, bytes: Buffer, size: number): EdgesHeader | null {
  if (bytes.byteLength < EDGES_AT || !bytes.subarray(0, MAGIC.byteLength).equals(MAGIC)) return null;
  const edges = {
    prefixBytes: bytes.readUInt32BE(PREFIX_BYTES_AT),
    suffixBytes: bytes.readUInt32BE(SUFFIX_BYTES_AT),
    prefixHash: Buffer.from(bytes.subarray(PREFIX_HASH_AT, SUFFIX_HASH_AT)),
    suffixHash: Buffer.from(bytes.subarray(SUFFIX_HASH_AT, EDGES_AT)),
  };
  return size === edgesFileBytes(edges) && fileIdOf({ payload, ...edges }) === file ? edges : null;
}

type Lengths = Pick<EdgesHeader, 'prefixBytes' | 'suffixBytes'>;

export const edgesFileBytes = ({ prefixBytes, suffixBytes }: Lengths): number => EDGES_AT + prefixBytes + suffixBytes;

/** What it takes of the disk. */
export const edgesDiskBytes = (edges: Lengths): number => blockBytes(edgesFileBytes(edges));

export interface EdgePlace {
  readonly position: number;
  readonly length: number;
  readonly hash: Uint8Array;
}

export const placeOf = (edges: EdgesHeader, edge: Edge): EdgePlace =>
  edge === 'prefix'
    ? { position: EDGES_AT, length: edges.prefixBytes, hash: edges.prefixHash }
    : { position: EDGES_AT + edges.prefixBytes, length: edges.suffixBytes, hash: edges.suffixHash };
