// Calls to whoever holds a role: what a caller takes for an answer, and for how long it looks for one.
import t from 'tap';
import { codeOf, PeerError } from '../../lib/errors.ts';
import { idToBytes, type PeerId } from '../../lib/ids.ts';
import type { FencingToken } from '../../lib/roles.ts';
import { RoleCalls, type RoleCallsOptions } from '../../peer/coordination/role-calls.ts';

const [SELF, SLEEPER, NEXT] = ['c', 'a', 'b'].map((letter) => letter.repeat(32)) as [PeerId, PeerId, PeerId];
const token = (number: number): FencingToken => ({ term: 1, coordinator: SELF, number });

function callsWith(options: Partial<RoleCallsOptions>): RoleCalls {
  const never = (): never => {
    throw new Error('nobody asks for this');
  };
  return new RoleCalls({ self: SELF, clock: { now: () => 0, wall: never }, holder: never, holds: never, serve: never, health: never, ask: never, ...options });
}

t.test('an answer with a smaller token than one before is refused, and the call goes to whoever holds the role next', async (t) => {
  const holders = [NEXT, SLEEPER, NEXT];
  const asked: PeerId[] = [];
  const calls = callsWith({
    holder: () => holders.shift(),
    ask: async (peer) => {
      asked.push(peer);
      const { term, coordinator, number } = token(peer === SLEEPER ? 1 : 2);
      return [peer, term, idToBytes(coordinator), number];
    },
  });
  t.equal(await calls.call('users', 'who', null), NEXT);
  t.equal(await calls.call('users', 'who', null), NEXT, 'not what the one said that had slept');
  t.same(asked, [NEXT, SLEEPER, NEXT]);
});

t.test('what the service itself refuses is not asked again', async (t) => {
  let asked = 0;
  const calls = callsWith({
    holder: () => NEXT,
    ask: async () => {
      asked += 1;
      throw new PeerError('UNSUPPORTED', 'there is no method of that name');
    },
  });
  t.equal(await codeOfFailure(calls.call('users', 'who', null)), 'UNSUPPORTED');
  t.equal(asked, 1);
});

t.test('where nobody holds the role a call is refused once it has looked for five seconds', async (t) => {
  let now = 0;
  const looks: number[] = [];
  const calls = callsWith({
    clock: { now: () => now, wall: () => 0 as never },
    holder: () => {
      looks.push(now);
      now += 2_000;
      return undefined;
    },
  });
  t.equal(await codeOfFailure(calls.call('users', 'who', null)), 'ROLE_UNAVAILABLE');
  t.same(looks, [0, 2_000, 4_000]);
});

t.test('a call that waits looks again as soon as the role has another holder', async (t) => {
  const holders = [undefined, NEXT];
  const calls = callsWith({ holder: () => holders.shift(), ask: async () => [1, 1, idToBytes(SELF), 1] });
  const answer = calls.call('users', 'who', null);
  const waited = new Promise((resolve) => setTimeout(resolve, 90, 'waits'));
  await new Promise((resolve) => setImmediate(resolve));
  calls.changed();
  t.equal(await Promise.race([answer, waited]), 1);
});

t.test('what was worked out while the lease ran out is not answered', async (t) => {
  let holds = true;
  const calls = callsWith({
    holds: () => holds,
    serve: async () => {
      holds = false;
      return { value: 'late', token: token(1) };
    },
  });
  const handler = calls.handlers().get('role');
  t.equal(await codeOfFailure(Promise.resolve(handler?.(['users', 'work', null], undefined as never))), 'ROLE_UNAVAILABLE');
});

async function codeOfFailure(work: Promise<unknown>): Promise<string | undefined> {
  return work.then(
    () => undefined,
    (error: unknown) => codeOf(error),
  );
}

t.test('what a holder wants by a smaller token than one that was seen is refused, and no more when terms have come down', async (t) => {
  const calls = callsWith({ holder: () => NEXT, ask: async () => ['', token(2).term, idToBytes(token(2).coordinator), token(2).number] });
  calls.admit('music', token(1));
  await calls.call('music', 'place', null);
  t.throws(() => calls.admit('music', token(1)), { code: 'ROLE_UNAVAILABLE' });
  calls.admit('users', token(1));
  calls.admit('music', token(2));
  calls.admit('music', token(3));
  t.throws(() => calls.admit('music', token(2)), { code: 'ROLE_UNAVAILABLE' });
  calls.forget();
  calls.admit('music', token(1));
  t.pass('each role by itself');
});
