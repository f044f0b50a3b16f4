// The few things a peer keeps beside its database, as files that a person can read, copy and delete: who it is, the token
// that manages it, and which network it belongs to. Written aside and renamed, so that a crash leaves the old or the new.
import { randomBytes } from 'node:crypto';
import { chmod, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, messageOf, PeerError } from '../lib/errors.ts';
import { hex } from '../lib/ids.ts';
import { generateIdentity, type Identity, identityFromPem } from '../lib/identity.ts';
import { KEY_BYTES, type Network, NETWORK_HASH_BYTES, networkHash, openNetwork, parseNetworkName } from '../lib/network-key.ts';
import type { Millis } from '../lib/time.ts';
import { makeFolder } from '../storage/database.ts';
import type { Move } from '../storage/network-cache.ts';

const IDENTITY = 'identity.pem';
const TOKEN = 'token';
const SETTINGS = 'settings.json';
/** What has happened and could not be written down is tried again after so long. */
const RETRY_MS: Millis = 10_000;
/** Of a network's key; it becomes the name of a folder. */
const HASH_PATTERN = new RegExp(`^[0-9a-f]{${2 * NETWORK_HASH_BYTES}}$`);

interface StoredNetwork {
  readonly name: string;
  /** Hex; absent for an open network, whose key follows from its name. */
  readonly key?: string | undefined;
}

interface Stored {
  readonly network?: StoredNetwork;
  /** What is cached and pinned in one network goes along to another, in this order. */
  readonly moves?: readonly Move[];
  /** The port of peer traffic that was free at the first start, so that others find this peer again. */
  readonly port?: number;
}

export class Settings {
  #identity: Identity;
  /** 32 random bytes in hex. */
  readonly token: string;
  readonly #folder: string;
  #stored: Stored;
  #saving: Promise<void> = Promise.resolve();
  /** What is so, and is not written down. */
  #unwritten = false;
  readonly #retryMs: Millis;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  private constructor(folder: string, identity: Identity, token: string, stored: Stored, retryMs: Millis) {
    this.#folder = folder;
    this.#identity = identity;
    this.token = token;
    this.#stored = stored;
    this.#retryMs = retryMs;
  }

  /** @param options.retryMs tests are quicker @throws PeerError DATA_FOLDER_UNUSABLE, BAD_FILE */
  static async open(folder: string, { retryMs = RETRY_MS } = {}): Promise<Settings> {
    try {
      await makeFolder(folder);
      const pem = await readOrMake(folder, IDENTITY, () => generateIdentity().toPem());
      const token = await readOrMake(folder, TOKEN, () => randomBytes(32).toString('hex'));
      const stored = parseStored(folder, await readOrMake(folder, SETTINGS, () => '{}\n'));
      return new Settings(folder, identityFromPem(pem), token.trim(), stored, retryMs);
    } catch (error) {
      if (error instanceof PeerError) throw error;
      throw new PeerError('DATA_FOLDER_UNUSABLE', `cannot keep data in ${folder} (${messageOf(error)}); choose another folder with --data`, { cause: error });
    }
  }

  get identity(): Identity {
    return this.#identity;
  }

  /** A new key pair; the one before is gone. */
  async renewIdentity(): Promise<void> {
    const identity = generateIdentity();
    await replace(this.#folder, IDENTITY, identity.toPem());
    this.#identity = identity;
  }

  /** The network this peer was in, or undefined at its first start. */
  get network(): Network | undefined {
    const stored = this.#stored.network;
    if (!stored) return undefined;
    const name = parseNetworkName(stored.name);
    if (stored.key === undefined) return openNetwork(name);
    const key = Buffer.from(stored.key, 'hex');
    if (key.byteLength !== KEY_BYTES) throw new PeerError('BAD_FILE', `the network key in ${join(this.#folder, SETTINGS)} is damaged; join the network again`);
    return { name, key, open: false };
  }

  get port(): number | undefined {
    return this.#stored.port;
  }

  /** Of cache and pins: what a change of network has not brought along yet, because the program was killed or the disk failed. */
  get moves(): readonly Move[] {
    const { moves } = this.#stored;
    return Array.isArray(moves) ? moves.filter((move) => [move?.from, move?.to].every((hash) => typeof hash === 'string' && HASH_PATTERN.test(hash))) : [];
  }

  /** @param along the network whose cache and pins go along into this one, written down with it: one without the other would leave them behind */
  saveNetwork(network: Network, along?: Network): Promise<void> {
    return this.#save(this.#changeTo(network, along));
  }

  /** As `saveNetwork`, of one that is returned to in any case. Never rejects. */
  saveReturn(network: Network, along?: Network): Promise<void> {
    return this.#record(this.#changeTo(network, along));
  }

  /** What is still to be moved. Never rejects. */
  saveMoves(moves: readonly Move[]): Promise<void> {
    return this.#record({ moves });
  }

  savePort(port: number): Promise<void> {
    return this.#save({ port });
  }

  /** Tries once more what could not be written down, and no more then. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    await this.#saving.catch(() => undefined);
    if (this.#unwritten) await this.#record({});
  }

  #changeTo(network: Network, along: Network | undefined): Stored {
    const { name, key, open } = network;
    const moves = along ? [...this.moves, { from: hex(networkHash(along)), to: hex(networkHash(network)) }] : this.moves;
    return { network: { name, key: open ? undefined : Buffer.from(key).toString('hex') }, moves };
  }

  #save(changed: Stored): Promise<void> {
    const save = async (): Promise<void> => {
      const stored = { ...this.#stored, ...changed };
      await replace(this.#folder, SETTINGS, `${JSON.stringify(stored, null, 2)}\n`);
      // only now: the next save would write down what this one could not
      this.#stored = stored;
      this.#unwritten = false;
      clearTimeout(this.#retry);
    };
    return (this.#saving = this.#saving.catch(() => undefined).then(save));
  }

  /** Of what has happened: it holds also where the disk takes nothing, and whatever is written next has it. Never rejects. */
  async #record(changed: Stored): Promise<void> {
    await this.#saving.catch(() => undefined);
    this.#stored = { ...this.#stored, ...changed };
    this.#unwritten = true;
    await this.#save({}).catch(() => {
      clearTimeout(this.#retry);
      if (!this.#closed) this.#retry = setTimeout(() => void this.#record({}), this.#retryMs).unref();
    });
  }
}

function parseStored(folder: string, text: string): Stored {
  try {
    return JSON.parse(text) as Stored;
  } catch (cause) {
    throw new PeerError('BAD_FILE', `${join(folder, SETTINGS)} is damaged; delete it to start with the default network`, { cause });
  }
}

async function readOrMake(folder: string, name: string, make: () => string): Promise<string> {
  try {
    return await readFile(join(folder, name), 'utf8');
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    const text = make();
    await replace(folder, name, text);
    return text;
  }
}

/** Private to the user: both the identity and a closed network's key are secrets. */
async function replace(folder: string, name: string, text: string): Promise<void> {
  const aside = join(folder, `${name}.new`);
  const file = await open(aside, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await chmod(aside, 0o600);
  await rename(aside, join(folder, name));
}
