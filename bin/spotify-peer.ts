#!/usr/bin/env node
// The command line: parses, calls, prints. Each command's file is loaded when it runs, so that none waits for the others.
import './small-heap.ts';
import { Command, CommanderError, Option } from 'commander';
import { codeOf } from '../lib/errors.ts';
import { FAILED, fail, USAGE } from './exit.ts';
import { program as name, version } from './program.ts';

// `… | head` closes the pipe when it has seen enough
process.stdout.on('error', (error) => process.exit(codeOf(error) === 'EPIPE' ? 0 : FAILED));

const program = new Command('spotify-peer')
  .description('Every computer in the house becomes one music library.')
  .version(version)
  .exitOverride()
  .configureHelp({ showGlobalOptions: true })
  .addOption(new Option('--data <dir>', 'where this peer keeps its state').env('SPOTIFY_PEER_DATA'))
  .option('--debug', 'show stack traces')
  .addHelpText('after', `\nExamples:\n  ${name} start ~/Music\n  ${name} search rain\n  ${name} play first bus home\n`);

const collect = (value: string, all: readonly string[]): string[] => [...all, value];
const PROFILE = "whose (default: the system's name for you)";
const example = (text: string): string => `\nExample:\n  ${name} ${text}\n`;

program
  .command('start')
  .description('run a peer that shares the music in these folders (default: your music folder)')
  .argument('[folders...]')
  .option('--name <nick>', "shown to people (default: the machine's hostname)")
  .option('--network <name>', 'which network to join (default: home, or that of last time)')
  .addOption(new Option('--network-key <file>', "a closed network's code or passphrase; - reads stdin (or set SPOTIFY_PEER_NETWORK_KEY to the key itself)"))
  .option('--port <n>', 'peer traffic, TCP and UDP (default: 17784, else the next free one, then remembered)')
  .option('--http <[host:]port>', 'web page and API (default: 7700, else the next free; 127.0.0.1:7700 keeps it to this machine)')
  .option('--group <addr:port>', 'base of the multicast naming groups', '239.255.83.80:17783')
  .option('--interface <name>', 'use only this network interface; repeatable', collect, [])
  .option('--join <host[:port]>', 'a peer to start from where multicast is blocked; repeatable', collect, [])
  .option('--advertise <host[:port]>', 'an address that others can reach; repeatable', collect, [])
  .option('--roles <list>', 'roles this machine may hold: gateway, users, music, recommendations with commas between them; none only listens and caches (default: all)')
  .option('--cache <size>', "bound of the cache of others' music, as 10GB or 5%; 0 keeps none (default: 10% of the free disk, at most 10GB)")
  .option('--json', 'NDJSON log on stdout')
  .addHelpText('after', example('start ~/Music /mnt/usb --name kitchen'))
  .action(async (folders, options) => (await import('./commands/start.ts')).start(folders, { ...program.opts(), ...options }));

program
  .command('demo')
  .description('three peers on this machine with made-up music, to see it work at once')
  .addHelpText('after', example('demo'))
  .action(async () => (await import('./commands/demo.ts')).demo());

program
  .command('search')
  .description('find songs; without words, everything in order of artist and album')
  .argument('[words...]')
  .option('--limit <n>', 'how many songs at most')
  .option('--json', 'one JSON array')
  .addHelpText('after', example('search paper lanterns'))
  .action(async (words, options) => (await import('./commands/search.ts')).search(words, { ...program.opts(), ...options }));

program
  .command('play')
  .description('play the song that these words find, or of this id')
  .argument('<words-or-id...>')
  .option('--output <file>', 'write the original file instead of playing; - is stdout')
  .option('--file <id>', 'which file of the song')
  .option('--player <name>', 'mpv, ffplay or mpg123')
  .option('--shuffle', 'play all songs that are found, in random order')
  .addHelpText('after', example('play first bus home'))
  .action(async (words, options) => (await import('./commands/play.ts')).play(words, { ...program.opts(), ...options }));

