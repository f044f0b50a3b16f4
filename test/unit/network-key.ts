// Identities, network codes and passphrases, and which keys are taken during a rotation.
import fc from 'fast-check';
import t from 'tap';
import { PeerError } from '../../lib/errors.ts';
import { generateIdentity, identityFromPem, isSignature, peerOf } from '../../lib/identity.ts';
import { Keyring, ROTATION_MS } from '../../lib/keyring.ts';
import { closeNetwork, codeOf, deriveFrom, KEY_BYTES, type Network, networkFromCode, networkFromText, networkHash, openNetwork, parseNetworkName } from '../../lib/network-key.ts';
import { neighbours, numberOf, wordOf } from '../../lib/words.ts';

const networkOf = (name: string, key: Uint8Array): Network => ({ name, key, open: false });
const anyKey = fc.uint8Array({ minLength: KEY_BYTES, maxLength: KEY_BYTES });
const problemOf = (text: string): string => {
  try {
    networkFromCode(text);
  } catch (error) {
    if (error instanceof PeerError && error.code === 'BAD_CODE') return error.message;
    throw error;
  }
  return '';
};

t.test('an identity comes back from its file as the same peer', async (t) => {
  const identity = generateIdentity();
  const again = identityFromPem(identity.toPem());
  t.equal(again.peer, identity.peer);
  t.equal(peerOf(again.publicKey), identity.peer);
  const text = Buffer.from('hello');
  t.ok(isSignature(identity.publicKey, text, again.sign(text)));
  t.notOk(isSignature(identity.publicKey, Buffer.from('hullo'), again.sign(text)));
  t.notOk(isSignature(generateIdentity().publicKey, text, again.sign(text)));
  t.throws(() => identityFromPem('nonsense'), { code: 'BAD_FILE' });
});

t.test('whatever bytes are called a public key and a signature, checking them does not throw', async () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 70 }), (key, signature) => !isSignature(key, Buffer.from('x'), signature)));
  fc.assert(fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.uint8Array({ minLength: 64, maxLength: 64 }), (key, signature) => typeof isSignature(key, Buffer.from('x'), signature) === 'boolean'));
});

t.test('every 16 bits are one word, and back', async (t) => {
  const words = new Set<string>();
  for (let number = 0; number < 65_536; number++) {
    const word = wordOf(number);
    if (numberOf(word) !== number) t.fail(word);
    words.add(word);
  }
  t.equal(words.size, 65_536);
  t.equal(new Set(neighbours(wordOf(0))).size, 3 * 15 + 2 * 3);
});

t.test('a code brings name and key of its network, whatever its case and separators', async () => {
  fc.assert(
    fc.property(anyKey, fc.constantFrom('home', 'cottage', 'flat-3'), fc.constantFrom('-', ' ', '', '.', '\n', ' - '), fc.boolean(), (key, name, separator, loud) => {
      const [, prefix = '', words] = /^(.*:)?(.*)$/.exec(codeOf(networkOf(name, key))) as RegExpExecArray;
      const typed = ` ${prefix}${(words as string).split('-').join(separator)} `;
      const network = networkFromCode(loud ? typed.toUpperCase() : typed);
      return network.name === name && Buffer.compare(network.key, key) === 0 && !network.open;
    }),
  );
});

t.test('a code with one wrong letter is refused, and its word is named in at least 96 of 100 cases', async (t) => {
  let named = 0;
  const runs = 300;
  fc.assert(
    fc.property(anyKey, fc.nat(8), fc.nat(50), (key, at, which) => {
      const words = codeOf(networkOf('home', key)).split('-');
      const slips = [...neighbours(words[at] as string)];
      const problem = problemOf(words.with(at, slips[which % slips.length] as string).join('-'));
      if (problem.includes(`word ${at + 1},`) && problem.includes(`"${words[at]}" would fit`)) named += 1;
      return problem !== '';
    }),
    { numRuns: runs },
  );
  t.ok(named >= runs * 0.96, `${named} of ${runs}`);
});

t.test('what is wrong with a code is said in words', async (t) => {
  const words = codeOf(networkOf('home', new Uint8Array(KEY_BYTES))).split('-');
  t.match(problemOf(words.with(3, 'qqqqq').join('-')), 'word 4, "qqqqq", is mistyped');
  t.match(problemOf(words.slice(1).join('-')), 'it has 8 words, and should have 9');
  t.match(problemOf(words.with(0, 'zuzuz').with(5, 'zuzuz').join('-')), 'do not fit together');
  t.match(problemOf(`cottage:${words.join('-')}`), /fit/, 'the check word is for its network only');
  t.match(problemOf(`co tt!age:${words.join('-')}`), 'before the colon');
  await t.rejects(networkFromText(words.with(3, 'qqqqq').with(7, 'x').join('-'), { name: 'home' }), { code: 'BAD_CODE' }, 'a damaged code is not taken for a passphrase');
});

t.test('no text makes a code throw anything but BAD_CODE', async () => {
  fc.assert(fc.property(fc.string(), (text) => problemOf(text) !== ''));
});

t.test('a passphrase and a name lead to one key everywhere', async (t) => {
  const text = 'correct horse battery staple';
  const network = await networkFromText(text, { name: 'home' });
  t.notOk(network.open);
  t.strictSame((await networkFromText(`  ${text} `, { name: 'home' })).key, network.key);
  t.notSame((await networkFromText(text, { name: 'cottage' })).key, network.key);
  t.strictSame(networkFromCode(codeOf(network)), network, 'and has a code like any other');
  await t.rejects(networkFromText('too short', { name: 'home' }), { code: 'BAD_CODE' });
});

t.test('an open network follows from its name; a closed one of that name is another', async (t) => {
  t.strictSame(openNetwork('home'), openNetwork('home'));
  const hashes = [openNetwork('home'), openNetwork('cottage'), closeNetwork('home'), closeNetwork('home')].map((network) => networkHash(network).toString('hex'));
  t.equal(new Set(hashes).size, 4);
  const { key } = openNetwork('home');
  t.notSame(networkHash(networkOf('home', key)), deriveFrom(networkOf('home', key), 'datagram', 4), 'one purpose says nothing of another');
});

t.test('a name fits DNS', async (t) => {
  t.equal(parseNetworkName(' Flat-3 '), 'flat-3');
  for (const bad of ['', '-a', 'a-', 'a--b', 'a.b', 'ä', 'a b', 'a'.repeat(33)]) t.throws(() => parseNetworkName(bad), { code: 'BAD_USAGE' }, bad);
});

t.test('a rotated key is taken for seven days beside the new one; a replaced one no longer', async (t) => {
  let now = 1_000;
  const [first, second] = [closeNetwork('home'), closeNetwork('home')];
  const keys = new Keyring(first, { wall: () => now });
  const before = keys.current.hash;
  keys.rotate(second);
  t.equal(keys.current.network, second);
  t.strictSame(keys.accepted.map(({ network }) => network), [second, first]);
  t.strictSame(new Keyring(second, { previous: keys.previous, wall: () => now }).find(before)?.network, first, 'also after a restart');
  now += ROTATION_MS - 1;
  t.equal(keys.find(before)?.network, first);
  now += 1;
  t.equal(keys.find(before), undefined);
  t.strictSame(keys.accepted.map(({ network }) => network), [second]);
  now -= ROTATION_MS;
  keys.replace(openNetwork('cottage'));
  t.equal(keys.find(before), undefined);
  t.equal(keys.accepted.length, 1);
});
