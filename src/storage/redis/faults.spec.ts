/** Faults of Redis. Each has its own code and says what to do, and the service recovers from all of them by itself. */
import { type OpenRedis, openRedisStore, openWiredRedisStore } from '../../../test/support/open-store.js';
import {
  ANSWER_MS,
  failure,
  insertItem,
  openClient,
  RECOVERY_MS,
  type RedisClient,
} from '../../../test/support/redis-clients.js';
import { ALWAYS, NO_SYNC_DELAY, RedisServer } from '../../../test/support/redis-server.js';
import { until } from '../../../test/support/until.js';
import { BrainError } from '../../shared/errors.js';
import { randomId } from '../../shared/ids.js';
import { ITEMS, type Item, item } from '../contract/items.js';
import { SCRIPTS } from './scripts.js';

describe('a Redis that refuses our writes', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start(['--requirepass', 'right']);
  });
  afterAll(() => server.stop());
  const url = (login: string): string => server.url.replace('//', `//${login}@`);

  it('that is a read-only replica serves reads, and writes, health and the log report it', async () => {
    const master = await openRedisStore(NO_SYNC_DELAY);
    await insertItem(master.client, item('a'));
    const replica = await RedisServer.startReplica(master.server);
    const client = openClient({ url: replica.url });
    expect(await client.store.get(ITEMS, 'a')).toEqual(item('a'));
    expect((await failure(insertItem(client, item('b')))).code).toBe('store_read_only');
    expect(await client.store.health()).toMatchObject({ ok: false, code: 'store_read_only' });
    expect(client.lines.map((line) => line.fields.code)).toContain('store_read_only');
    await client.store.close();
    await Promise.all([replica.stop(), master.close()]);
  });

  it.each([
    ['a wrong password', ':wrong'],
    ['no password', ''],
    ['an unknown user', 'nobody:right'],
  ])('requires another login than this: %s', async (_, login) => {
    const client = openClient({ url: login === '' ? server.url : url(login) });
    const error = await failure(client.store.get(ITEMS, 'a'));
    expect([error.kind, error.code]).toEqual(['unavailable', 'store_auth_failed']);
    expect(error.detail).not.toContain('wrong');
    expect(client.lines.filter((line) => line.fields.code === 'store_auth_failed')).toHaveLength(1);
    expect(await client.store.health()).toMatchObject({ ok: false, code: 'store_auth_failed' });
    await client.store.close();
  });

  it('accepts the right login, also one without INFO and CONFIG', async () => {
    server.cli(
      'acl',
      'setuser',
      'app',
      'on',
      '>secret',
      '~brain:*',
      '+@all',
      '-@dangerous',
      '-config',
      '-info',
    );
    for (const login of [':right', 'app:secret']) {
      const client = openClient({ url: url(login) });
      await insertItem(client, item(randomId(8)));
      expect(await client.store.health()).toEqual({ ok: true, warnings: [] });
      await client.store.close();
    }
  });

  it('causes an error that names the missing permission', async () => {
    server.cli('acl', 'setuser', 'weak', 'on', '>secret', '~other:*', '+@all');
    const client = openClient({ url: url('weak:secret') });
    expect((await failure(insertItem(client, item('a')))).code).toBe('store_auth_failed');
    await client.store.close();
  });

  it('and deletes documents when it is full causes a warning at the start and in health', async () => {
    const { client, close } = await openRedisStore(['--maxmemory-policy', 'allkeys-lru']);
    const warned = client.lines.find((line) => line.level === 'warn');
    expect(warned?.message).toContain('maxmemory-policy is allkeys-lru');
    const health = await client.store.health();
    expect([health.ok, health.warnings.length]).toEqual([true, 1]);
    await close();
  });
});

