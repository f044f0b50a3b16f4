// What the documents say against what the code does: numbers, messages, frames, sections of the database, methods, kinds of registers,
// error codes, machines, tests that are named, links.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import t from 'tap';
import { CHALLENGE_PADDING_BYTES, NONCE_BYTES } from '../../lib/boot-messages.ts';
import { decode } from '../../lib/codec.ts';
import { type BootId, type EpochId, type NetworkId, type PeerId, randomEpochId, randomId } from '../../lib/ids.ts';
import { isUserData } from '../../lib/kinds.ts';
import * as limits from '../../lib/limits.ts';
import { encodeMessage, heardName, type Message } from '../../lib/messages.ts';
import { PAYLOAD_BYTES_MAX, SEAL_BYTES } from '../../lib/seal.ts';
import { BODY_BYTES_MAX, FRAME } from '../../peer/stream/frame.ts';
import { NO_OFFER, NO_PULSE } from '../sim/pulse.ts';

function findRoot(folder = import.meta.dirname): string {
  return existsSync(join(folder, 'package.json')) && existsSync(join(folder, 'docs')) ? folder : findRoot(dirname(folder));
}
const root = findRoot();
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const LAYERS = ['bin', 'peer', 'discovery', 'storage', 'lib'];
const filesIn = (folder: string, ending: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name));
const sources = LAYERS.flatMap((layer) => filesIn(layer, '.ts')).map((path) => ({ path, text: read(path) }));

const protocol = read('docs/PROTOCOL.md');
const consistency = read('docs/CONSISTENCY.md');
const architecture = read('docs/ARCHITECTURE.md');
/** Wherever lines end. */
const protocolSays = (text: string): boolean => protocol.replace(/\s+/g, ' ').includes(text);

/** The text under a heading, up to the next of its rank. */
function section(text: string, heading: string): string {
  const from = text.indexOf(`\n## ${heading}\n`);
  if (from < 0) throw new Error(`no section ${heading}`);
  const to = text.indexOf('\n## ', from + 1);
  return text.slice(from, to < 0 ? undefined : to);
}

/** Rows of the tables whose first heading is `first`, without heads and rules. */
function rowsOf(text: string, first: string): string[][] {
  const rows: string[][] = [];
  let inside = false;
  for (const line of text.split('\n')) {
    const cells = line.startsWith('|') ? line.split('|').slice(1, -1).map((cell) => cell.trim()) : undefined;
    if (cells === undefined) inside = false;
    else if (cells[0] === first) inside = true;
    else if (inside && !/^-+$/.test(cells[0] as string)) rows.push(cells);
  }
  return rows;
}

