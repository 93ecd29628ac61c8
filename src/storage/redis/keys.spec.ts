/** Unexpected keys, unusual requests and a full Redis: no commit is half done. */
import { type OpenRedis, openRedisStore } from '../../../test/support/open-store.js';
import { eventOf, failure, insertItem, type RedisClient } from '../../../test/support/redis-clients.js';
import { RedisServer } from '../../../test/support/redis-server.js';
import { randomId } from '../../shared/ids.js';
import { ITEMS, type Item, item } from '../contract/items.js';

describe('an unexpected key', () => {
  let redis: OpenRedis;
  let server: RedisServer;
  let client: RedisClient;
  const lease = { name: 'mine', fence: 0, token: '' };
  const keys = () => client.link.keys;

  /** Touches every kind of key there is. */
  const everything = (name = randomId(8)): Promise<unknown> =>
    client.store.transaction(
      async (tx) => {
        tx.demand(lease);
        await tx.next('numbers');
        const one = (await tx.get(ITEMS, 'a')) as Item;
        await tx.getUnique(ITEMS, 'tag', 'looked for');
        tx.put(ITEMS, { ...one, state: 'shut', kind: 'b', tag: 'new', at: one.at + 1 });
        tx.insert(ITEMS, item(`made-${name}`));
        tx.append(ITEMS, 'a', { n: 1 });
      },
      { idempotency: { key: name, body: '' } },
    );

  beforeAll(async () => {
    redis = await openRedisStore(['--enable-debug-command', 'yes']);
    ({ server, client } = redis);
  });
  afterAll(() => redis.close());
  beforeEach(async () => {
    server.cli('flushall');
    await client.store.counts(ITEMS);
    await insertItem(client, item('a', { tag: 'old' }));
    await client.store.transaction((tx) => tx.append(ITEMS, 'a', { n: 0 }));
    await client.store.transaction((tx) => tx.next('numbers'));
    Object.assign(lease, await client.store.acquire('mine', 60_000));
  });

  const usedOnce = (): string => keys().idempotencyRecord('used');
  const places: [string, () => string, 'list' | 'string'][] = [
    ['a document', () => keys().document(ITEMS, 'a'), 'list'],
    ['the place of a new document', () => keys().document(ITEMS, 'made-used'), 'list'],
    ['the set of ids', () => keys().ids(ITEMS), 'string'],
    ['appended entries', () => keys().entries(ITEMS, 'a'), 'string'],
    ['the statistics', () => keys().stats(ITEMS), 'list'],
    ['the index of all', () => keys().rows(ITEMS, '*', ''), 'string'],
    ['an index that is left', () => keys().rows(ITEMS, 'state', 'open'), 'string'],
    ['an index that is entered', () => keys().rows(ITEMS, 'state', 'shut'), 'string'],
    ['a unique value that is looked for', () => keys().unique(ITEMS, 'tag', 'looked for'), 'list'],
    ['a unique value that is claimed', () => keys().unique(ITEMS, 'tag', 'new'), 'list'],
    ['the counters', () => keys().counts(ITEMS), 'string'],
    ['the hash of collections', () => keys().collections, 'string'],
    ['an idempotency key', usedOnce, 'list'],
    ['a sequence', () => keys().sequence('numbers'), 'list'],
    ['a lease', () => keys().lease('mine'), 'list'],
  ];

  it.each(places)('of another type fails the commit and changes nothing: %s', async (_, key, type) => {
    server.cli('del', key());
    if (type === 'list') server.cli('rpush', key(), 'x');
    else server.cli('set', key(), 'x');
    // The sequence may grow; a missing number does no harm.
    if (key() !== keys().sequence('numbers')) server.cli('del', keys().sequence('numbers'));
    const before = server.cli('debug', 'digest');
    const error = await failure(everything('used'));
    expect([error.kind, error.code]).toEqual(['unavailable', 'store_wrong_type']);
    expect(error.detail).toContain(key());
    server.cli('del', ...(key() === keys().sequence('numbers') ? ['none'] : [keys().sequence('numbers')]));
    expect(server.cli('debug', 'digest')).toBe(before);
  });

  const garbage: [string, () => string, string[], () => Promise<unknown>][] = [
    ['a document', () => keys().document(ITEMS, 'a'), ['set', '#', 'no json'], () => everything()],
    ['a counter', () => keys().counts(ITEMS), ['hset', '#', 'sum', 'many'], () => everything()],
    [
      'counters that are read',
      () => keys().counts(ITEMS),
      ['hset', '#', 'sum', 'x'],
      () => client.store.counts(ITEMS),
    ],
    ['a sequence', () => keys().sequence('numbers'), ['set', '#', 'x'], () => everything()],
    ['the fencing numbers', () => keys().fences, ['set', '#', 'x'], () => client.store.acquire('new', 1000)],
    [
      'a lease without an end',
      () => keys().lease('new'),
      ['set', '#', 'x'],
      () => client.store.acquire('new', 1000),
    ],
    [
      'an entry',
      () => keys().entries(ITEMS, 'a'),
      ['rpush', '#', '{'],
      () => client.store.entries(ITEMS, 'a', { limit: 9 }),
    ],
  ];

  it.each(garbage)(
    'with garbage fails the operation and changes nothing: %s',
    async (_, key, command, act) => {
      server.cli(...command.map((part) => (part === '#' ? key() : part)));
      server.cli('del', keys().stats(ITEMS));
      const before = server.cli('dbsize');
      const error = await failure(act());
      expect([error.kind, error.code]).toEqual(['unavailable', 'store_damaged']);
      expect(error.detail).toContain(key().replace(/^brain:/, ''));
      expect(server.cli('dbsize')).toBe(before);
    },
  );

  it('that is an idempotency record with garbage is reported as damaged', async () => {
    server.cli('set', keys().idempotencyRecord('used'), '{');
    expect((await failure(everything('used'))).code).toBe('store_damaged');
  });

  it('in the statistics is overwritten, and an unknown version of the indexes starts a new build', async () => {
    server.cli('set', keys().stats(ITEMS), 'garbage');
    server.cli('hset', keys().collections, 'items.index', 'garbage');
    await insertItem(client, item('b', { state: 'shut', n: 5 }));
    expect(JSON.parse(server.cli('get', keys().stats(ITEMS)))).toEqual({
      total: 2,
      by_state: { open: 1, shut: 1 },
      mean: 2.5,
      last_updated: expect.any(Number),
    });
    expect((await client.store.list(ITEMS, {})).total).toBe(2);
  });

  it.each([
    ['the stream', () => keys().stream],
    ['an index of events', () => keys().events('s:x')],
  ])('in the log fails the events, and the documents are written: %s', async (_, key) => {
    server.cli('del', key());
    server.cli('set', key(), 'x');
    const refused: string[] = [];
    const events = [
      { json: '{"n":1}', keys: ['s:y'] },
      { json: '{"n":2}', keys: ['s:y', 's:x'] },
    ];
    await client.store.transaction((tx) => {
      tx.insert(ITEMS, item('b'));
      for (const event of events) tx.record({ ...event, refused: (reason) => refused.push(reason) });
    });
    expect(await client.store.get(ITEMS, 'b')).toBeDefined();
    expect(refused).toEqual([expect.stringContaining(key()), expect.stringContaining(key())]);
    const error = await failure(client.log.append(randomId(8), events));
    expect([error.kind, error.code]).toEqual(['conflict', 'log_refused']);
    expect(error.detail).toContain(key());
    if (key() !== keys().stream) {
      expect(server.cli('xlen', keys().stream)).toBe('1');
      expect(server.cli('exists', keys().events('s:y'))).toBe('0');
    } else expect((await failure(client.log.read({ order: 'asc', limit: 1 }))).code).toBe('store_wrong_type');
  });
});

