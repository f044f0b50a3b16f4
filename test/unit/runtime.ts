// The driver of the pure machines, on real timers.
import t from 'tap';
import { systemClock } from '../../lib/time.ts';
import { Driver } from '../../peer/runtime.ts';

type Input = { readonly kind: 'go'; readonly now: number } | { readonly kind: 'expired'; readonly now: number };
type Effect = { readonly kind: 'arm'; readonly timer: 'one'; readonly ms: number };

/** Node rounds it down. */
const WAIT_MS = 20.7;

t.test('a timer never expires early', async (t) => {
  const times: number[] = [];
  let expired: () => void = () => undefined;
  const driver = new Driver<number[], 'one', Input, Effect>(
    {
      state: times,
      step: (state, { kind, now }) => {
        state.push(now);
        if (kind === 'go') return [{ kind: 'arm', timer: 'one', ms: WAIT_MS }];
        expired();
        return [];
      },
    },
    { clock: systemClock, carryOut: () => undefined, expired: () => ({ kind: 'expired' }) },
  );
  for (let i = 0; i < 10; i += 1) {
    times.length = 0;
    await new Promise<void>((resolve) => {
      expired = resolve;
      driver.feed({ kind: 'go' });
    });
    const [setAt, expiredAt] = times as [number, number];
    t.ok(expiredAt - setAt >= WAIT_MS, `${expiredAt - setAt} ms`);
  }
});
