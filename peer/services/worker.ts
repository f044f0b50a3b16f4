// The thread of one service: loads its program, hands calls to it and sends answers back. It imports next to nothing, because
// takeover waits for it.
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf, PeerError } from '../../lib/errors.ts';
import { type FromThread, pack, type ThreadStart, type ToThread, unpack } from './messages.ts';
import type { Service } from './service.ts';

/** Node's bound of the heap does not count buffers; a leak of them is found when the service is asked for its health. */
const BUFFER_BYTES_MAX = 32 * 1024 * 1024;
/** As much as a stream tells of an error. */
const MESSAGE_CHARACTERS_MAX = 512;

if (parentPort !== null) {
  const port = parentPort;
  const { program, token, context } = workerData as ThreadStart;
  const say = (message: FromThread): void => port.postMessage(message);

  const answer = async (id: number, work: () => unknown): Promise<void> => {
    try {
      say({ kind: 'answer', id, value: pack(await work()) });
    } catch (error) {
      say({ kind: 'refusal', id, code: error instanceof PeerError ? error.code : 'INTERNAL', message: messageOf(error).slice(0, MESSAGE_CHARACTERS_MAX) });
    }
  };

  const start = async (): Promise<Service> => {
    const { service } = (await import(program)) as { readonly service: Service };
    await service.start(token, context);
    say({ kind: 'ready' });
    return service;
  };
  // A start that fails is handled nowhere, which ends the thread with its reason.
  const started = start();

  // Heard from the beginning; what comes before the start is done waits for it, in the order in which it came.
  port.on('message', async (message: ToThread) => {
    const service = await started;
    switch (message.kind) {
      case 'call':
        return answer(message.id, () => service.handle(message.method, unpack(message.params)));
      case 'health': {
        const { arrayBuffers } = process.memoryUsage();
        if (arrayBuffers > BUFFER_BYTES_MAX) throw new Error(`keeps ${Math.round(arrayBuffers / 1024 / 1024)} MiB of buffers`);
        const health = await service.health();
        return answer(message.id, () => health);
      }
      case 'renew':
        return service.renew(message.token);
      case 'stop':
        await service.stop();
        process.exit();
    }
  });
}
