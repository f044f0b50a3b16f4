// What peers of one network share: a name and a key of 128 bits. An open network's key follows from its name, so it keeps
// networks apart and hides nothing. A closed one's is random and travels as words (lib/words.ts), or follows from a
// passphrase by scrypt (RFC 7914). No cipher ever sees the key itself: every use derives its own by HKDF (RFC 5869).
import { createHash, hkdfSync, randomBytes, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import { PeerError } from './errors.ts';
import { NETWORK_NAME_CHARACTERS_MAX, PASSPHRASE_CHARACTERS_MAX, PASSPHRASE_CHARACTERS_MIN } from './limits.ts';
import { neighbours, numberOf, WORD_LETTERS, wordOf, wordsOf } from './words.ts';

export interface Network {
  /** Lower case, fit for a DNS name. */
  readonly name: string;
  readonly key: Uint8Array;
  readonly open: boolean;
}

export const KEY_BYTES = 16;
export const DEFAULT_NETWORK_NAME = 'home';

/** Public, 4 bytes: what tells a foreign network's datagram before any decryption. Two of 50 networks on one LAN would share
 *  it once in 3 million LANs, and then still could not read each other. */
export const NETWORK_HASH_BYTES = 4;

/** @throws PeerError BAD_USAGE */
export function parseNetworkName(text: string): string {
  const name = text.trim().toLowerCase();
  if (name.length > NETWORK_NAME_CHARACTERS_MAX || !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name)) {
    throw new PeerError('BAD_USAGE', `a network's name has up to ${NETWORK_NAME_CHARACTERS_MAX} letters a to z, digits and single dashes`);
  }
  return name;
}

/** @param name one that parseNetworkName has returned */
export const openNetwork = (name: string): Network => ({
  name,
  key: derive(Buffer.from(name), { salt: 'spotify-peer/open', info: '', length: KEY_BYTES }),
  open: true,
});

/** A new closed network with a random key. */
export const closeNetwork = (name: string): Network => ({ name, key: randomBytes(KEY_BYTES), open: false });

/** Keys for one purpose each; none of them says anything about another, nor about the network's key. */
export type Purpose = 'hash' | 'datagram' | 'stream';

export const deriveFrom = (network: Network, purpose: Purpose, length: number, context: Uint8Array = new Uint8Array()): Buffer =>
  derive(network.key, { salt: `spotify-peer/${purpose}/${network.name}`, info: context, length });

const derive = (key: Uint8Array, { salt, info, length }: { salt: string; info: string | Uint8Array; length: number }): Buffer =>
  Buffer.from(hkdfSync('sha256', key, salt, info, length));

export const networkHash = (network: Network): Buffer => deriveFrom(network, 'hash', NETWORK_HASH_BYTES);

// --- codes

/** Eight words of key and one that checks them and the network's name. */
const CODE_WORDS = KEY_BYTES / 2 + 1;

const checkWord = (name: string, key: Uint8Array): string =>
  wordOf(createHash('sha256').update('spotify-peer/code').update(name).update('\0').update(key).digest().readUInt16BE());

/** What `network close` shows and `network join` takes: `cottage:lusab-babad-…`; without a name it is for `home`. */
export function codeOf({ name, key }: Network): string {
  const words = [...wordsOf(key), checkWord(name, key)].join('-');
  return name === DEFAULT_NETWORK_NAME ? words : `${name}:${words}`;
}

/** A code, or a person's own passphrase for the network called `name`.
 *  @throws PeerError BAD_CODE that says what is wrong */
export async function networkFromText(text: string, { name }: { readonly name: string }): Promise<Network> {
  return looksLikeCode(text) ? networkFromCode(text) : networkFromPassphrase(text, { name });
}

/** Half of the words is enough, so that a code with several slips is refused and never taken for a passphrase. */
function looksLikeCode(text: string): boolean {
  const { words } = splitCode(text);
  return words.filter((word) => numberOf(word) !== undefined).length * 2 >= CODE_WORDS;
}

/** Case and separators do not matter, not even whether there are any. */
function splitCode(text: string): { readonly name: string; readonly words: readonly string[] } {
  const colon = text.lastIndexOf(':');
  const name = colon < 0 ? DEFAULT_NETWORK_NAME : text.slice(0, colon);
  const runs = text.slice(colon + 1, colon + 1 + PASSPHRASE_CHARACTERS_MAX).toLowerCase().split(/[\s._,;+–—-]+/).filter(Boolean);
  const words = runs.flatMap((run) => (run.length % WORD_LETTERS === 0 ? (run.match(/.{5}/gsu) ?? [run]) : [run]));
  return { name, words };
}

/** @throws PeerError BAD_CODE */
export function networkFromCode(text: string): Network {
  const fail = (what: string): never => {
    throw new PeerError('BAD_CODE', `not a network's code: ${what}`);
  };
  const { name: nameText, words } = splitCode(text);
  let name: string;
  try {
    name = parseNetworkName(nameText);
  } catch (cause) {
    throw new PeerError('BAD_CODE', `not a network's code: before the colon, ${(cause as Error).message}`, { cause });
  }
  for (const [i, word] of words.entries()) if (numberOf(word) === undefined) fail(`word ${i + 1}, "${word}", is mistyped`);
  if (words.length !== CODE_WORDS) fail(`it has ${words.length} words, and should have ${CODE_WORDS}`);
  if (!isCode(name, words)) {
    const slip = findSlip(name, words);
    fail(slip ? `word ${slip.at + 1}, "${words[slip.at]}", is mistyped; "${slip.meant}" would fit` : 'its words do not fit together; compare each with the original');
  }
  return { name, key: keyOf(words), open: false };
}

const keyOf = (words: readonly string[]): Buffer => {
  const key = Buffer.alloc(KEY_BYTES);
  for (const [i, word] of words.slice(0, -1).entries()) key.writeUInt16BE(numberOf(word) as number, i * 2);
  return key;
};

const isCode = (name: string, words: readonly string[]): boolean => checkWord(name, keyOf(words)) === words.at(-1);

/** The one letter that, exchanged, makes the check word fit. Of 585 candidates a wrong one fits by chance in 1 of 112 codes,
 *  which is why it is told to the person and not just taken. */
function findSlip(name: string, words: readonly string[]): { readonly at: number; readonly meant: string } | undefined {
  for (const [at, word] of words.entries()) {
    for (const meant of neighbours(word)) if (isCode(name, words.with(at, meant))) return { at, meant };
  }
  return undefined;
}

// --- passphrases

const scryptAsync = promisify<Buffer, Buffer, number, { N: number; r: number; p: number; maxmem: number }, Buffer>(scrypt);

/** The name is the salt, since all who type the same two must reach the same key.
 *  @throws PeerError BAD_CODE when it is too short to withstand guessing, or too long */
export async function networkFromPassphrase(passphrase: string, { name }: { readonly name: string }): Promise<Network> {
  const text = passphrase.trim().normalize('NFC');
  if (text.length < PASSPHRASE_CHARACTERS_MIN || text.length > PASSPHRASE_CHARACTERS_MAX) {
    throw new PeerError('BAD_CODE', `neither a network's code nor a passphrase of ${PASSPHRASE_CHARACTERS_MIN} to ${PASSPHRASE_CHARACTERS_MAX} characters`);
  }
  // 128 * N * r is exactly the default maxmem, which scrypt then refuses
  const key = await scryptAsync(Buffer.from(text), Buffer.from(`spotify-peer/passphrase/${name}`), KEY_BYTES, { N: 2 ** 15, r: 8, p: 1, maxmem: 2 ** 26 });
  return { name, key, open: false };
}
