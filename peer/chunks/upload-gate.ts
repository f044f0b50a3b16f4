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

  /** @returns to be called once the chunk is with the kernel, or with false when it will not be sent @throws PeerError CANCELLED */
  enter(peer: PeerId, urgency: Urgency, signal: AbortSignal): Promise<(sent?: boolean) => void> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const leave = (sent = true): void => {
        signal.removeEventListener('abort', cancel);
        this.#waiting.delete(id);
        const now = this.#alarms.now();
        this.#start(sent ? this.#uploads.done(id, now) : this.#uploads.cancelled(id, now));
      };
      // Also one whose turn has begun gives its place back: the disk that it waits for may never answer.
      const cancel = (): void => {
        leave(false);
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
