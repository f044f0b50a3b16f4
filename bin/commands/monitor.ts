// Watches the groups as a member would hear them, with the key of the network that this data folder is in. It sends
// nothing and needs no running peer.
import { Group } from '../../discovery/group.ts';
import { listInterfaces } from '../../discovery/interfaces.ts';
import { messageOf, PeerError } from '../../lib/errors.ts';
import { hex, type PeerId, shortId } from '../../lib/ids.ts';
import { Keyring } from '../../lib/keyring.ts';
import { isEvent } from '../../lib/kinds.ts';
import { decodeMessage, type Message } from '../../lib/messages.ts';
import { DEFAULT_NETWORK_NAME, openNetwork } from '../../lib/network-key.ts';
import type { Operation } from '../../lib/operation.ts';
import { Opener } from '../../lib/seal.ts';
import { describeEvent } from '../../peer/describe-event.ts';
import { Settings } from '../../peer/settings.ts';
import { type DataOptions, dataFolder } from '../data-folder.ts';
import { coordinationText, pulseText } from '../datagram-line.ts';
import { parseGroup } from '../addresses.ts';
import { printable } from '../text.ts';

export interface MonitorOptions extends DataOptions {
  readonly json?: boolean;
  readonly group: string;
  readonly interface: readonly string[];
}

export async function monitor({ json, group, interface: names, ...options }: MonitorOptions): Promise<void> {
  const { host: base, port } = parseGroup(group);
  const { network = openNetwork(DEFAULT_NETWORK_NAME) } = await Settings.open(dataFolder(options));
  const opener = new Opener({ keys: new Keyring(network, { wall: () => Date.now() }) });
  const interfaces = listInterfaces(names);
  if (names.length > 0 && interfaces.length === 0) throw new PeerError('BAD_USAGE', `no interface here is called ${names.join(' or ')} and has an IPv4 address`);
  const print = json ? printJson : printLine;
  if (!json) process.stdout.write(`watching network ${network.name} on ${interfaces.map((one) => one.name).join(', ') || 'no interface'}; Ctrl-C ends\n`);
  const groups = (['members', 'catalog'] as const).map((name) => {
    const socket = new Group({ name, base, port, interfaces });
    socket.on('message', (bytes, { address }) => {
      const opened = opener.open(bytes);
      const where = { group: name, from: address, bytes: bytes.byteLength };
      if (opened.kind === 'dropped') {
        const version = opened.reason === 'version' ? { version: opened.version } : {};
        print({ ...where, dropped: opened.reason, ...version }, `dropped (${[opened.reason, ...Object.values(version)].join(' ')})`);
        return;
      }
      const { facts, text } = describe(opened.payload, opened.sender);
      print({ ...where, peer: opened.sender, counter: opened.counter, ...facts }, text);
    });
    return socket;
  });
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, resolve);
  });
  await Promise.all(groups.map((socket) => socket.close()));
}

type Facts = Record<string, unknown>;

/** A message for programs, and for people. */
function describe(payload: Uint8Array, sender: PeerId): { readonly facts: Facts; readonly text: string } {
  try {
    const message = decodeMessage(payload);
    return message ? { facts: factsOf(message), text: textOf(message, sender) } : { facts: { kind: 'unknown' }, text: 'unknown' };
  } catch (error) {
    const why = messageOf(error);
    return { facts: { kind: 'malformed', why }, text: `malformed: ${why}` };
  }
}

export function textOf(message: Message, sender: PeerId): string {
  const { kind, pulse: _, ...parts } = factsOf(message);
  if (message.kind === 'beat') return `beat ${JSON.stringify(parts)}, ${pulseText(message.pulse, sender)}`;
  return coordinationText(message, sender) ?? `${kind as string} ${JSON.stringify(parts)}`;
}

/** Nobody reads bytes: hashes are in hex, values are told by their lengths and by what the event log says of them. */
export function factsOf(message: Message): Facts {
  switch (message.kind) {
    case 'beat':
      return { ...message, root: hex(message.root), head: message.head && `${shortId(message.head.epoch)}:${message.head.seq}` };
    case 'operations':
      return { kind: message.kind, network: message.network, origin: message.operations[0]?.origin, operations: message.operations.map(operationFacts) };
    case 'challenge':
      return { kind: message.kind, nonce: hex(message.nonce), boot: message.boot, verifier: message.verifier };
    case 'proof':
      return { kind: message.kind, nonce: hex(message.nonce), counter: message.counter, boot: message.boot };
    case 'slice':
      return { ...message, bytes: message.bytes.byteLength };
    default:
      return { ...message };
  }
}

function operationFacts({ epoch, seq, lamport, key, value }: Operation): Facts {
  const own = { epoch, seq, lamport, key, bytes: value?.byteLength ?? null };
  return isEvent(key) ? { ...describeEvent({ key, value }), ...own } : own;
}

const printJson = (facts: Facts): void => void process.stdout.write(`${JSON.stringify({ at: Date.now(), ...facts })}\n`);

function printLine({ group, from, bytes, peer, counter }: Facts, text: string): void {
  const time = new Date().toISOString().slice(11, 23);
  const who = typeof peer === 'string' ? `${shortId(peer)}#${counter as number}` : '';
  process.stdout.write(`${printable(`${time} ${group as string} ${from as string} ${bytes as number} B ${who} ${text}`)}\n`);
}
