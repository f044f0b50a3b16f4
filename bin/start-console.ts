// What `start` tells while it runs: lines and a progress bar for a person, or NDJSON for a program.
import type { createLogUpdate } from 'log-update';
import type { LogEvent } from '../lib/log.ts';
import type { OtherVersionJson } from '../peer/http/schemas.ts';
import type { Peer } from '../peer/peer.ts';
import type { ScanProgress } from '../storage/scanner/scanner.ts';
import { type CoordinatorFacts, DutyLines, type GatewayNameFacts, type HandoverFacts, type RoleFacts } from './duty-lines.ts';
import { firewallAdvice } from './firewall.ts';
import { colorsFor } from './print.ts';
import { otherVersionText } from './print-status.ts';
import { program, startLine, version } from './program.ts';
import { formatDuration, plural, printable } from './text.ts';

export interface Console {
  log(event: LogEvent, facts: Readonly<Record<string, unknown>>): void;
  ready(peer: Peer, hostName: string): void;
  stopping(): void;
}

const ALONE_AFTER_MS = 15_000;
/** Between progress lines where there is no terminal. */
const SCAN_LINE_MS = 5_000;
const BAR_CHARACTERS = 24;
const REPEAT_AFTER_MS = 60_000;
const MDNS_PORT = 5_353;

/** An address of the web page that others on the LAN can open, else one that works here. */
const lanUrl = (peer: Peer): string => {
  const [address] = peer.addresses;
  return address && !peer.isLocalOnly ? `http://${address}:${peer.httpPort}` : peer.httpUrl;
};

export function jsonConsole(): Console {
  const print = (facts: object): void => void process.stdout.write(`${JSON.stringify(facts)}\n`);
  return {
    log: (event, facts) => print({ event, ...facts }),
    ready: (peer) => print({ event: 'ready', peer: peer.id, name: peer.name, port: peer.port, http: peer.httpUrl, login: peer.loginLink() }),
    stopping: () => print({ event: 'stopping' }),
  };
}

