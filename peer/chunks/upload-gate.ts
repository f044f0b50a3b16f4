// Where requests for chunks wait for their turn: carries out what uploads.ts decides.
import { PeerError } from '../../lib/errors.ts';
import type { PeerId } from '../../lib/ids.ts';
import type { Alarms } from './alarms.ts';
import type { Urgency } from './provider-link.ts';
import { Uploads } from './uploads.ts';

export class UploadGate {
  readonly #alarms: Alarms;
  readonly #uploads = new Uploads();
  readonly #waiting = new Map<number, () => void>();
  #lastId = 0;
  #callOff: (() => void) | undefined;

  constructor(alarms: Alarms) {
    this.#alarms = alarms;
  }

  /** @returns to be called once the chunk is with the kernel, or will not be sent @throws PeerError CANCELLED */
  enter(peer: PeerId, urgency: Urgency, signal: AbortSignal): Promise<() => void> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        signal.removeEventListener('abort', cancel);
        this.#waiting.delete(id);
        this.#start(this.#uploads.done(id, this.#alarms.now()));
      };
      // Also one whose turn has begun gives its place back: the disk that it waits for may never answer.
      const cancel = (): void => {
        leave();
        reject(new PeerError('CANCELLED', 'nobody waits for it any more'));
      };
      signal.addEventListener('abort', cancel, { once: true });
      this.#waiting.set(id, () => resolve(leave));
      this.#start(this.#uploads.ask({ id, peer, urgency }, this.#alarms.now()));
      if (signal.aborted) cancel();
    });
  }

  #start(ids: readonly number[]): void {
    for (const id of ids) {
      const begin = this.#waiting.get(id);
      this.#waiting.delete(id);
      begin?.();
    }
    const now = this.#alarms.now();
    const at = this.#uploads.lookAt(now);
    this.#callOff?.();
    this.#callOff = at === undefined ? undefined : this.#alarms.after(at - now, () => this.#start(this.#uploads.look(this.#alarms.now())));
  }
}
