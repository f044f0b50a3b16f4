// What each fault and each step of the workload does to the world. A fault that finds nobody to hit does nothing, so that any part
// of a scenario can be left out.
import type { Millis } from '../../lib/time.ts';
import { chance } from './chance.ts';
import type { DiskImage } from './disk.ts';
import type { Machine } from './host.ts';
import type { Network } from './network.ts';
import type { Host, SimPeer } from './peer.ts';
import type { Fault, Step } from './scenario.ts';
import type { Scheduler } from './scheduler.ts';

/** The part of a world that faults lay their hands on. */
export interface Faultable<P extends SimPeer> {
  readonly seed: number;
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly machines: readonly Machine<P>[];
  /** Disks copied aside, by host. */
  readonly backups: Map<Host, DiskImage>;
  /** Hosts that nobody switches on again. */
  readonly gone: Set<Host>;
  /** Puts a machine with this disk into the house. */
  add(image: DiskImage): Machine<P>;
  /** What ends when the world heals, and when its time has come; whichever is first. */
  until(ms: Millis, end: () => void): void;
}

export function strike<P extends SimPeer>(world: Faultable<P>, fault: Fault): void {
  switch (fault.kind) {
    case 'partition':
      world.until(fault.forMs, world.network.cut(world.network.paths.around(fault.side)));
      return;
    case 'oneWay':
      world.until(fault.forMs, world.network.cut([{ from: fault.from, to: fault.to }]));
      return;
    case 'holdBack':
      world.until(fault.forMs, world.network.streams.holdBack([{ from: fault.from, to: fault.to }]));
      return;
    default:
      strikeHost(world, fault);
  }
}

function strikeHost<P extends SimPeer>(world: Faultable<P>, fault: Exclude<Fault, { kind: 'partition' | 'oneWay' | 'holdBack' }>): void {
  const { host } = fault;
  const machine = world.machines[host];
  if (machine === undefined) return;
  const { network } = world;
  switch (fault.kind) {
    case 'crash':
      return end(world, machine, fault.restartMs, 'is killed', () => machine.disk.crash());
    case 'stop':
      machine.stop(() => restart(world, machine, fault.restartMs));
      return;
    case 'late':
      return machine.start();
    case 'loseTail':
      return end(world, machine, fault.restartMs, `loses its power and its last ${fault.batches} batches`, () => machine.disk.loseTail(fault.batches));
    case 'wipe':
      return end(world, machine, fault.restartMs, 'loses its disk', () => {
        machine.disk.wipe(fault);
        world.backups.delete(host);
      });
    case 'insaneTerm':
      return end(world, machine, fault.restartMs, `promises term ${fault.term}`, () => {
        machine.disk.crash();
        machine.disk.promise(fault.term);
      });
    case 'backup':
      world.backups.set(host, machine.disk.copy());
      return;
    case 'restore': {
      const image = world.backups.get(host);
      if (image !== undefined) end(world, machine, fault.restartMs, 'becomes what its backup was', () => machine.disk.restore(image));
      return;
    }
    case 'clone': {
      const clone = world.add(machine.disk.copy());
      clone.start();
      if (fault.forMs !== null) world.until(fault.forMs, () => end(world, clone, null, 'is switched off, a clone', () => clone.disk.crash()));
      return;
    }
    case 'fullDisk':
      machine.disk.fill();
      return world.until(fault.forMs, () => {
        machine.disk.makeRoom();
        // as the message asked the person to do
        if (machine.disk.hasFailed) end(world, machine, 0, 'is started again', () => machine.disk.crash());
      });
    case 'cutStreams':
      return network.streams.cut((one, other) => one === host || other === host);
    case 'refuseStreams':
      network.streams.refuse(host, true);
      return world.until(fault.forMs, () => network.streams.refuse(host, false));
    case 'lossBurst':
      network.datagrams.storm(host, fault.loss);
      return world.until(fault.forMs, () => network.datagrams.storm(host, 0));
    case 'replay':
      return network.datagrams.replay(host, fault.count, chance(world.seed, `replay/${fault.at}/${host}`));
    case 'pause':
      machine.pause();
      return world.until(fault.forMs, () => machine.resume());
    case 'suspend': {
      machine.suspend(fault.forMs);
      return void world.scheduler.after(fault.forMs, () => machine.resume());
    }
    case 'clockJump':
      return machine.jump(fault.byMs);
  }
}

/** One whose process had ended before is hit all the same: a disk can be lost while nothing runs. */
function end<P extends SimPeer>(world: Faultable<P>, machine: Machine<P>, restartMs: Millis | null, why: string, disk: () => void): void {
  machine.kill(why);
  disk();
  restart(world, machine, restartMs);
}

function restart<P extends SimPeer>(world: Faultable<P>, machine: Machine<P>, restartMs: Millis | null): void {
  if (restartMs === null) world.gone.add(machine.host);
  else world.until(restartMs, () => {
    if (!world.gone.has(machine.host)) machine.start();
  });
}

export function act<P extends SimPeer>(world: Faultable<P>, step: Step): void {
  const machine = world.machines[step.host];
  if (machine === undefined) return;
  switch (step.kind) {
    case 'write':
      return machine.command({ kind: 'write', key: step.key, value: step.value });
    case 'delete':
      return machine.command({ kind: 'write', key: step.key, value: null });
    case 'addFile':
      machine.files.add(step.name);
      return machine.command({ kind: 'scan' });
    case 'removeFile':
      machine.files.delete(step.name);
      return machine.command({ kind: 'scan' });
    case 'join':
      return machine.command({ kind: 'join', host: step.whose });
    case 'forget':
      return machine.command({ kind: 'forget', host: step.whom });
    case 'leap':
      return machine.command({ kind: 'leap', by: step.by });
  }
}