const playlist = program
  .command('playlist')
  .description('lists of songs, which everybody in the network can see and edit')
  .addHelpText('after', `\nExamples:\n  ${name} playlist create Road trip\n  ${name} playlist add 'Road trip' first bus home\n  ${name} playlist show Road trip\n`);
playlist
  .command('list', { isDefault: true })
  .description('your playlists')
  .option('--all', "everybody's")
  .option('--profile <name>', PROFILE)
  .option('--json', 'one JSON array')
  .addHelpText('after', example('playlist list --all'))
  .action(async (options) => (await import('./commands/playlist.ts')).list({ ...program.opts(), ...options }));
playlist
  .command('show')
  .description('the songs of a playlist, numbered')
  .argument('<name-or-id...>')
  .option('--profile <name>', PROFILE)
  .option('--json', 'one JSON document')
  .addHelpText('after', example('playlist show Road trip'))
  .action(async (playlist, options) => (await import('./commands/playlist.ts')).show(playlist, { ...program.opts(), ...options }));
playlist
  .command('create')
  .description('make an empty playlist')
  .argument('<name...>')
  .option('--profile <name>', PROFILE)
  .option('--json', 'one JSON document')
  .addHelpText('after', example('playlist create Road trip'))
  .action(async (words, options) => (await import('./commands/playlist.ts')).create(words, { ...program.opts(), ...options }));
playlist
  .command('add')
  .description('put the song that these words find, or of these ids, at the end of a playlist')
  .argument('<name-or-id>')
  .argument('<words-or-ids...>')
  .option('--all', 'all songs that the words find')
  .option('--profile <name>', PROFILE)
  .option('--json', 'one JSON document')
  .addHelpText('after', example("playlist add 'Road trip' first bus home"))
  .action(async (playlist, words, options) => (await import('./commands/playlist.ts')).add(playlist, words, { ...program.opts(), ...options }));
playlist
  .command('remove')
  .description('take songs out of a playlist, by their numbers in it')
  .argument('<name-or-id>')
  .argument('<number...>')
  .option('--profile <name>', PROFILE)
  .option('--json', 'one JSON document')
  .addHelpText('after', example("playlist remove 'Road trip' 3 5"))
  .action(async (playlist, numbers, options) => (await import('./commands/playlist.ts')).remove(playlist, numbers, { ...program.opts(), ...options }));
playlist
  .command('move')
  .description('give a song another place in its playlist')
  .argument('<name-or-id>')
  .argument('<from>', 'its number')
  .argument('<to>', 'its number afterwards')
  .option('--profile <name>', PROFILE)
  .option('--json', 'one JSON document')
  .addHelpText('after', example("playlist move 'Road trip' 7 1"))
  .action(async (playlist, from, to, options) => (await import('./commands/playlist.ts')).move(playlist, from, to, { ...program.opts(), ...options }));
playlist
  .command('rename')
  .description('give a playlist another name')
  .argument('<name-or-id>')
  .argument('<new-name...>')
  .option('--profile <name>', PROFILE)
  .option('--json', 'one JSON document')
  .addHelpText('after', example("playlist rename 'Road trip' Autumn drive"))
  .action(async (playlist, words, options) => (await import('./commands/playlist.ts')).rename(playlist, words, { ...program.opts(), ...options }));
playlist
  .command('delete')
  .description('delete a playlist, for everybody; its songs stay where they are')
  .argument('<name-or-id...>')
  .option('--profile <name>', PROFILE)
  .option('--json', 'one JSON document')
  .addHelpText('after', example('playlist delete Road trip'))
  .action(async (playlist, options) => (await import('./commands/playlist.ts')).deletePlaylist(playlist, { ...program.opts(), ...options }));

