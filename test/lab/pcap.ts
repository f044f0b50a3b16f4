// Reads UDP datagrams out of a capture, as libpcap's file format has them (draft-ietf-opsawg-pcap): a header of 24 bytes,
// then records of 16 bytes and a frame. Fragments and IPv6 are left out; the lab sends neither for peers' datagrams.

export interface Datagram {
  /** Since the first frame of the capture. */
  readonly atMs: number;
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  readonly payload: Buffer;
}

const MAGIC = 0xa1b2c3d4;
const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const ETHERNET = 1;
const ETHERNET_BYTES = 14;
const IPV4 = 0x0800;
const UDP = 17;
const UDP_BYTES = 8;
/** More fragments, or not the first one. */
const FRAGMENT = 0x3fff;

/** @throws Error when the file is no little-endian capture of Ethernet frames, which is what the lab writes */
export function readDatagrams(capture: Buffer): Datagram[] {
  if (capture.byteLength < FILE_HEADER_BYTES || capture.readUInt32LE(0) !== MAGIC || capture.readUInt32LE(20) !== ETHERNET) {
    throw new Error('not a capture of Ethernet frames');
  }
  const datagrams: Datagram[] = [];
  let startMs: number | undefined;
  for (let at = FILE_HEADER_BYTES; at + RECORD_HEADER_BYTES <= capture.byteLength; ) {
    const ms = capture.readUInt32LE(at) * 1000 + capture.readUInt32LE(at + 4) / 1000;
    startMs ??= ms;
    const start = at + RECORD_HEADER_BYTES;
    at = start + capture.readUInt32LE(at + 8);
    const datagram = parseFrame(capture.subarray(start, at));
    if (datagram !== undefined) datagrams.push({ atMs: ms - startMs, ...datagram });
  }
  return datagrams;
}

function parseFrame(frame: Buffer): Omit<Datagram, 'atMs'> | undefined {
  if (frame.byteLength < ETHERNET_BYTES + 20 + UDP_BYTES || frame.readUInt16BE(12) !== IPV4) return undefined;
  const packet = frame.subarray(ETHERNET_BYTES);
  const headerBytes = (packet.readUInt8(0) & 0x0f) * 4;
  if (packet.readUInt8(9) !== UDP || (packet.readUInt16BE(6) & FRAGMENT) !== 0 || packet.byteLength < headerBytes + UDP_BYTES) return undefined;
  const segment = packet.subarray(headerBytes);
  return {
    source: packet.subarray(12, 16).join('.'),
    destination: packet.subarray(16, 20).join('.'),
    sourcePort: segment.readUInt16BE(0),
    destinationPort: segment.readUInt16BE(2),
    // A short frame is padded, so the length in the header decides.
    payload: segment.subarray(UDP_BYTES, segment.readUInt16BE(4)),
  };
}
