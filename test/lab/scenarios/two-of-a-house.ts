// Two machines, of which one falls silent: nobody else is there to say whether it has died, and the other takes itself for alone. It does
// everything then, and keeps it.
import { skip } from '../world.ts'; // first: it runs this file again in a world of its own
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { ROLES } from '../../../lib/roles.ts';
import { Api } from '../api.ts';
import { Lab } from '../lab.ts';
import { meet } from '../network.ts';
import { type Peer, programMissing, startPeer } from '../peers.ts';
import { until } from '../until.ts';

const TEST_MS = 120_000;
const PATIENCE_MS = 20_000;
/** Until the survivor takes itself for alone: three seconds of silence, and its questions. */
const ALONE_MS = 5_000;

t.setTimeout(TEST_MS);
t.test('two hosts, of which one falls silent: the other does everything, and the house keeps its address', { skip: skip || programMissing(), timeout: TEST_MS }, async (t: Test) => {
  const lab = await Lab.create({ name: 'two-of-a-house', hosts: 2 });
  t.teardown(() => lab.close());
  const apis = (await Promise.all(lab.hosts.map((host) => Api.open(host)))) as [Api, Api];
  const peers = await Promise.all(lab.hosts.map((host) => startPeer(host, { folders: [] })));
  await meet(peers, PATIENCE_MS);
  const { value } = await until('both know who is gateway, and its name', PATIENCE_MS, () => apis[0].status(), ({ roles, gatewayName }) => roles.gateway !== null && gatewayName !== null);
  const holds = peers.findIndex(({ id }) => id === value.roles.gateway);
  const [frozen, left] = [peers[holds], peers[1 - holds]] as [Peer, Peer];
  process.kill(frozen.process.pid, 'SIGSTOP');
  const api = apis[1 - holds] as Api;
  await until('the other one holds every role', PATIENCE_MS, () => api.status(), ({ roles }) => ROLES.every((role) => roles[role] === left.id));
  await sleep(ALONE_MS);
  t.match(await api.status(), { gatewayName: 'spotify-peer.local', roles: { gateway: left.id } });
  process.kill(frozen.process.pid, 'SIGCONT');
  const holder = async (): Promise<readonly (string | null)[]> => (await Promise.all(apis.map((one) => one.status()))).map(({ roles }) => roles.gateway);
  const { value: agreed } = await until('both name one gateway again', PATIENCE_MS, holder, ([one, other]) => one === other);
  t.equal(agreed[0], left.id, 'and that is who had it meanwhile');
});
