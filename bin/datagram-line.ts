// What the datagrams of coordination say, in words: what `monitor` prints of them for people.
import type { Pulse } from '../lib/coordination-messages.ts';
import { type PeerId, shortId } from '../lib/ids.ts';
import type { Message } from '../lib/messages.ts';
import { type Role, tokenText } from '../lib/roles.ts';
import { listed } from './coordination-words.ts';

/** The wire tells no more than 655 s, which mean never. */
const NEVER_MS = 655_000;

const heardText = (ageMs: number): string => (ageMs >= NEVER_MS ? 'not heard lately' : `heard ${ageMs} ms ago`);

function followsText({ coordinator, term, ageMs, lone }: Pulse, sender: PeerId): string {
  if (coordinator === null) return 'knows of no coordinator';
  if (coordinator === sender) return `coordinates in term ${term}${lone ? ', and hears nobody' : ''}`;
  return `follows ${shortId(coordinator)} in term ${term}, ${heardText(ageMs)}`;
}

/** The grant's number is that of the coordinator whom the pulse names. */
const claimText = ({ role, number }: { readonly role: Role; readonly number: number }): string => `${role} (${number > 0 ? `grant ${number}` : 'an earlier grant'})`;

export function pulseText(pulse: Pulse, sender: PeerId): string {
  const { number, rank, asks, claims, renewals } = pulse;
  const parts = [
    followsText(pulse, sender),
    ...(claims.length > 0 ? [`holds ${listed(claims.map(claimText))}`] : []),
    ...(renewals.length > 0 ? [`renews ${listed(renewals.map((renewal) => `grant ${renewal.number} as of pulse ${renewal.echo}`))}`] : []),
    ...(asks ? ['asks for renewals'] : []),
  ];
  return `pulse ${number} of rank ${rank}: ${parts.join('; ')}`;
}

/** @returns undefined of other messages: their parts say what they say */
export function coordinationText(message: Message, sender: PeerId): string | undefined {
  switch (message.kind) {
    case 'pulse':
      return pulseText(message.pulse, sender);
    case 'election':
      return `election: would coordinate with rank ${message.rank}; knows of term ${message.term}`;
    case 'answer':
      return `answer: ${shortId(message.higher)} lives and is higher than ${shortId(message.candidate)}`;
    case 'coordinator':
      return `coordinator: coordinates in term ${message.term}`;
    case 'suspect':
      return `suspect: ${shortId(message.coordinator)}, coordinator of term ${message.term}, seems to be dead`;
    case 'promised':
      return `promised: term ${message.term} has been claimed; claim a greater one`;
    case 'grant':
      return `grant: hold ${message.role} by ${tokenText({ term: message.term, coordinator: sender, number: message.number })}, boot ${shortId(message.boot)} as of pulse ${message.echo}`;
    case 'revoke':
      return `revoke: let go of ${message.role}, term ${message.term}`;
    case 'release':
      return `release: holds ${message.role} no more (${message.why}), grant ${message.number} of term ${message.term}`;
    case 'relay':
      return `relay: is ${shortId(message.peer)} alive?`;
    case 'relayed':
      return `relayed: ${shortId(message.peer)} is alive`;
    case 'died':
      return `died: the process of ${shortId(message.peer)} has ended, boot ${shortId(message.boot)}`;
    default:
      return undefined;
  }
}
