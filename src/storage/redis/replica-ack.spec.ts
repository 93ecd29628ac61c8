/** With BRAIN_REDIS_WAIT=1 on a master and its replica: no answer follows from a write that no replica has. */
import { silentLogger } from '../../../test/support/logs.js';
import { failure, openClient, type RedisClient } from '../../../test/support/redis-clients.js';
import { NO_SYNC_DELAY, RedisServer } from '../../../test/support/redis-server.js';
import { tick } from '../../../test/support/ticks.js';
import { until } from '../../../test/support/until.js';
import { Wire } from '../../../test/support/wire.js';
import { EventStream } from '../../events/event-stream.js';
import { BrainError } from '../../shared/errors.js';
import { ITEMS, type Item, item } from '../contract/items.js';

const NOT_REPLICATED = { kind: 'unavailable', code: 'store_not_replicated' };

describe('a Redis replica that is away', () => {
  let master: RedisServer;
  let replica: RedisServer;
  let writer: RedisClient;
  let other: RedisClient;

  /** The replica runs and has all writes. */
  const back = async (): Promise<void> => {
    replica.thaw();
    const works = (): Promise<boolean> =>
      writer.store
        .transaction((tx) => tx.get(ITEMS, 'before'))
        .then(
          () => true,
          () => false,
        );
    await until(works, 10_000, 'the replica');
  };

  beforeAll(async () => {
    master = await RedisServer.start(NO_SYNC_DELAY);
    replica = await RedisServer.startReplica(master);
    [writer, other] = [1, 2].map(() => openClient({ url: master.url, wait: 1 }));
    for (const { store } of [writer, other]) store.declare(ITEMS);
    await back();
    await other.store.transaction((tx) => tx.get(ITEMS, 'before'));
  }, 30_000);
  beforeEach(() => replica.freeze());
  afterEach(() => replica.thaw());
  afterAll(async () => {
    await Promise.all([writer.store.close(), other.store.close()]);
    await Promise.all([master.stop(), replica.stop()]);
  });

  it('fails each commit and its repetitions, on any connection', async () => {
    const idempotency = { key: 'k', body: 'x' };
    const make = ({ store }: RedisClient): Promise<string> =>
      store.transaction(
        (tx) => {
          tx.insert(ITEMS, item('made'));
          return 'made';
        },
        { idempotency },
      );
    expect(await failure(make(writer))).toMatchObject(NOT_REPLICATED);
    expect(await failure(make(writer))).toMatchObject(NOT_REPLICATED);
    expect(await failure(make(other))).toMatchObject(NOT_REPLICATED);
    await back();
    expect(await make(writer)).toBe('made');
    expect(await make(other)).toBe('made');
  }, 20_000);

  it('lets no commit be acknowledged that is sent again because its answer was lost', async () => {
    const wire = await Wire.to(master.port);
    const far = openClient({ url: wire.url, wait: 1 });
    try {
      far.store.declare(ITEMS);
      replica.thaw();
      await far.store.transaction((tx) => tx.insert(ITEMS, item('first')));
      replica.freeze();
      wire.cutAfter('twice-sent');
      const write = far.store.transaction((tx) => tx.insert(ITEMS, item('twice-sent')));
      expect(await failure(write)).toMatchObject(NOT_REPLICATED);
      expect(await other.store.get(ITEMS, 'twice-sent')).toBeDefined();
    } finally {
      await far.store.close();
      await wire.close();
    }
  }, 20_000);

  it('fails transactions without a change, and refusals', async () => {
    const write = writer.store.transaction((tx) => tx.insert(ITEMS, item('read', { n: 1 })));
    expect(await failure(write)).toMatchObject(NOT_REPLICATED);
    const read = (): Promise<Item | undefined> => other.store.transaction((tx) => tx.get(ITEMS, 'read'));
    const refuse = (): Promise<void> =>
      other.store.transaction(async (tx) => {
        if (await tx.get(ITEMS, 'read')) throw new BrainError('conflict', 'there', 'It is there.');
      });
    const again = (): Promise<void> => other.store.transaction((tx) => tx.insert(ITEMS, item('read')));
    for (const one of [read, refuse, again]) expect(await failure(one())).toMatchObject(NOT_REPLICATED);
    await back();
    expect(await read()).toMatchObject({ id: 'read', n: 1 });
    expect(await failure(refuse())).toMatchObject({ code: 'there' });
    expect(await failure(again())).toMatchObject({ code: 'already_exists' });
  }, 20_000);

  it('does not keep events from the log, and delays durable decisions', async () => {
    const stream = new EventStream(other.log, silentLogger(), undefined, true);
    const publish = (many: number): void => {
      for (let n = 0; n < many; n += 1) stream.publish(tick(n, 'waiting', ''));
    };
    publish(1);
    expect(await stream.written(1000)).toBe(false);
    publish(20_000);
    await stream.flush();
    expect(stream.lost).toBe(0);
    expect(await stream.written(1000)).toBe(false);
    expect((await other.log.bounds()).length).toBe(20_001);
    await back();
    publish(1);
    expect(await stream.written(5000)).toBe(true);
    await stream.close();
  }, 40_000);

  it('does not keep a full Redis from repeating stored answers', async () => {
    replica.thaw();
    await back();
    const idempotency = { key: 'full', body: 'x' };
    const make = (): Promise<string> =>
      writer.store.transaction(
        (tx) => {
          tx.insert(ITEMS, item('full'));
          return 'made';
        },
        { idempotency },
      );
    expect(await make()).toBe('made');
    master.cli('config', 'set', 'maxmemory', '1');
    try {
      expect(await make()).toBe('made');
      expect(await writer.store.transaction((tx) => tx.get(ITEMS, 'full'))).toMatchObject({ id: 'full' });
    } finally {
      master.cli('config', 'set', 'maxmemory', '0');
    }
  }, 20_000);
});
