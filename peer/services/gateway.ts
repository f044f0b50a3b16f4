// The service of the role `gateway`. The pages themselves are served by every peer's own HTTP server; this sees to it that the one
// behind the network's name is one that answers, so that a machine whose server has died does not keep the name.
import { get } from 'node:http';
import { messageOf } from '../../lib/errors.ts';
import { type Health, type Service, type ServiceContext, unknownMethod } from './service.ts';

/** Less than the time after which we hang ourselves: the reason is to be the server's. */
const ANSWER_MS = 1_500;

class Gateway implements Service {
  #context: ServiceContext = { httpPort: 0, httpUrl: '' };

  start(_token: unknown, context: ServiceContext): void {
    this.#context = context;
  }

  renew(): void {}

  stop(): void {}

  handle(method: string): unknown {
    if (method !== 'port') throw unknownMethod(method);
    return this.#context.httpPort;
  }

  health(): Promise<Health> {
    const unhealthy = (why: string): Health => ({ healthy: false, why: `the web address of this machine ${why}` });
    return new Promise((resolve) => {
      const signal = AbortSignal.timeout(ANSWER_MS);
      // A connection of its own each time: one that was kept would not show that no new ones are taken.
      const request = get(new URL('/healthz', this.#context.httpUrl), { agent: false, signal }, (response) => {
        response.resume();
        resolve(response.statusCode === 200 ? { healthy: true } : unhealthy(`answers with ${response.statusCode}`));
      });
      request.on('error', (error) => resolve(unhealthy(signal.aborted ? `did not answer for ${ANSWER_MS / 1000} s` : `fails (${messageOf(error)})`)));
    });
  }
}

export const service: Service = new Gateway();
