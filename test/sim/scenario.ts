// A scenario is data: how many peers, for how long, on what network and disks, which faults, and what people do. So it can be drawn
// from a seed (families.ts), printed, shrunk (shrink.ts) and played again. All times are virtual milliseconds from the start.
import type { Millis } from '../../lib/time.ts';
import type { DiskModel } from './disk.ts';
import type { NetworkModel } from './network.ts';
import type { Host } from './peer.ts';

/** What happens to a process that ended: it starts again after so long, or is gone for good (null). */
interface Ending {
  readonly restartMs: Millis | null;
}

export type Fault = { readonly at: Millis } & (
  | ({ readonly kind: 'crash'; readonly host: Host } & Ending)
  /** It says goodbye first. */
  | ({ readonly kind: 'stop'; readonly host: Host } & Ending)
  /** The machine is switched on only then. */
  | { readonly kind: 'late'; readonly host: Host }
  /** Power cut and a disk that had lied: the last batches are gone. */
  | ({ readonly kind: 'loseTail'; readonly host: Host; readonly batches: number } & Ending)
  | ({ readonly kind: 'wipe'; readonly host: Host; readonly keepsIdentity: boolean } & Ending)
  /** The process ends, and the term that its disk had promised is one that cannot be. */
  | ({ readonly kind: 'insaneTerm'; readonly host: Host; readonly term: number } & Ending)
  | { readonly kind: 'backup'; readonly host: Host }
  /** The process ends, its disk becomes that of the last backup, if there was one. */
  | ({ readonly kind: 'restore'; readonly host: Host } & Ending)
  /** A copy of its disk starts on a host of its own, for so long; null is for good. */
  | { readonly kind: 'clone'; readonly host: Host; readonly forMs: Millis | null }
  | { readonly kind: 'fullDisk'; readonly host: Host; readonly forMs: Millis }
  /** These and all others do not hear each other. */
  | { readonly kind: 'partition'; readonly side: readonly Host[]; readonly forMs: Millis }
  | { readonly kind: 'oneWay'; readonly from: Host; readonly to: Host; readonly forMs: Millis }
  /** Every stream of this host ends at once. */
  | { readonly kind: 'cutStreams'; readonly host: Host }
  | { readonly kind: 'refuseStreams'; readonly host: Host; readonly forMs: Millis }
  /** What goes by stream from one to the other stands still: a delta arrives late. */
  | { readonly kind: 'holdBack'; readonly from: Host; readonly to: Host; readonly forMs: Millis }
  /** Loss on top, at one receiver. */
  | { readonly kind: 'lossBurst'; readonly host: Host; readonly loss: number; readonly forMs: Millis }
  /** Old datagrams, of whatever boot, are sent to it again. */
  | { readonly kind: 'replay'; readonly host: Host; readonly count: number }
  /** SIGSTOP and SIGCONT. */
  | { readonly kind: 'pause'; readonly host: Host; readonly forMs: Millis }
  /** The lid is closed, and opened. */
  | { readonly kind: 'suspend'; readonly host: Host; readonly forMs: Millis }
  | { readonly kind: 'clockJump'; readonly host: Host; readonly byMs: Millis }
);

export type Step = { readonly at: Millis; readonly host: Host } & (
  | { readonly kind: 'write'; readonly key: string; readonly value: string }
  | { readonly kind: 'delete'; readonly key: string }
  /** A file appears in the music folder of this host, or vanishes from it. */
  | { readonly kind: 'addFile'; readonly name: string }
  | { readonly kind: 'removeFile'; readonly name: string }
  /** A person joins the network that another host is in. */
  | { readonly kind: 'join'; readonly whose: Host }
  | { readonly kind: 'forget'; readonly whom: Host }
  /** Its Lamport clock runs ahead by so much. */
  | { readonly kind: 'leap'; readonly by: number }
);

export interface Scenario {
  readonly name: string;
  /** Hosts 0, 1, … at the start; clones come after them, in order of their faults. */
  readonly peers: number;
  readonly seconds: number;
  readonly network: NetworkModel;
  readonly disk: DiskModel;
  readonly faults: readonly Fault[];
  readonly workload: readonly Step[];
}

export const clonesIn = ({ faults }: Scenario): number => faults.filter(({ kind }) => kind === 'clone').length;

/** The hosts that a fault needs. */
export function hostsOf(fault: Fault): readonly Host[] {
  switch (fault.kind) {
    case 'partition':
      return fault.side;
    case 'oneWay':
    case 'holdBack':
      return [fault.from, fault.to];
    default:
      return [fault.host];
  }
}

export function hostsOfStep(step: Step): readonly Host[] {
  switch (step.kind) {
    case 'join':
      return [step.host, step.whose];
    case 'forget':
      return [step.host, step.whom];
    default:
      return [step.host];
  }
}