describe('a Redis that is away', () => {
  let redis: OpenRedis;
  let server: RedisServer;
  let client: RedisClient;
  beforeEach(async () => {
    redis = await openRedisStore(ALWAYS);
    ({ server, client } = redis);
  });
  afterEach(() => redis.close());
  const back = async (): Promise<boolean> => {
    try {
      await insertItem(client, item(randomId(12)));
      return true;
    } catch {
      return false;
    }
  };

  it('by being frozen delays an answer by at most two seconds, and everything works again afterwards', async () => {
    let reads = 0;
    client.store.watch(ITEMS, () => {
      reads += 1;
    });
    server.freeze();
    const calls = [
      insertItem(client, item('frozen')),
      client.store.get(ITEMS, 'a'),
      client.store.list(ITEMS, {}),
      client.store.next('numbers'),
      client.store.acquire('name', 1000),
      client.log.append(randomId(8), [{ json: '{}', keys: [] }]),
      client.log.read({ order: 'asc', limit: 1 }),
      client.store.health().then((health) => {
        expect(health.ok).toBe(false);
        throw new BrainError('unavailable', health.code ?? '', health.detail ?? '');
      }),
    ];
    const errors = await Promise.all(calls.map(failure));
    for (const error of errors) {
      expect(error.kind).toBe('unavailable');
      expect(['store_timeout', 'store_unreachable']).toContain(error.code);
    }
    // More calls than may wait, so that no queue grows without a bound.
    const startedMs = Date.now();
    const crowd = await Promise.allSettled(
      Array.from({ length: 12_000 }, () => client.store.get(ITEMS, 'a')),
    );
    expect(Date.now() - startedMs).toBeLessThan(ANSWER_MS);
    const kinds = crowd.map((one) => one.status === 'rejected' && (one.reason as BrainError).kind);
    expect(new Set(kinds)).toEqual(new Set(['unavailable']));
    const before = reads;
    const seenMs = client.store.watchedUntilMs();
    expect(performance.now() - seenMs).toBeGreaterThan(1000);
    server.thaw();
    await until(back, RECOVERY_MS, 'the recovery');
    await until(() => reads > before, 1000, 'the watcher hearing of it');
    expect(client.store.watchedUntilMs()).toBeGreaterThan(seenMs);
  }, 20_000);

  it('by being killed causes errors at once, keeps acknowledged commits, and everything works again afterwards', async () => {
    await insertItem(client, item('kept'));
    const { last } = await client.log.bounds();
    await server.kill();
    const error = await failure(insertItem(client, item('lost')));
    expect([error.kind, error.code]).toEqual(['unavailable', 'store_unreachable']);
    expect((await client.store.health()).code).toBe('store_unreachable');
    const startedMs = Date.now();
    await failure(client.store.get(ITEMS, 'kept'));
    expect(Date.now() - startedMs).toBeLessThan(500);
    await server.run();
    await until(back, RECOVERY_MS, 'the recovery');
    const follows = async (): Promise<boolean> =>
      (await client.log.next({ position: last as string }, 1)).tier === 'recent';
    await until(() => follows().catch(() => false), RECOVERY_MS, 'the second connection');
    expect(await client.store.get(ITEMS, 'kept')).toEqual(item('kept'));
    expect((await client.log.read({ order: 'asc', limit: 1 }))[0]?.json).toContain('made kept');
    const codes = client.lines.filter((line) => line.level === 'error').map((line) => line.fields.code);
    expect(new Set(codes)).toEqual(new Set(['store_unreachable']));
  }, 20_000);

  it('at the start makes everything unavailable until it is there', async () => {
    await server.kill();
    const early = openClient({ url: server.url });
    early.store.declare(ITEMS);
    expect((await failure(early.store.list(ITEMS, {}))).kind).toBe('unavailable');
    expect(early.store.watchedUntilMs()).toBe(Number.NEGATIVE_INFINITY);
    await server.run();
    await until(async () => (await early.store.health()).ok, RECOVERY_MS, 'the first connect');
    await insertItem(early, item('early'));
    await early.store.close();
    expect((await failure(early.store.get(ITEMS, 'early'))).code).toBe('store_unreachable');
  }, 20_000);

  it('and comes back without scripts gets them again', async () => {
    server.cli('script', 'flush');
    await insertItem(client, item('a'));
    expect((await client.store.list(ITEMS, {})).total).toBe(1);
  });
});

describe('a Redis that loads its data', () => {
  it('reports this to old and new connections until it is done', async () => {
    const { server, client, close } = await openRedisStore(['--enable-debug-command', 'yes']);
    await insertItem(client, item('a'));
    server.cli('mset', ...Array.from({ length: 200 }, (_, i) => [`filler${i}`, 'x'.repeat(100)]).flat());
    server.cli('config', 'set', 'loading-process-events-interval-bytes', '1024');
    server.cli('config', 'set', 'key-load-delay', '10000');
    const loaded = server.cliLater('debug', 'reload');
    await until(() => server.cli('info', 'persistence').includes('loading:1'), ANSWER_MS, 'the load');
    const late = openClient({ url: server.url });
    for (const one of [client, late]) {
      await until(async () => (await one.store.health()).code === 'store_loading', ANSWER_MS, 'the word');
      expect((await failure(one.store.get(ITEMS, 'a'))).code).toBe('store_loading');
    }
    await loaded;
    for (const one of [client, late]) {
      await until(async () => (await one.store.health()).ok, RECOVERY_MS, 'the recovery');
      expect(await one.store.get(ITEMS, 'a')).toEqual(item('a'));
    }
    await late.store.close();
    await close();
  });
});