/** The value of a literal constant: numbers, texts, lists and named ones of them, with arithmetic. */
function evaluate(expression: string): unknown {
  if (!/^(?:[\d\s.,_xa-f+*/()[\]{}-]|\w+: |'[^']*')+$/i.test(expression)) throw new Error(`not a literal: ${expression}`);
  return Function(`return (${expression})`)();
}

t.test('every bound in PROTOCOL.md is that of lib/limits.ts, and none of the protocol is left out', async (t) => {
  const rows = rowsOf(section(protocol, 'Bounds'), 'constant');
  const documented = new Map(rows.map(([name, value]) => [name as string, Number(value)]));
  t.equal(documented.size, rows.length, 'each once');
  for (const [name, value] of documented) t.equal(value, (limits as Record<string, unknown>)[name], name);
  // HTTP and the scanner are bounded for this machine's sake, and are no part of the protocol.
  const parts = read('lib/limits.ts').split(/^\/\/ --- /m).slice(1).filter((part) => !/^(HTTP|music files)/.test(part));
  const names = parts.flatMap((part) => [...part.matchAll(/^export const (\w+)/gm)].map((match) => match[1] as string));
  t.ok(names.length > 50);
  t.same(names.filter((name) => !documented.has(name)), [], 'bounds that are not documented');
});

t.test('every other constant in PROTOCOL.md is that of its file', async (t) => {
  const rows = rowsOf(section(protocol, 'Timers and other constants'), 'constant') as [string, string, string][];
  t.ok(rows.length > 60);
  for (const [name, value, path] of rows) {
    const declared = new RegExp(`^(?:export )?const ${name}(?:: [^=]+)? = ([^;]+?)(?: as const)?;`, 'm').exec(read(path));
    t.same(declared && evaluate(declared[1] as string), evaluate(value), `${name} of ${path}`);
  }
});

t.test('every time and every count by which coordination decides is in PROTOCOL.md', async (t) => {
  const rows = rowsOf(section(protocol, 'Timers and other constants'), 'constant');
  const documented = new Set(rows.map(([name, , path]) => `${name} of ${path}`));
  const named = sources.flatMap(({ path, text }) => {
    if (!path.startsWith('peer/coordination/')) return [];
    return [...text.matchAll(/^(?:export )?const ([A-Z_]+)(?:: [^=]+)? = [\d[]/gm)].map(([, name]) => `${name} of ${path}`);
  });
  t.ok(named.length > 30);
  t.same(named.filter((constant) => !documented.has(constant)), []);
});

t.test('every message has the number and the number of elements that PROTOCOL.md says', async (t) => {
  const peer = randomId<PeerId>();
  const epoch: EpochId = randomEpochId();
  const nonce = new Uint8Array(NONCE_BYTES);
  const operation = { origin: peer, epoch, seq: 1, lamport: 1, key: 'key', value: null };
  const examples: { readonly [Kind in Message['kind']]: Extract<Message, { kind: Kind }> } = {
    beat: { kind: 'beat', port: 1, periodMs: 1_000, lamport: 1, root: new Uint8Array(8), head: { epoch, seq: 1 }, heard: [heardName(peer)], asks: false, network: randomId<NetworkId>(), user: true, pulse: NO_PULSE, offer: NO_OFFER },
    goodbye: { kind: 'goodbye' },
    ping: { kind: 'ping', nonce: 1 },
    pong: { kind: 'pong', nonce: 1 },
    operations: { kind: 'operations', network: randomId<NetworkId>(), operations: [operation] },
    challenge: { kind: 'challenge', nonce, padding: new Uint8Array(CHALLENGE_PADDING_BYTES), boot: null, verifier: null },
    proof: { kind: 'proof', nonce, counter: 1, publicKey: new Uint8Array(32), signature: new Uint8Array(64), boot: null },
    fetch: { kind: 'fetch', id: 1, serial: 0, method: 'chunk', params: [], slices: [0] },
    slice: { kind: 'slice', id: 1, edition: 1, serial: 0, count: 1, index: 0, bytes: new Uint8Array(1) },
    refusal: { kind: 'refusal', id: 1, code: 'NOT_FOUND', message: '' },
    clone: { kind: 'clone', boot: randomId<BootId>() },
    pulse: { kind: 'pulse', pulse: NO_PULSE },
    election: { kind: 'election', rank: 0, term: 1 },
    answer: { kind: 'answer', candidate: peer, higher: peer },
    coordinator: { kind: 'coordinator', term: 1 },
    suspect: { kind: 'suspect', coordinator: peer, term: 1 },
    promised: { kind: 'promised', term: 1 },
    grant: { kind: 'grant', role: 'users', term: 1, number: 1, boot: randomId<BootId>(), echo: 1 },
    revoke: { kind: 'revoke', role: 'users', term: 1 },
    release: { kind: 'release', role: 'users', term: 1, number: 1, why: 'leaving' },
    relay: { kind: 'relay', peer },
    relayed: { kind: 'relayed', peer, boot: randomId<BootId>() },
    died: { kind: 'died', peer, boot: randomId<BootId>() },
  };
  const documented = rowsOf(section(protocol, 'Datagrams'), 'type').map(([type, kind, rest]) => {
    // Commas inside of brackets part no elements.
    const elements = (rest as string).replace(/\[[^\]]*\]/g, 'list').split(',').filter((element) => element.trim() !== '');
    return [kind, Number(type), elements.length];
  });
  const coded = Object.values(examples).map((message) => {
    const tuple = decode(encodeMessage(message), { bytesMax: PAYLOAD_BYTES_MAX, code: 'BAD_MESSAGE' }) as unknown[];
    return [message.kind, tuple[0], tuple.length - 1];
  });
  t.same(documented, coded);
});

t.test('every frame type has the number that PROTOCOL.md says', async (t) => {
  const rows = rowsOf(section(protocol, 'Streams'), 'type').map(([type, name]) => [name, Number(type)]);
  t.same(rows, Object.entries(FRAME));
  t.ok(protocolSays(`a body at most ${BODY_BYTES_MAX};`));
});

t.test('the layout of sealed datagrams adds up to what the code says', async (t) => {
  const rows = rowsOf(section(protocol, 'Datagrams'), 'offset').map(([offset, bytes]) => [offset, bytes]);
  let at = 0;
  for (const [offset, bytes] of rows) {
    t.equal(offset, at === SEAL_BYTES - 16 && bytes === '16' ? `${at} + n` : String(at));
    if (bytes !== 'n') at += Number(bytes);
  }
  t.equal(at, SEAL_BYTES);
  t.ok(protocolSays(`A payload has at most ${PAYLOAD_BYTES_MAX} bytes`));
});

t.test('every method that a peer answers, and no other, is a request of PROTOCOL.md', async (t) => {
  const documented = rowsOf(section(protocol, 'Requests'), 'method').map(([method]) => (method as string).replaceAll('`', ''));
  const named = sources.flatMap(({ path, text }) => {
    if (!path.startsWith('peer')) return [];
    return [...text.matchAll(/^(?:export )?const [A-Z]+_METHOD = '([^']+)'/gm), ...text.matchAll(/^ *handle\('(sync\.\w+)',/gm)].map((match) => match[1] as string);
  });
  t.same([...documented].sort(), [...new Set(named)].sort());
});

t.test('every section of the database is in ARCHITECTURE.md, and no other', async (t) => {
  const documented = rowsOf(section(architecture, 'On disk'), 'Level section').map(([name]) => (name as string).replaceAll('`', ''));
  const named = sources.flatMap(({ text }) => [...text.matchAll(/\bsection\(\w+, ['`]([^'`]+)['`]\)/g)].map((match) => (match[1] as string).replace(/@\$\{\w+\}$/, '@<network>')));
  t.ok(named.length > 0);
  t.same([...documented].sort(), [...new Set(named)].sort());
});

/** Up to the first id in it. */
const registerKeys = rowsOf(section(protocol, 'Registers'), 'key').map(([key]) => (key as string).replaceAll('`', '').replace(/<.*/, ''));

t.test('every register key that is written or read is in PROTOCOL.md', async (t) => {
  const documented = registerKeys;
  const named = sources.flatMap(({ text }) => [...text.matchAll(/[`'](\w+\/)(?:\$\{(?:song|payload|peer|self|id)\}|')/g)].map((match) => match[1] as string));
  // timers and texts that are signed
  const registers = named.filter((key) => !['acknowledge/', 'boot/', 'keep/', 'spotify-peer/'].includes(key));
  t.ok(registers.length > 0);
  t.same([...new Set(registers)].filter((key) => !documented.includes(key)), []);
  const isNamed = (key: string): boolean => sources.some(({ text }) => (key.endsWith('/') ? [`'${key}`, `\`${key}`] : [`'${key}'`]).some((literal) => text.includes(literal)));
  for (const key of documented) t.ok(isNamed(key), `${key} is in the code`);
});

t.test('every kind of register is in CONSISTENCY.md, and no other', async (t) => {
  const documented = rowsOf(section(consistency, 'Each kind of data'), 'kind').map(([kind]) => (kind as string).replaceAll('`', ''));
  t.same([...documented].sort(), registerKeys.map((key) => key.replace('/', '')).sort());
});

t.test('the kinds that PROTOCOL.md calls owned are those that a program may drop', async (t) => {
  const [, list] = /((?:`\w+`(?:, | and )?)+) are \*owned\*/.exec(protocol) ?? [];
  const documented = [...(list as string).matchAll(/\w+(?=`)/g)].map(([kind]) => kind);
  t.same([...documented].sort(), registerKeys.filter((key) => !isUserData(key)).map((key) => key.replace('/', '')).sort());
});

t.test('every machine of ARCHITECTURE.md is held to purity, and no other file of replication is', async (t) => {
  const { forbidden } = createRequire(import.meta.url)(join(root, '.dependency-cruiser.cjs')) as { forbidden: readonly { readonly name: string; readonly from: { readonly path: string } }[] };
  const rules = forbidden.filter(({ name }) => name.startsWith('protocols-')).map(({ from }) => new RegExp(from.path));
  t.ok(rules.length > 0);
  const machines = rowsOf(section(architecture, 'Pure machines and their driver'), 'machine').flatMap(([cell]) => {
    const [first, ...others] = [...(cell as string).matchAll(/`([\w./-]+\.ts)`/g)].map((match) => match[1] as string);
    return [first as string, ...others.map((name) => (name.includes('/') ? name : join(dirname(first as string), name)))];
  });
  t.ok(machines.length > 15);
  for (const machine of machines) t.ok(rules.every((rule) => rule.test(machine)), machine);
  const held = sources.map(({ path }) => path).filter((path) => rules.some((rule) => rule.test(path)));
  t.same(held.filter((path) => !machines.includes(path)), [], 'files that are held to purity and are not in the table');
});

t.test('every error code that the documents name is one', async (t) => {
  const codes = new Set([...read('lib/errors.ts').matchAll(/^ {2}\| '([A-Z_]+)'/gm)].map((match) => match[1] as string));
  const constants = new Set(sources.flatMap(({ text }) => [...text.matchAll(/^(?:export )?const ([A-Z_\d]+)\b/gm)].map((match) => match[1] as string)));
  let named = 0;
  for (const document of ['docs/PROTOCOL.md', 'docs/ROLES.md', 'docs/CONSISTENCY.md', 'docs/SECURITY.md', 'docs/ARCHITECTURE.md']) {
    for (const [word] of read(document).matchAll(/(?<![\w-])(?!TLS_|SPOTIFY_)[A-Z]{2,}(?:_[A-Z\d]+)+(?![\w-])/g)) {
      if (constants.has(word)) continue;
      named += 1;
      t.ok(codes.has(word), `${document}: ${word}`);
    }
  }
  t.ok(named > 10);
});

const documents = [...readdirSync(root).filter((name) => name.endsWith('.md')), ...filesIn('docs', '.md'), ...filesIn('test', '.md'), ...filesIn('bench', '.md')];

/** As GitHub makes anchors of headings. */
const anchorOf = (heading: string): string => heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').trim().replaceAll(' ', '-');
const withoutCode = (text: string): string => text.replace(/^```[\s\S]*?^```/gm, '').replace(/^ {4}.*$/gm, '');
const anchorsOf = (path: string): string[] => [...withoutCode(read(path)).matchAll(/^#+ (.+)$/gm)].map((match) => anchorOf(match[1] as string));

t.test('every link inside of the documents leads somewhere', async (t) => {
  let links = 0;
  for (const document of documents) {
    for (const [, target] of withoutCode(read(document)).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target as string)) continue;
      links += 1;
      const [path, anchor] = (target as string).split('#') as [string, string?];
      const file = path === '' ? document : join(dirname(document), path);
      if (!existsSync(join(root, file))) t.fail(`${document}: ${target}`);
      else if (anchor !== undefined && !anchorsOf(file).includes(anchor)) t.fail(`${document}: no heading for ${target}`);
    }
  }
  t.ok(links > 20);
});

t.test('every file that the documents name exists', async (t) => {
  let named = 0;
  for (const document of documents) {
    for (const [, path] of read(document).matchAll(/`((?:bin|peer|discovery|storage|lib|web|test|bench|scripts|docs)\/[\w./-]+\.(?:ts|js|mjs|md))`/g)) {
      named += 1;
      t.ok(existsSync(join(root, path as string)), `${document}: ${path}`);
    }
  }
  t.ok(named > 30);
});

t.test('every test that the documents name by its claim exists', async (t) => {
  let named = 0;
  for (const document of documents) {
    for (const [, path, claims] of read(document).matchAll(/`(test\/[\w./-]+\.ts)`((?:[,\s(]+"[^"]+")+)/g)) {
      const test = read(path as string);
      for (const [, claim] of (claims as string).matchAll(/"([^"]+)"/g)) {
        named += 1;
        t.ok(test.includes(`'${(claim as string).replace(/\s+/g, ' ')}'`), `${document}: ${path}: ${claim}`);
      }
    }
  }
  t.ok(named > 5);
});

t.test('every decision is in the index, under its number', async (t) => {
  const index = read('docs/decisions/README.md');
  const files = readdirSync(join(root, 'docs/decisions')).filter((name) => name !== 'README.md').sort();
  const records = files.map((name) => {
    const [, number, title] = /^# (\d+)\. (.+)/.exec(read(join('docs/decisions', name))) ?? [];
    t.equal(Number(name.slice(0, 4)), Number(number), name);
    return `| ${number} | [${title}](${name}) |`;
  });
  t.same([...index.matchAll(/^\| \d.*$/gm)].map(([row]) => row), records);
});