describe('a request', () => {
  it('is refused with an impossible cursor, and works with thousands of documents', async () => {
    const { client, close } = await openRedisStore();
    const cursor = (text: string): string => Buffer.from(text).toString('base64url');
    for (const text of ['[1e999,"a"]', '[null,"a"]']) {
      const list = client.store.list(ITEMS, { cursor: cursor(text) });
      expect(await failure(list)).toMatchObject({ kind: 'invalid', code: 'invalid_request' });
    }
    for (const text of ['[-1,""]', '[0.5,""]', '[1e30,""]']) {
      const entries = client.store.entries(ITEMS, 'a', { limit: 1, cursor: cursor(text) });
      expect(await failure(entries)).toMatchObject({ kind: 'invalid', code: 'invalid_request' });
    }
    await client.store.transaction((tx) => {
      for (let i = 0; i < 9000; i += 1) tx.insert(ITEMS, item(`i${i}`));
    });
    expect((await client.store.list(ITEMS, { until: Number.POSITIVE_INFINITY })).total).toBe(9000);
    await close();
  });
});

describe('a full Redis', () => {
  it('refuses whole writes, and still reads, deletes and trims', async () => {
    const { server, client, close } = await openRedisStore(['--enable-debug-command', 'yes']);
    await insertItem(client, item('a', { tag: 't' }));
    await insertItem(client, item('b'));
    await client.store.transaction((tx) => tx.append(ITEMS, 'a', { n: 0 }));
    server.cli('config', 'set', 'maxmemory', '1');
    const before = server.cli('debug', 'digest');
    const writes = [
      () => insertItem(client, item('c', { tag: 'u' })),
      () =>
        client.store.transaction(async (tx) =>
          tx.put(ITEMS, { ...((await tx.get(ITEMS, 'a')) as Item), state: 'shut', tag: null }),
        ),
      () => client.store.transaction((tx) => tx.append(ITEMS, 'a', { n: 1 })),
      () => client.store.transaction((tx) => tx.record(eventOf('never'))),
      () => client.store.transaction((tx) => tx.next('numbers')),
      () => client.log.append(randomId(8), [eventOf('never')]),
      () => client.store.acquire('name', 1000),
    ];
    for (const write of writes) {
      const error = await failure(write());
      expect([error.kind, error.code]).toEqual(['unavailable', 'storage_full']);
    }
    expect(server.cli('debug', 'digest')).toBe(before);
    expect((await client.store.list(ITEMS, {})).total).toBe(2);
    await client.store.transaction(async (tx) => {
      await tx.get(ITEMS, 'a');
      tx.delete(ITEMS, 'a');
      tx.record(eventOf('gone a'));
    });
    expect((await client.store.counts(ITEMS)).total).toBe(1);
    expect((await client.log.read({ order: 'desc', limit: 1, key: 's:x' }))[0]?.json).toContain('gone a');
    expect(await client.log.trim('999999999999999-0', 100)).toHaveLength(3);
    expect(server.cli('exists', client.link.keys.events('s:x'))).toBe('0');
    server.cli('config', 'set', 'maxmemory', '0');
    await insertItem(client, item('c'));
    await close();
  });
});
