/** With BRAIN_REDIS_WAIT=1, on a master and its replica: no answer tells of what no replica has. */
import { eventOf, failure, openClient, type RedisClient } from '../../test/support/redis-clients.js';
import { RedisServer, until } from '../../test/support/redis-server.js';
import { BrainError } from '../shared/errors.js';
import { ITEMS, type Item, item } from './store.contract.js';

const NOT_REPLICATED = { kind: 'unavailable', code: 'store_not_replicated' };

describe('a replica that is away', () => {
  let master: RedisServer;
  let replica: RedisServer;
  let writer: RedisClient;
  let other: RedisClient;

  /** The replica runs and has what is written. */
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
    master = await RedisServer.start(['--repl-diskless-sync-delay', '0']);
    replica = await RedisServer.start(['--replicaof', `127.0.0.1 ${master.port}`]);
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

  it('leaves a commit and each repetition of it unacknowledged, on every connection', async () => {
    const once = { key: 'k', body: 'x' };
    const make = ({ store }: RedisClient): Promise<string> =>
      store.transaction(
        (tx) => {
          tx.insert(ITEMS, item('made'));
          return 'made';
        },
        { once },
      );
    expect(await failure(make(writer))).toMatchObject(NOT_REPLICATED);
    expect(await failure(make(writer))).toMatchObject(NOT_REPLICATED);
    expect(await failure(make(other))).toMatchObject(NOT_REPLICATED);
    await back();
    expect(await make(writer)).toBe('made');
    expect(await make(other)).toBe('made');
  }, 20_000);

  it('leaves what changes nothing, and what is refused for what was read, unacknowledged', async () => {
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

  it('leaves events that must be durable unacknowledged, and those that need not be are in the log', async () => {
    await other.log.append('plain', [eventOf('plain')]);
    const durable = (): Promise<string> =>
      other.log.append('durable', [eventOf('durable')], { durable: true });
    expect(await failure(durable())).toMatchObject(NOT_REPLICATED);
    expect(await failure(durable())).toMatchObject(NOT_REPLICATED);
    await back();
    await durable();
    const texts = (await other.log.read({ order: 'asc', limit: 10 })).map(({ json }) => json);
    expect(texts.filter((json) => json.includes('durable'))).toHaveLength(1);
    expect(texts.filter((json) => json.includes('plain'))).toHaveLength(1);
  }, 20_000);
});
