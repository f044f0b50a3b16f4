// What status and roles look like in a terminal.
import { shortId } from '../lib/ids.ts';
import { ROLES } from '../lib/roles.ts';
import { HTTP_PORT_DEFAULT } from '../peer/http/listen.ts';
import type { OtherVersionJson, RoleJson, StatusJson } from '../peer/http/schemas.ts';
import { type Colors, type Column, table } from './print.ts';
import { program } from './program.ts';
import { copiesLines } from './print-copies.ts';
import { fit, formatAge, formatBytes, formatSpan, plural, printable, widthOf } from './text.ts';

const MODES: Readonly<Record<StatusJson['network']['mode'], string>> = {
  multicast: 'over multicast',
  names: 'over names only: multicast does not arrive here',
  unicast: 'over known addresses only: neither multicast nor names arrive here',
};

/** One line for a person, in `start` and in `status`. @param own the version that this peer speaks */
export function otherVersionText({ name, address, version }: Omit<OtherVersionJson, 'peer'>, own: number): string {
  const who = printable(name ? `${name} (${address})` : address);
  if (version === null) return `${who} speaks another version of the protocol; update the older of the two`;
  return `${who} speaks version ${version} of the protocol; update ${version < own ? 'it' : `this one, which speaks version ${own}`}`;
}

/** How far what is here is everywhere: what a person wants to know before switching a machine off. */
function replicationText({ members, replication }: StatusJson): string {
  const here = members.filter(({ state, apart }) => state === 'alive' && apart == null);
  const inSync = here.filter((member) => member.inSync).length;
  const coming = replication.behind > 0 ? `; ${plural(replication.behind, 'change')} still to come` : '';
  if (here.length === 0) return `nobody else of this network is here${coming}`;
  if (inSync === here.length && coming === '') return `in sync with everybody here (${here.length})`;
  return `in sync with ${inSync} of ${plural(here.length, 'machine')}${coming}`;
}

/** Whoever is in sync has them by now. */
function localOnlyText({ members, replication: { localOnly = 0 } }: StatusJson): string {
  const spread = members.some(({ state, apart, inSync }) => state === 'alive' && apart == null && inSync);
  return `${plural(localOnly, 'change')} since the start reached no other machine at once${spread ? '; by now others have them' : ''}`;
}

/** What listening was like here, and where the music came from. */
function playbackLines({ playback }: StatusJson, { width, colors }: Pick<Printed, 'width' | 'colors'>): string[] {
  if (!playback || playback.plays + playback.failures === 0) return [];
  const { plays, failures, firstByteMs: { p50, p99 }, stalls, stalledMs, bytes, wrongChunks, providers } = playback;
  const bad = [
    ...(stalls > 0 ? [`${plural(stalls, 'stall')} of ${formatSpan(stalledMs)} in sum`] : []),
    ...(failures > 0 ? [`${failures.toLocaleString('en')} failed`] : []),
    ...(wrongChunks > 0 ? [`${plural(wrongChunks, 'wrong chunk')} refused`] : []),
  ];
  const began = p50 === null || p99 === null ? '' : `, sound after ${formatSpan(p50)} (99% within ${formatSpan(p99)})`;
  const sum = bytes.own + bytes.cache + bytes.peers;
  const share = (part: number): string => `${Math.round((100 * part) / sum)}%`;
  const from = `${formatBytes(sum)}: ${share(bytes.own)} own, ${share(bytes.cache)} cached, ${share(bytes.peers)} from others`;
  const rates = providers.map(({ id, name, bytesPerSecond }) => `${shortened(printable(name || shortId(id)), PROVIDER_COLUMNS)} ${formatBytes(bytesPerSecond)}/s`);
  const columns = width - LABEL_COLUMNS - widthOf(from) - 2;
  return [
    ...(plays === 0 ? [] : [`${plural(plays, 'time')}${began}${stalls === 0 ? ', no stalls' : ''}`]),
    ...(bad.length === 0 ? [] : [colors.yellow(bad.join(', '))]),
    ...(sum === 0 ? [] : [rates.length > 0 && columns >= RATES_COLUMNS_LEAST ? `${from}; ${namesThatFit(rates, columns)}` : from]),
  ];
}

/** What people open; the gateway's machine serves at the port that they were told. */
export const webAddress = (name: string): string => `http://${name}:${HTTP_PORT_DEFAULT}`;