program
  .command('star')
  .description('star the song that these words find, or of this id')
  .argument('<words-or-id...>')
  .option('--profile <name>', PROFILE)
  .option('--json', 'one JSON document')
  .addHelpText('after', example('star first bus home'))
  .action(async (words, options) => (await import('./commands/star.ts')).star(words, { ...program.opts(), ...options }));

program
  .command('unstar')
  .description('take the star away from the starred song that these words find, or of this id')
  .argument('<words-or-id...>')
  .option('--profile <name>', PROFILE)
  .option('--json', 'one JSON document')
  .addHelpText('after', example('unstar first bus home'))
  .action(async (words, options) => (await import('./commands/star.ts')).unstar(words, { ...program.opts(), ...options }));

program
  .command('stars')
  .description('your starred songs, the last one first')
  .option('--profile <name>', PROFILE)
  .option('--json', 'one JSON array')
  .addHelpText('after', example('stars'))
  .action(async (options) => (await import('./commands/star.ts')).stars({ ...program.opts(), ...options }));

program
  .command('pin')
  .description('keep the song that these words find, or of this id, on this machine; without words, what is kept')
  .argument('[words-or-id...]')
  .option('--json', 'one JSON document')
  .addHelpText('after', example('pin first bus home'))
  .action(async (words, options) => (await import('./commands/pin.ts')).pin(words, { ...program.opts(), ...options }));

program
  .command('unpin')
  .description('keep a pinned song no longer than there is room')
  .argument('<words-or-id...>')
  .option('--json', 'one JSON document')
  .addHelpText('after', example('unpin first bus home'))
  .action(async (words, options) => (await import('./commands/pin.ts')).unpin(words, { ...program.opts(), ...options }));

program
  .command('safe')
  .description('on how many machines the songs are; of one machine, what would vanish with it by what is known now (then, or where that is not known yet, it ends with 1). Before one is switched off: leave')
  .argument('[peer]', 'its name or the start of its id, as status shows them')
  .option('--json', 'one JSON document')
  .addHelpText('after', example('safe old-laptop'))
  .action(async (peer, options) => (await import('./commands/safe.ts')).safe(peer, { ...program.opts(), ...options }));

program
  .command('leave')
  .description('this machine will be switched off for good: others copy first what only it has; ends when they have confirmed it, with 1 where they cannot. A later start takes it back')
  .option('--cancel', 'it stays after all')
  .option('--json', 'one JSON document at the end')
  .addHelpText('after', example('leave'))
  .action(async (options) => (await import('./commands/leave.ts')).leave({ ...program.opts(), ...options }));

program
  .command('status')
  .description('this peer, its members, coordinator, roles, catalog and cache, and how far all have the same')
  .option('--files', 'files of this machine that cannot be shared, and why')
  .option('--json', 'one JSON document')
  .addHelpText('after', example('status'))
  .action(async (options) => (await import('./commands/status.ts')).status({ ...program.opts(), ...options }));

program
  .command('roles')
  .description('the duties that one machine has for all: who has which, since when, and whether it is well')
  .option('--json', 'one JSON array')
  .addHelpText('after', example('roles'))
  .action(async (options) => (await import('./commands/roles.ts')).roles({ ...program.opts(), ...options }));

program
  .command('events')
  .description('what people did, and who coordinates and holds roles, in the order that all machines agree on; ~ marks what something may still come before')
  .option('--follow', 'go on with what comes, until Ctrl-C')
  .option('--limit <n>', 'only the latest so many (default: 50; with --json, all)')
  .option('--json', 'one JSON object a line')
  .addHelpText('after', example('events --follow --limit 10'))
  .action(async (options) => (await import('./commands/events.ts')).events({ ...program.opts(), ...options }));

program
  .command('login')
  .description("print a fresh login link for this machine's web page")
  .addHelpText('after', example('login'))
  .action(async () => (await import('./commands/login.ts')).login(program.opts()));