export async function peopleConsole({ folders }: { readonly folders: readonly string[] }): Promise<Console> {
  const colors = colorsFor(process.stdout);
  // loaded for those who see it: the two take a tenth of the whole start
  const terminal = process.stdout.isTTY && process.env.TERM !== 'dumb' ? await Promise.all([import('log-update'), import('uqr')]) : undefined;
  const live: ReturnType<typeof createLogUpdate> | undefined = terminal?.[0].createLogUpdate(process.stdout);
  /** What is told while the peer still starts, to stand below the heading. */
  let early: string[] | undefined = [];
  const print = (line: string): void => {
    if (early) {
      early.push(line);
      return;
    }
    live?.clear();
    process.stdout.write(`${line}\n`);
  };
  const label = (text: string, rest: string): void => print(`  ${colors.dim(text.padEnd(9))}${rest}`);
  const told = new Set<string>();
  /** Said once in a while, however often it happens. */
  const warn = (line: string): void => {
    if (told.has(line)) return;
    told.add(line);
    setTimeout(() => told.delete(line), REPEAT_AFTER_MS).unref();
    print(`  ${colors.yellow('!')} ${printable(line)}`);
  };
  const duties = new DutyLines((lines) => {
    for (const line of lines.handOvers) print(`  ${line}`);
    if (lines.duties !== undefined) label('duties', lines.duties);
    for (const line of lines.troubles) warn(line);
  });
  let met = false;
  let toldScanAt = Number.NEGATIVE_INFINITY;

  const scan = (progress: ScanProgress): void => {
    if (!progress.scanning) return;
    if (live) live(`  ${progressBar(progress)}`);
    else if (performance.now() - toldScanAt > SCAN_LINE_MS) {
      toldScanAt = performance.now();
      print(`  ${progressBar(progress)}`);
    }
  };

  return {
    log(event, facts) {
      switch (event) {
        case 'scan':
          return scan(facts as unknown as ScanProgress);
        case 'scanned':
          live?.clear();
          label('music', describeScan(facts as { songs: number; problems: number }, folders));
          return;
        case 'member': {
          const { name, peer, state, reason } = facts as Record<string, string>;
          met ||= state === 'alive';
          if (state === 'suspect' || reason === 'refuted') return;
          const who = printable(name || `a peer (${(peer as string).slice(0, 8)})`);
          print(`  ${state === 'alive' ? colors.green('+') : colors.dim('-')} ${who} ${state === 'alive' ? (reason === 'joined' ? 'is here' : `is back (${reason})`) : state === 'left' ? 'has left' : 'is gone'}`);
          return;
        }
        case 'network':
          label('network', `now in ${facts.name as string}, ${facts.open ? 'open' : 'closed'}`);
          return;
        case 'clone':
          print(`  two machines run with the identity ${(facts.peer as string).slice(0, 8)}: one of them has a copy of the other's data folder`);
          return;
        case 'cloned':
          print(`  another machine runs with a copy of this one's data folder; ${facts.yields ? 'this one' : 'the other'} goes on under a new identity, and nothing is lost`);
          return;
        case 'apart':
          print(`  another network of this name is here (${(facts.network as string).slice(0, 8)}); both hold playlists or stars of their own, so nothing passes between them; to make them one: ${program} network join ${(facts.network as string).slice(0, 8)}`);
          return;
        case 'adopted':
          print('  this machine has become part of the network that was here before it');
          return;
        case 'returned':
          print(`  ${plural(facts.operations as number, 'change')} that this machine had made, and its data folder no longer had, came back from the others`);
          return;
        case 'store-salvaged':
          print(`  ${colors.yellow('!')} the disk had lost ${plural(facts.commits as number, 'saved change')}; ${plural(facts.kept as number, 'entry', 'entries')} were kept, and what the others hold comes back`);
          return;
        case 'leap':
          print(`  ${(facts.origin as string).slice(0, 8)} has a logical clock that is far ahead of everybody's; its changes are kept, and its clock is not followed`);
          return;
        case 'version':
          print(`  ${colors.yellow('!')} ${otherVersionText(facts as unknown as OtherVersionJson, facts.own as number)}`);
          return;
        case 'liar':
          print(`  ${(facts.peer as string).slice(0, 8)} sent bytes that are not what they should be; they were fetched elsewhere`);
          return;
        case 'damaged':
          warn(`this disk had damaged a cached song (${(facts.payload as string).slice(0, 8)}); what could not be mended is fetched again from others`);
          return;
        case 'trouble':
          warn([facts.what, facts.why].filter(Boolean).join(': '));
          return;
        case 'coordinator':
          duties.coordinator(facts as unknown as CoordinatorFacts);
          return;
        case 'role':
          duties.role(facts as unknown as RoleFacts);
          return;
        case 'handover':
          duties.handover(facts as unknown as HandoverFacts);
          return;
        case 'gateway-name':
          duties.gatewayName(facts as GatewayNameFacts);
          return;
        case 'service':
          warn(`${facts.reason as string}; ${facts.gaveUp ? 'this machine gives the role back' : 'its service was started anew'}`);
          return;
        case 'insane-term':
          warn(facts.self ? 'this machine remembered a term that cannot be; it goes by the others now' : `${(facts.name as string) || (facts.peer as string).slice(0, 8)} claims a term that cannot be; it is not believed`);
          return;
        case 'slept':
          warn('this machine was asleep, or stood still; others may have taken over what it did for all');
          return;
        case 'copy-failed':
          // another machine is asked, or it is tried again; but a person waits for what was pinned
          if (facts.why === 'pin') warn(`the pinned song ${(facts.song as string).slice(0, 8)} could not be fetched (${facts.reason as string}); it is tried again when another machine comes`);
          return;
        case 'file-changed':
        case 'synced':
        case 'ready':
      }
    },
    ready(peer, hostName) {
      const before = early ?? [];
      early = undefined;
      const url = lanUrl(peer);
      print(`${colors.bold('spotify-peer')} ${version} on ${colors.bold(printable(peer.name))}`);
      label('shares', folders.length > 0 ? folders.map(printable).join(', ') : `no music folder was found here; share one with: ${program} start FOLDER`);
      if (peer.open) label('network', `${peer.networkName}, ${colors.yellow('open')}: everybody on this LAN can take part; to close it: ${program} network close`);
      else label('network', `${peer.networkName}, ${colors.green('closed')}; its code: ${program} network show`);
      const isOnLan = !peer.isLocalOnly && peer.addresses.length > 0;
      label('listen', `${colors.cyan(url)}${isOnLan ? ` or http://${hostName}:${peer.httpPort}` : ''}`);
      if (peer.addresses.length === 0) label('', 'this machine has no network now; the others are found when it has one');
      const where = peer.open ? (peer.networkName === 'home' ? '' : `--network ${peer.networkName}`) : '--network-key -';
      label('next', `on the next machine${program.startsWith('npx') ? ', in its clone' : ''}: ${startLine(where)}`);
      if (terminal && isOnLan) print(`\n${terminal[1].renderUnicodeCompact(url)}\n`);
      for (const line of before) print(line);
      setTimeout(() => void alone(peer), ALONE_AFTER_MS).unref();
    },
    stopping: () => print('  saying goodbye'),
  };

  async function alone(peer: Peer): Promise<void> {
    if (met) return;
    const advice = await firewallAdvice({ tcp: [peer.port, peer.httpPort], udp: [peer.groupPort, peer.port, MDNS_PORT] });
    print('  nobody else was found yet: start another machine on this LAN');
    if (advice) print(`  if one runs already, let it through the firewall of both:\n    ${advice.line}`);
    else print(`  if one runs already, start this one with: ${program} start --join ADDRESS-OF-THE-OTHER`);
  }
}

function progressBar({ filesDone, filesTotal, filesPerSecond, secondsLeft }: ScanProgress): string {
  const filled = filesTotal === 0 ? 0 : Math.floor((filesDone / filesTotal) * BAR_CHARACTERS);
  const left = secondsLeft === null ? '' : `, ${formatDuration(secondsLeft * 1_000)} left`;
  return `scanning [${'#'.repeat(filled)}${'-'.repeat(BAR_CHARACTERS - filled)}] ${filesDone.toLocaleString('en')} of ${plural(filesTotal, 'file')}, ${Math.round(filesPerSecond)}/s${left}`;
}

function describeScan({ songs, problems }: { readonly songs: number; readonly problems: number }, folders: readonly string[]): string {
  if (songs === 0) return `no songs ${folders.length > 0 ? 'in these folders yet' : 'yet'}; a generated sample plays on the web page meanwhile`;
  return `${plural(songs, 'song')} shared${problems > 0 ? `; ${plural(problems, 'file')} could not be (${program} status --files)` : ''}`;
}