const LABEL_COLUMNS = 12;
const ROLE_COLUMNS = Math.max(...ROLES.map((role) => role.length));
/** ' for 12 min, heard 12 min ago' behind a name. */
const AGE_COLUMNS = 31;
const NAME_COLUMNS_LEAST = 8;
const PROVIDER_COLUMNS = 16;
/** One of these with its rate, and how many more there are. */
const RATES_COLUMNS_LEAST = 40;
const NOBODY = 'nobody';
const WELL = 'well';
/** Beats are three a second: with a younger one all is well, and its age says nothing. */
const AGE_TOLD_MS = 1_000;
const NOBODY_COORDINATES: Readonly<Record<string, string>> = { listening: 'nobody is known yet', electing: 'nobody now: one is being elected' };

interface Printed {
  readonly width: number;
  readonly colors: Colors;
  readonly nameOf: (id: string) => string;
}

function coordinatorText({ coordinator, election }: StatusJson, { width, colors, nameOf }: Printed): string {
  if (coordinator === null) return colors.yellow(NOBODY_COORDINATES[election] ?? NOBODY);
  const columns = width - LABEL_COLUMNS;
  const name = shortened(nameOf(coordinator.id), Math.max(NAME_COLUMNS_LEAST, columns - AGE_COLUMNS));
  return heard(`${name}, term ${coordinator.term}`, coordinator.ageMs, { columns, colors });
}

/** A line for each role; before anybody coordinates nobody can hold one. */
function roleLines({ coordinator, leases }: StatusJson, { width, colors, nameOf }: Printed): string[] {
  if (coordinator === null && ROLES.every((role) => leases[role] === null)) return [];
  return ROLES.map((role) => {
    const lease = leases[role];
    const what = `${fit(role, ROLE_COLUMNS)}  `;
    const columns = width - LABEL_COLUMNS - what.length;
    if (lease === null) return `${what}${colors.yellow(NOBODY)}`;
    const name = shortened(nameOf(lease.peer), Math.max(NAME_COLUMNS_LEAST, columns - AGE_COLUMNS));
    return `${what}${heard(`${name} for ${formatAge(lease.heldMs)}`, lease.heardMs, { columns, colors })}`;
  });
}

/** With the age of what is said, where that is worth a word. */
function heard(text: string, ageMs: number, { columns, colors }: { readonly columns: number; readonly colors: Colors }): string {
  if (ageMs <= AGE_TOLD_MS) return shortened(text, columns);
  return colors.yellow(shortened(`${text}, heard ${formatAge(ageMs)} ago`, columns));
}

const shortened = (text: string, columns: number): string => (widthOf(text) <= columns ? text : fit(text, columns).trimEnd());

