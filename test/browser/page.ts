// The page in a real browser, over made-up songs.
import t, { type Test } from 'tap';
import { type HttpServer, openHttp } from '../../peer/http/server.ts';
import { type FakePeer, type FakePeerOptions, fakePeer } from '../fixtures/fake-peer.ts';
import { Chromium, findChromium, type Page } from './chromium.ts';

const path = await findChromium();
const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844, touch: true };

async function serve(t: Test, options: FakePeerOptions = {}): Promise<{ peer: FakePeer; server: HttpServer }> {
  const peer = fakePeer(options);
  const server = await openHttp({ peer, address: { host: '127.0.0.1', port: 0 }, version: '0' });
  t.teardown(() => server.close());
  return { peer, server };
}

const shown = "document.querySelectorAll('.song:not(.waiting)').length > 0";
const textOf = (page: Page, selector: string): Promise<string> => page.evaluate(`document.querySelector(${JSON.stringify(selector)})?.textContent ?? ''`);

t.test('the page', { skip: path === undefined && 'no Chromium on this machine (apt-get install chromium)' }, async (t) => {
  const chromium = await Chromium.open(path as string);
  t.teardown(() => chromium.close());
  t.afterEach(() => t.same(chromium.errors.splice(0), [], 'no error in the console'));

  await t.test('lists songs, and shows texts of others as texts', async (t) => {
    const { server } = await serve(t);
    const page = await chromium.page(server.url, DESKTOP);
    await page.until(shown);
    t.equal(await textOf(page, '#songs-count'), '60 songs');
    t.match(await textOf(page, '#list'), /<img src=x onerror/);
    t.equal(await page.evaluate("document.querySelectorAll('#list img').length"), 0);
    t.match(await textOf(page, '#network'), /open/);
    t.match(await textOf(page, '#open-note'), /everybody on this LAN/);
    t.match(await textOf(page, '#peers-list'), /kitchen.*studio.*192\.168\.1\.20:17784.*Nora's laptop.*gone/);
    t.equal(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), true);
  });

  await t.test('searches as one types, and from its address', async (t) => {
    const { server } = await serve(t);
    const page = await chromium.page(`${server.url}/?q=quill`, DESKTOP);
    await page.until(shown);
    t.equal(await textOf(page, '#songs-title'), '“quill”');
    t.equal(await textOf(page, '#songs-count'), '8 songs');
    await page.evaluate("document.querySelector('#search').select()");
    await page.type('harbour clocks');
    await page.until("document.querySelector('#songs-title').textContent === '“harbour clocks”'");
    t.equal(await page.evaluate("new URL(location).searchParams.get('q')"), 'harbour clocks');
    await page.evaluate("document.querySelector('#search').select()");
    await page.type('zzz');
    await page.until("!document.querySelector('#empty').hidden");
    t.match(await textOf(page, '#empty'), /No song matches/);
    await page.press('Escape');
    await page.until("document.querySelector('#songs-count').textContent === '60 songs'");
  });

  await t.test('plays, goes on to the next song, and is used by keys alone', async (t) => {
    const { peer, server } = await serve(t);
    const page = await chromium.page(server.url, DESKTOP);
    await page.until(shown);
    await page.press('/');
    t.equal(await page.evaluate('document.activeElement.id'), 'search');
    await page.press('ArrowDown');
    await page.press('ArrowDown');
    await page.press('Enter');
    await page.until("document.querySelector('#audio').currentTime > 0.1");
    t.equal(await page.evaluate("document.querySelectorAll('#queue-list li').length"), 59, 'this song and all that follow');
    t.match(peer.calls.at(-1), `audio ${peer.ids[1]} false`);
    await page.press(' ');
    await page.until("document.querySelector('#audio').paused");
    t.equal(await page.evaluate("document.querySelector('#toggle').getAttribute('aria-label')"), 'Play');
    await page.press('ArrowRight');
    t.ok(await page.evaluate("document.querySelector('#audio').currentTime >= 5"));
    await page.press('q');
    t.equal(await page.evaluate("document.querySelectorAll('#queue-list li').length"), 60, 'added');
    await page.press(' ');
    const first = await textOf(page, '#now-title');
    await page.evaluate("const a = document.querySelector('#audio'); a.currentTime = a.duration - 0.2");
    await page.until(`document.querySelector('#now-title').textContent === ${JSON.stringify(first)} && document.querySelector('#audio').currentTime < 2 && document.querySelector('#queue-list li:nth-child(2)').className === 'current'`);
    t.equal(await page.evaluate("getComputedStyle(document.activeElement).outlineStyle !== 'none'"), true, 'one sees where the focus is');
  });

  await t.test('a hundred thousand songs scroll in a few dozen rows', async (t) => {
    const { server } = await serve(t, { songs: 100_000 });
    const page = await chromium.page(server.url, DESKTOP);
    await page.until(shown);
    t.equal(await textOf(page, '#songs-count'), '100,000 songs');
    await page.evaluate('scrollTo(0, document.body.scrollHeight)');
    await page.until("document.querySelector('.song[aria-rowindex=\"100000\"]:not(.waiting)')");
    t.ok((await page.evaluate<number>("document.querySelectorAll('.song').length")) < 80);
  });

  await t.test('follows what changes without being asked', async (t) => {
    const { peer, server } = await serve(t);
    const page = await chromium.page(server.url, DESKTOP);
    await page.until(shown);
    const status = await peer.status();
    peer.status = async () => ({ ...status, members: [{ ...(status.members[0] as NonNullable<(typeof status.members)[0]>), name: 'attic' }] });
    peer.emit({ kind: 'members' });
    await page.until("document.querySelector('#peers-list').textContent.includes('attic')");
    t.pass('a new peer shows');
  });

  await t.test('what people make elsewhere and a change of networks leave the page whole', async (t) => {
    const { peer, server } = await serve(t);
    const page = await chromium.page(server.url, DESKTOP);
    await page.until(shown);
    const status = await peer.status();
    const [studio] = status.members as [(typeof status.members)[0]];
    const saying = (member: Partial<typeof studio>): void => void (peer.status = async () => ({ ...status, members: [{ ...studio, ...member }] }));
    saying({ inSync: false });
    peer.emit({ kind: 'userData' });
    await page.until("document.querySelector('#peers-list').textContent.includes('catching up')");
    saying({ inSync: false, apart: 'e6fd8869'.repeat(4) });
    const search = peer.search;
    peer.search = async (words, { limit, offset }) => {
      const { songs } = await search(words, { limit: Math.min(limit, 7 - offset), offset });
      return { total: 7, songs };
    };
    peer.emit({ kind: 'network' });
    await page.until("document.querySelector('#songs-count').textContent === '7 songs'");
    await page.until("document.querySelector('#peers-list').textContent.includes('in another network of this name')");
    t.equal(await page.evaluate("document.querySelectorAll('.song:not(.waiting)').length"), 7, 'the songs of the other network');
  });

  await t.test('with no music it offers the sample, and it plays', async (t) => {
    const { server } = await serve(t, { songs: 0 });
    const page = await chromium.page(server.url, PHONE);
    await page.until("!document.querySelector('#empty').hidden");
    await page.evaluate("document.querySelector('#empty button').click()");
    await page.until("document.querySelector('#audio').currentTime > 0.1");
    t.equal(await textOf(page, '#now-title'), 'Hello, House');
  });

  await t.test('on a phone it fits, and its views are a touch away', async (t) => {
    const { server } = await serve(t);
    const page = await chromium.page(server.url, PHONE);
    await page.until(shown);
    t.equal(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), true);
    for (const view of ['queue', 'peers', 'songs']) {
      await page.evaluate(`document.querySelector('[data-view=${view}]').click()`);
      t.equal(await page.evaluate(`['songs', 'queue', 'peers'].filter((id) => document.getElementById(id).offsetHeight > 0).join()`), view);
    }
    const small = await page.evaluate<string[]>("[...document.querySelectorAll('button')].filter((b) => b.offsetWidth > 0 && b.offsetWidth < 40).map((b) => b.outerHTML)");
    t.same(small, [], 'no button is too small for a thumb');
  });

  await t.test('every control has a name', async (t) => {
    const { server } = await serve(t);
    const page = await chromium.page(server.url, DESKTOP);
    await page.until(shown);
    const { nodes } = (await page.send('Accessibility.getFullAXTree')) as { nodes: { role?: { value: string }; name?: { value: string }; ignored: boolean }[] };
    const controls = nodes.filter(({ ignored, role }) => !ignored && ['button', 'slider', 'searchbox', 'link', 'progressbar', 'grid'].includes(role?.value ?? ''));
    t.ok(controls.length > 20);
    t.same(controls.filter(({ name }) => !name?.value), []);
  });
});
