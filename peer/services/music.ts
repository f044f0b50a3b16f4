// The service of the role `music`: decides which machine fetches which song. The holder's main thread gathers what lacks copies
// and who has room (peer/copies/director.ts), and asks this for each page of it: a thousand songs on hundreds of machines take a
// while, which delays no beat here. It remembers nothing, so it does the same when it is asked again.
import { checker } from '../../lib/check.ts';
import { COPIES_MAX, PLACED_SONGS_MAX, PLACED_TARGETS_MAX } from '../../lib/limits.ts';
import { type Lacking, place, type Placed, type Target } from '../copies/placement.ts';
import { type Service, unknownMethod } from './service.ts';

const PLACE_METHOD_NAME = 'place';

const check = checker('BAD_MESSAGE');

export const service: Service = {
  start() {},
  renew() {},
  stop() {},
  handle(method, params) {
    if (method !== PLACE_METHOD_NAME) throw unknownMethod(method);
    const [wanted, targets, songs] = check.list(params, 3);
    const placed = place({
      wanted: Math.min(COPIES_MAX, check.count(wanted)),
      targets: check.list(targets).slice(0, PLACED_TARGETS_MAX).map(readTarget),
      songs: check.list(songs).slice(0, PLACED_SONGS_MAX).map(readLacking),
    });
    return placed.map(({ song, target }: Placed) => [song, target]);
  },
  health: () => ({ healthy: true }),
};

function readTarget(value: unknown): Target {
  const [roomBytes, uptimeMs, slots] = check.list(value, 3);
  return { roomBytes: check.count(roomBytes), uptimeMs: check.count(uptimeMs), slots: check.count(slots) };
}

function readLacking(value: unknown): Lacking {
  const [bytes, plays, machines, leaving, except] = check.list(value, 5);
  return { bytes: check.count(bytes), plays: check.count(plays), machines: check.count(machines), leaving: leaving === true, except: check.list(except).map((target) => check.count(target)) };
}