/** As many names as a line holds, and how many there are beside them. */
function namesThatFit(names: readonly string[], columns: number): string {
  for (let shown = names.length; shown > 1; shown -= 1) {
    const more = names.length - shown;
    const text = `${names.slice(0, shown).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
    if (widthOf(text) <= columns) return text;
  }
  const more = names.length > 1 ? ` and ${names.length - 1} more` : '';
  return `${shortened(names[0] ?? '', columns - more.length)}${more}`;
}

export function roleTable(roles: readonly RoleJson[], { width, colors }: { readonly width: number; readonly colors: Colors }): string {
  const columns: Column[] = [
    { name: 'ROLE', share: 0 },
    { name: 'HOLDER', share: 1, paint: (text) => (text.trim() === NOBODY ? colors.yellow(text) : colors.bold(text)) },
    { name: 'SINCE', share: 0 },
    { name: 'SERVICE', share: width >= 60 ? 2 : 1, paint: (text) => (text.trim() === WELL ? colors.green(text) : text.trim() === '-' ? text : colors.red(text)) },
    ...(width >= 80 ? [{ name: 'TOKEN', share: 0, paint: colors.dim }] : []),
  ];
  const rows = roles.map(({ role, holder, name, token, heldMs, healthy, why }) => [
    role,
    holder === null ? NOBODY : name || shortId(holder),
    heldMs === null ? '-' : formatAge(heldMs),
    healthy ? WELL : (why ?? (healthy === null ? '-' : 'not well')),
    ...(width >= 80 ? [token ?? '-'] : []),
  ]);
  const urls = roles.flatMap(({ url }) => (url === undefined ? [] : [`the web page of this network: ${colors.cyan(printable(url))}`]));
  return [...table(columns, rows, { width, colors }), ...(urls.length > 0 ? ['', ...urls] : [])].join('\n');
}

export function statusText(status: StatusJson, { width, colors }: { readonly width: number; readonly colors: Colors }): string {
  const { peer, network, members, catalog, cache, replication, gatewayName } = status;
  const label = (text: string): string => colors.dim(fit(text, LABEL_COLUMNS));
  const nameOf = (id: string): string => printable(id === peer.id ? peer.name : (members.find((member) => member.id === id)?.name ?? shortId(id)));
  const shown = (title: string, text: string): string => `${label(title)}${text}`;
  const scan = catalog.scan == null ? 'scanning' : `scanning, ${catalog.scan.done.toLocaleString('en')} of ${plural(catalog.scan.total, 'file')}`;
  const printed: Printed = { width, colors, nameOf };
  const behind = members.filter(({ state, apart, inSync }) => state === 'alive' && apart == null && !inSync).map(({ id }) => nameOf(id));
  const lines = [
    shown('peer', `${colors.bold(printable(peer.name))}  ${colors.dim(shortId(peer.id))}  up ${formatAge(peer.uptimeMs)}`),
    ...(peer.leaving ? [shown('', colors.yellow(`says that it leaves, and what it has counts no more; it stays with: ${program} leave --cancel`))] : []),
    shown('network', `${printable(network.name)}, ${network.open ? colors.yellow('open') : colors.green('closed')}, ${MODES[network.mode]}`),
    shown('coordinator', coordinatorText(status, printed)),
    ...roleLines(status, printed).map((line, i) => shown(i === 0 ? 'roles' : '', line)),
    ...(gatewayName === null ? [] : [shown('web page', colors.cyan(webAddress(printable(gatewayName))))]),
    shown('music', `${plural(catalog.songs, 'song')}, ${plural(catalog.albums, 'album')}, ${plural(catalog.artists, 'artist')}; ${catalog.ownSongs.toLocaleString('en')} of them here${catalog.scanning ? colors.cyan(` (${scan})`) : ''}`),
    ...(catalog.problems ? [shown('', `${plural(catalog.problems, 'file')} cannot be shared; status --files says why`)] : []),
    ...(status.copies ? copiesLines(status.copies, colors) : status.copies === null ? ['not counted yet'] : []).map((line, i) => shown(i === 0 ? 'copies' : '', line)),
    shown('cache', `${formatBytes(cache.bytes)} of ${formatBytes(cache.bytesMax)}, ${plural(cache.songs, 'song')}`),
    ...playbackLines(status, printed).map((line, i) => shown(i === 0 ? 'played' : '', line)),
    shown('changes', replicationText(status)),
    ...(behind.length === 0 ? [] : [shown('behind', colors.yellow(namesThatFit(behind, width - LABEL_COLUMNS)))]),
    ...(replication.localOnly ? [shown('', localOnlyText(status))] : []),
    ...(network.apart ?? []).map(({ id, peer: with_, name }) =>
      shown('', colors.yellow(`another network of this name is here (${shortId(id)}, with ${printable(name || shortId(with_))}); to make them one: ${program} network join ${shortId(id)}`)),
    ),
    ...(network.otherVersions ?? []).map((other) => shown('', colors.yellow(otherVersionText(other, network.version ?? 0)))),
    '',
  ];
  if (members.length === 0) return [...lines, 'no other peer is known yet'].join('\n');
  const states = { alive: colors.green, suspect: colors.yellow, dead: colors.red, left: colors.dim };
  const rows = members.map((member) => [member.name, member.state, member.address, member.roles.join(', ') || '-', conditionOf(member)]);
  const columns: Column[] = [
    { name: 'PEER', share: 2, paint: colors.bold },
    { name: 'STATE', share: 0, paint: (text) => (states[text.trim() as keyof typeof states])(text) },
    { name: 'ADDRESS', share: 2 },
    { name: 'ROLES', share: 1 },
    { name: '', share: 0, paint: colors.dim },
  ];
  return [...lines, ...table(columns, rows, { width, colors })].join('\n');
}

function conditionOf({ state, apart, inSync, leaving, lastHeardMs }: StatusJson['members'][number]): string {
  if (state !== 'alive') return `heard ${formatAge(lastHeardMs)} ago`;
  if (apart != null) return `in network ${shortId(apart)}`;
  return `${inSync ? 'in sync' : 'catching up'}${leaving ? ', leaves' : ''}`;
}