describe('a Redis whose append-only file ends in half a commit', () => {
  it('drops that half and keeps all later commits, if the file is repaired before the start', async () => {
    const { server, client, close } = await openRedisStore(ALWAYS);
    await insertItem(client, item('torn'));
    await server.kill();
    server.tearLog(5);
    await server.run();
    await until(async () => (await client.store.health()).ok, RECOVERY_MS, 'the recovery');
    await insertItem(client, item('kept'));
    await server.kill();
    await server.run();
    await until(async () => (await client.store.health()).ok, RECOVERY_MS, 'the recovery');
    expect(await client.store.get(ITEMS, 'torn')).toBeUndefined();
    expect((await client.store.list(ITEMS, {})).rows).toEqual([item('kept')]);
    await close();
  });
});

describe('a connection that breaks', () => {
  it('loses answers and requests, and every commit and batch is still applied once', async () => {
    const { wire, client, close } = await openWiredRedisStore();
    await insertItem(client, item('a'));
    const lengthBefore = (await client.log.bounds()).length;
    wire.cutAfter(SCRIPTS.commit.sha);
    await client.log.append(randomId(8), [{ json: '{"n":1}', keys: ['s:x'] }]);
    expect((await client.log.bounds()).length).toBe(lengthBefore + 1);

    const increments = Array.from({ length: 300 }, async (_, i) => {
      await new Promise((resolve) => setTimeout(resolve, i * 3));
      await client.store.transaction(async (tx) => {
        const one = (await tx.get(ITEMS, 'a')) as Item;
        tx.put(ITEMS, { ...one, n: one.n + 1 });
        tx.record({ json: '{"one":"more"}', keys: ['s:count'] });
      });
    });
    const cuts = setInterval(() => wire.cut(), 200);
    const results = await Promise.allSettled(increments);
    clearInterval(cuts);
    const failed = results.filter((result) => result.status === 'rejected');
    expect(failed.every(({ reason }) => (reason as BrainError).kind === 'unavailable')).toBe(true);
    // The outcome of the failed ones is unknown. The state, the event and the counter of each agree.
    const count = (await client.store.get(ITEMS, 'a'))?.n as number;
    expect(count).toBeGreaterThanOrEqual(300 - failed.length);
    expect(count).toBeGreaterThan(200);
    const events = await client.log.read({ order: 'asc', limit: 500, key: 's:count' });
    expect(events).toHaveLength(count);
    expect((await client.store.counts(ITEMS)).sum).toBe(count);
    await close();
  }, 20_000);
});

describe('a failover that loses commits', () => {
  it('is noticed by watchers and in the log, and sequences and fences still grow', async () => {
    const { server, client, close } = await openRedisStore();
    await insertItem(client, item('old'));
    const draw = (): Promise<number> => client.store.transaction((tx) => tx.next('numbers'));
    await draw();
    server.cli('save');
    await insertItem(client, item('new'));
    for (let i = 0; i < 5; i += 1) await draw();
    const highest = await draw();
    const lease = await client.store.acquire('name', 100_000);
    const position = (await client.log.bounds()).last as string;
    let changed = 0;
    client.store.watch(ITEMS, () => {
      changed += 1;
    });
    await until(() => changed > 0, 1000, 'the first call');
    await server.kill();
    const before = changed;
    await server.run();
    await until(() => changed > before, RECOVERY_MS, 'the watcher hearing of it');
    expect(await client.store.get(ITEMS, 'new')).toBeUndefined();
    expect((await client.store.list(ITEMS, {})).rows.map(({ id }) => id)).toEqual(['old']);
    expect(await client.log.tierOf({ position })).toBeUndefined();
    expect(await draw()).toBeGreaterThan(highest);
    expect((await client.store.acquire('name', 1000))?.fence).toBeGreaterThan(lease?.fence as number);
    const late = client.store.transaction((tx) => {
      if (lease) tx.demand(lease);
      tx.insert(ITEMS, item('late'));
    });
    expect((await failure(late)).code).toBe('lease_lost');
    await close();
  }, 20_000);
});