const network = program.command('network').description('the network this peer is in').addHelpText('after', example('network show'));
network
  .command('show', { isDefault: true })
  .description('its name, whether it is open, the code to join it, on how many machines each song is to be, and networks of the same name that are apart')
  .option('--json', 'one JSON document')
  .addHelpText('after', example('network show'))
  .action(async (options) => (await import('./commands/network.ts')).show({ ...program.opts(), ...options }));
network
  .command('close')
  .description('make it a closed network: others need its code from now on')
  .option('--new-key', 'another key for a network that is closed already; everybody else is out until they have its code')
  .option('--json', 'one JSON document')
  .addHelpText('after', example('network close'))
  .action(async (options) => (await import('./commands/network.ts')).close({ ...program.opts(), ...options }));
network
  .command('open')
  .description('go back to the open network of the same name')
  .option('--json', 'one JSON document')
  .addHelpText('after', example('network open'))
  .action(async (options) => (await import('./commands/network.ts')).open({ ...program.opts(), ...options }));
network
  .command('set')
  .description('decide something for all machines of the network: copies, the machines that each song is to be on')
  .argument('<what>', 'copies')
  .argument('<value>', '1 to 8; 1 makes no copies')
  .option('--json', 'one JSON document')
  .addHelpText('after', example('network set copies 3'))
  .action(async (what, value, options) => (await import('./commands/network.ts')).set(what, value, { ...program.opts(), ...options }));
network
  .command('join')
  .description('join the closed network of a code or passphrase, or make one with another network of the same name that is apart')
  .argument('<code-or-id...>', 'a code or passphrase; or the start of an id, as network show tells it')
  .option('--json', 'one JSON document')
  .addHelpText('after', `\nExamples:\n  ${name} network join lusab-babad-gutih-tugad-haguz-lusab-babad-gutih-tugad\n  ${name} network join 85cfa209\n`)
  .action(async (code, options) => (await import('./commands/network.ts')).join(code, { ...program.opts(), ...options }));

program
  .command('forget')
  .description('drop the songs of a machine that will not return; its playlists stay')
  .argument('<peer>', 'its name or the start of its id, as status shows them')
  .addHelpText('after', example('forget old-laptop'))
  .action(async (peer) => (await import('./commands/forget.ts')).forget(peer, program.opts()));

program
  .command('monitor')
  .description('watch the multicast traffic, decoded, a datagram a line')
  .option('--json', 'one JSON object a line')
  .option('--group <addr:port>', 'base of the multicast naming groups', '239.255.83.80:17783')
  .option('--interface <name>', 'use only this network interface; repeatable', collect, [])
  .addHelpText('after', example('monitor'))
  .action(async (options) => (await import('./commands/monitor.ts')).monitor({ ...program.opts(), ...options }));

for (const group of [network, playlist]) {
  group.hook('preSubcommand', ({ args: [word], commands }, subcommand) => {
    // the default subcommand is given whatever is none
    if (word === undefined || word.startsWith('-') || word === subcommand.name()) return;
    group.error(`error: '${group.name()}' knows no '${word}', only ${commands.map((command) => command.name()).join(', ')}`);
  });
}

/** Words typed wrong are answered like everything else that fails: in one line that says what to do. */
const wrongUsage = (command: Command) => (text: string, write: (line: string) => void): void => {
  const path = command === program ? '' : `${command.parent === program ? '' : `${command.parent?.name()} `}${command.name()} `;
  const line = text.trim().replace(/^error: /, '').replace(/\.$/, '').replace(/\n\(Did you mean (.*)\?\)$/, '; did you mean $1?');
  write(`spotify-peer: ${line}${line.endsWith('?') ? '' : `; see: ${name} ${path}--help`}\n`);
};
for (const command of [program, ...program.commands, ...network.commands, ...playlist.commands]) {
  command.exitOverride().configureOutput({ outputError: wrongUsage(command) });
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : USAGE;
  else fail(error, { debug: Boolean(program.opts()['debug']) });
}
