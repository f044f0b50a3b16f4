import { EventEmitter } from 'node:events';
import t, { type Test } from 'tap';
import { AddressBook } from '../../discovery/address-book.ts';
import { type BootId, type PeerId, randomId } from '../../lib/ids.ts';
import { systemClock } from '../../lib/time.ts';
import { Links } from '../../peer/links.ts';
import type { Connection } from '../../peer/stream/connection.ts';
import type { Streams } from '../../peer/stream/streams.ts';

class Room {
  readonly links: Links;
  readonly #streams = Object.assign(new EventEmitter(), { connections: new Set<Connection>(), connectionTo: () => undefined, dial: () => new Promise(() => {}) });

  constructor(t: Test) {
    const self = randomId<PeerId>();
    const streams = this.#streams as unknown as Streams;
    this.links = new Links({ self, streams, book: new AddressBook({ self }), clock: systemClock, advertised: [], living: () => [] });
    t.teardown(() => this.links.stop());
  }

  /** Somebody calls, and is asked where others are. */
  async call(peer: PeerId, host: string, tells: readonly unknown[] = []): Promise<void> {
    const hello = { peer, bootId: randomId<BootId>(), port: 17_784 };
    const request = (): Promise<unknown> => Promise.resolve(tells);
    this.#streams.emit('opened', { hello, purpose: 'control', dialled: false, remote: { host, port: 40_000 }, request });
    await new Promise(setImmediate);
  }

  /** What it answers to somebody at `host`. */
  async tells(host: string): Promise<unknown> {
    const handler = this.links.handlers().get('addresses');
    const reply = await handler?.([], { remote: { host, port: 40_000 } } as never);
    return reply?.kind === 'value' ? reply.value : undefined;
  }
}

t.test('of two that call in one moment each is told of the other, whoever asks first', async (t) => {
  const room = new Room(t);
  const [a, b] = [randomId<PeerId>(), randomId<PeerId>()];
  await Promise.all([room.call(a, '192.0.2.1'), room.call(b, '192.0.2.2')]);
  t.same(await room.tells('192.0.2.1'), [[b, '192.0.2.2', 17_784], [a, '192.0.2.1', 17_784]]);
});

t.test('what a peer says of itself is told to others, what it says of third parties is not', async (t) => {
  const room = new Room(t);
  const [a, third] = [randomId<PeerId>(), randomId<PeerId>()];
  await room.call(a, '192.0.2.1', [[a, '198.51.100.7', 17_000], [third, '198.51.100.8', 17_001]]);
  t.same(await room.tells('192.0.2.9'), [[a, '198.51.100.7', 17_000], [a, '192.0.2.1', 17_784]]);
});
