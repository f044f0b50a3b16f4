// Who is there, and what they share.
import { byId, element, plural, size } from './dom.js';

const STATES = { alive: 'online', suspect: 'not answering', dead: 'gone', left: 'left' };

/** @param {string} key @param {string} value */
const fact = (key, value) => element('div', {}, element('span', { className: 'key' }, key), element('span', {}, value));

/** @param {{ name: string, state: string, text: string, where: string }} peer */
const row = ({ name, state, text, where }) =>
  element('li', { className: state }, element('span', { className: 'dot', 'aria-hidden': 'true' }), element('strong', {}, name), element('span', { className: 'state' }, text), element('span', { className: 'where' }, where));

/** @param {{ state: string, inSync: boolean, apart?: string | null }} member */
function condition({ state, inSync, apart }) {
  if (state !== 'alive') return STATES[state] ?? state;
  if (apart) return 'in another network of this name';
  return inSync ? STATES.alive : 'catching up';
}

/** @param {object} status as /api/status has it */
export function showPeers({ peer, network, members, catalog, cache }) {
  const order = Object.keys(STATES);
  const others = [...members].sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state) || a.name.localeCompare(b.name));
  byId('peers-list').replaceChildren(
    row({ name: peer.name, state: 'alive', text: 'this page', where: `${location.host} · ${plural(catalog.ownSongs, 'song')} of its own` }),
    ...others.map((member) => row({ name: member.name, state: member.state, text: condition(member), where: member.address })),
  );
  const there = 1 + members.filter(({ state }) => state === 'alive').length;
  byId('peers-count').textContent = `${there} online`;

  const scan = [];
  if (catalog.scanning) {
    const { done, total } = catalog.scan ?? {};
    scan.push(fact('Scanning', total ? `${done.toLocaleString()} of ${plural(total, 'file')}` : 'looking for music'));
    const bar = element('progress', { max: total || 1, 'aria-label': 'Scan of this machine’s music' });
    if (total) bar.value = done;
    scan.push(bar);
  }
  byId('shared').replaceChildren(
    ...scan,
    fact('Shared', [plural(catalog.songs, 'song'), plural(catalog.albums, 'album'), plural(catalog.artists, 'artist')].join(', ')),
    ...(cache.bytesMax > 0 ? [fact('Cache', `${size(cache.bytes)} of ${size(cache.bytesMax)}`)] : []),
    ...(catalog.problems ? [fact('Not shared', plural(catalog.problems, 'file'))] : []),
  );

  byId('network').replaceChildren(
    element('span', { className: 'name' }, network.name),
    element('span', { className: `badge ${network.open ? 'open' : 'closed'}` }, network.open ? 'open' : 'closed'),
  );
  byId('network').title = network.open ? 'Everybody on this LAN may listen' : 'Only who has this network’s key takes part';
  const note = byId('open-note');
  note.hidden = !network.open;
  note.replaceChildren('Open: everybody on this LAN may listen and share. To close it:', element('code', {}, 'spotify-peer network close'));
}
