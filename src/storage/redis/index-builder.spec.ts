/** Indexes that are missing or have another version, also in a database that another program filled. */
import { openClient, type RedisClient } from '../../../test/support/redis-clients.js';
import { RedisServer } from '../../../test/support/redis-server.js';
import { until } from '../../../test/support/until.js';
import { type BrainError, isBrainError } from '../../shared/errors.js';
import { ITEMS, type Item, item } from '../contract/items.js';
import type { Collection } from '../store.js';

const READY_MS = 15_000;

describe('a database that another program filled', () => {
  let server: RedisServer;
  const clients: RedisClient[] = [];
  const open = (): RedisClient => {
    const client = openClient({ url: server.url });
    clients.push(client);
    return client;
  };
  const ready = (client: RedisClient, of: Collection<Item> = ITEMS): Promise<void> =>
    until(
      () =>
        client.store.counts(of).then(
          () => true,
          (error) => {
            if (!isBrainError(error, 'index_rebuilding')) throw error;
            return false;
          },
        ),
      READY_MS,
      'the build of the indexes',
    );
  /** Writes like another program: only the documents and the set of ids. */
  const fill = (...items: Item[]): void => {
    for (let i = 0; i < items.length; i += 200) {
      const some = items.slice(i, i + 200);
      server.cli('mset', ...some.flatMap((one) => [`brain:items:item:${one.id}`, JSON.stringify(one)]));
      server.cli('sadd', 'brain:items:index', ...some.map((one) => one.id));
    }
  };

  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server.stop());
  afterEach(async () => {
    await Promise.all(clients.map((client) => client.store.close()));
    clients.length = 0;
    server.cli('flushall');
  });

  it('is indexed once by all replicas that start together; unreadable documents are logged and stay', async () => {
    const many = Array.from({ length: 1500 }, (_, i) =>
      item(`i${i}`, { state: i % 3 ? 'open' : 'shut', at: i % 10, n: 1, tag: i === 7 ? 'seven' : null }),
    );
    fill(...many);
    server.cli('rpush', 'brain:items:log:i7', '{"n":1}', '{"n":2}');
    server.cli('set', 'brain:items:item:not-in-the-set', JSON.stringify(item('not-in-the-set')));
    server.cli('sadd', 'brain:items:index', 'without-document');
    const unreadable = {
      'no-json': 'garbage',
      list: '[]',
      'other-id': JSON.stringify(item('another')),
      'no-order': JSON.stringify({ ...item('no-order'), at: 'yesterday' }),
    };
    for (const [id, json] of Object.entries(unreadable)) server.cli('set', `brain:items:item:${id}`, json);
    server.cli('hset', 'brain:items:item:a-hash', 'a', '1');

    const starting = [open(), open(), open(), open(), open()];
    for (const client of starting) client.store.declare(ITEMS);
    await Promise.all(starting.map((client) => ready(client)));

    const built = starting
      .flatMap(({ lines }) => lines)
      .filter(({ message }) => message.includes('are built'));
    expect(built).toHaveLength(1);
    expect(built[0]?.fields).toMatchObject({ documents: 1501, unreadable: 5, ids_without_document: 1 });
    expect(built[0]?.message).toMatch(/left as they are: .*\(.*\)/);
    for (const [id, json] of Object.entries(unreadable))
      expect(server.cli('get', `brain:items:item:${id}`)).toBe(json);
    for (const { store } of starting) {
      expect(await store.counts(ITEMS)).toEqual({
        total: 1501,
        sum: 1500,
        'by_state.open': 1001,
        'by_state.shut': 500,
      });
    }
    const { store } = starting[4];
    expect((await store.list(ITEMS, { where: { state: 'shut' } })).total).toBe(500);
    expect((await store.getUnique(ITEMS, 'tag', 'seven'))?.id).toBe('i7');
    expect((await store.entries(ITEMS, 'i7', { limit: 9 })).entries).toEqual([{ n: 1 }, { n: 2 }]);
    expect(JSON.parse(server.cli('get', 'brain:items:stats')).total).toBe(1501);
    expect(server.cli('sismember', 'brain:items:index', 'not-in-the-set')).toBe('1');
    const error = await store.get(ITEMS, 'no-json').catch((reason: BrainError) => reason);
    expect(isBrainError(error, 'store_damaged')).toBe(true);
  }, 30_000);

  it('may have two documents with one unique value, which the first one keeps', async () => {
    fill(item('a', { tag: 't' }), item('b', { tag: 't' }));
    const { store, lines } = open();
    store.declare(ITEMS);
    await store.counts(ITEMS);
    expect(lines.find(({ message }) => message.includes('are built'))?.fields).toMatchObject({ rivals: 1 });
    const holder = await store.getUnique(ITEMS, 'tag', 't');
    const other = holder?.id === 'a' ? 'b' : 'a';
    await store.transaction(async (tx) => {
      const one = (await tx.get(ITEMS, other)) as Item;
      tx.put(ITEMS, { ...one, tag: null });
    });
    expect((await store.getUnique(ITEMS, 'tag', 't'))?.id).toBe(holder?.id);
    await store.transaction(async (tx) => {
      await tx.get(ITEMS, holder?.id as string);
      tx.delete(ITEMS, holder?.id as string);
    });
    expect(await store.getUnique(ITEMS, 'tag', 't')).toBeUndefined();
  });

  it('gets a new version of the indexes while the old release runs, and refuses later writes of that release', async () => {
    const old = open();
    old.store.declare(ITEMS);
    for (const id of ['a', 'b', 'c'])
      await old.store.transaction((tx) => tx.insert(ITEMS, item(id, { n: 2 })));
    const next: Collection<Item> = {
      ...ITEMS,
      indexVersion: 2,
      indexes: { ...ITEMS.indexes, big: (one) => (one.n > 1 ? 'yes' : 'no') },
    };
    const upgraded = open();
    upgraded.store.declare(next);
    await ready(upgraded, next);
    expect((await upgraded.store.list(next, { where: { big: 'yes' } })).total).toBe(3);
    const late = old.store.transaction((tx) => tx.insert(ITEMS, item('d')));
    await expect(late).rejects.toMatchObject({ kind: 'unavailable', code: 'index_rebuilding' });
    await expect(old.store.list(ITEMS, {})).rejects.toMatchObject({ code: 'index_rebuilding' });
    await upgraded.store.transaction((tx) => tx.insert(next, item('d', { n: 5 })));
    expect((await upgraded.store.counts(next)).total).toBe(4);
    const left = server.cli('--scan', '--pattern', 'brain:sys:index:items:1:*');
    expect(left).toBe('');
  }, 20_000);

  it('is indexed by another replica after the first one died, and again after the data are deleted', async () => {
    fill(item('a'), item('b'));
    const { link, store } = open();
    server.cli('hset', link.keys.collections, 'items.index', 'building 1 7');
    server.cli('set', link.keys.lease('index:items'), '7 token', 'px', '1200');
    server.cli('zadd', link.keys.rows(ITEMS, '*', ''), '0', 'half-done');
    store.declare(ITEMS);
    const early = store.transaction((tx) => tx.insert(ITEMS, item('c')));
    await early.catch((error: BrainError) => expect(error.kind).toBe('unavailable'));
    await until(
      () =>
        store.counts(ITEMS).then(
          () => true,
          () => false,
        ),
      READY_MS,
      'the build of the indexes',
    );
    const ids = (await store.list(ITEMS, { direction: 'asc' })).rows.map((row) => row.id);
    expect(ids.slice(0, 2)).toEqual(['a', 'b']);
    server.cli('flushall');
    await store.transaction((tx) => tx.insert(ITEMS, item('new')));
    expect((await store.list(ITEMS, {})).rows.map((row) => row.id)).toEqual(['new']);
  }, 20_000);

  it('is not indexed while another program keeps changing a document, and the reason is logged', async () => {
    fill(item('a'));
    const client = open();
    const { link, lines } = client;
    const command = link.command.bind(link);
    let n = 0;
    const changing = jest.spyOn(link, 'command').mockImplementation(async (name, args, key) => {
      const answer = await command(name, args, key);
      if (name !== 'mget') return answer;
      n += 1;
      await command('set', ['brain:items:item:a', JSON.stringify(item('a', { n }))]);
      return answer;
    });
    client.store.declare(ITEMS);
    const gaveUp = (): boolean => lines.some(({ fields }) => /keeps changing/.test(String(fields.cause)));
    await until(gaveUp, READY_MS, 'the end of the build');
    expect(lines.some(({ level, message }) => level === 'warn' && message.includes('reading it again'))).toBe(
      true,
    );
    changing.mockRestore();
    await ready(client);
    expect(await client.store.counts(ITEMS)).toMatchObject({ total: 1, sum: n });
  }, 20_000);
});
