/** Where the history of each server begins: after a restart, a promotion, in a full Redis, or without the id of the server. */
import {
  eventOf,
  insertItem,
  openClient,
  openReady,
  RECOVERY_MS,
  type RedisClient,
} from '../../../test/support/redis-clients.js';
import { ALWAYS, RedisServer } from '../../../test/support/redis-server.js';
import { until } from '../../../test/support/until.js';
import { randomId } from '../../shared/ids.js';
import { item } from '../contract/items.js';

describe('the forks of the log', () => {
  const open = new Set<RedisClient>();
  const servers = new Set<RedisServer>();
  afterEach(async () => {
    await Promise.all([...open].map((client) => client.store.close()));
    await Promise.all([...servers].map((server) => server.stop()));
    open.clear();
    servers.clear();
  });
  const start = async (options: string[] = []): Promise<RedisServer> => {
    const server = await RedisServer.start(options);
    servers.add(server);
    return server;
  };
  const connect = async (url: string): Promise<RedisClient> => {
    const client = await openReady(url);
    open.add(client);
    return client;
  };
  const append = (client: RedisClient): Promise<string> => client.log.append(randomId(8), [eventOf('one')]);
  const positions = async (client: RedisClient): Promise<string[]> =>
    (await client.log.forks()).map(({ position }) => position);
  const worksAgain = (client: RedisClient): Promise<void> =>
    until(async () => (await client.store.health()).ok, RECOVERY_MS, 'the recovery');

  it('start at each restart of a server, once for all connections', async () => {
    const server = await start(ALWAYS);
    const one = await connect(server.url);
    const other = await connect(server.url);
    await append(one);
    const last = await append(other);
    expect(await positions(one)).toEqual(['0-0']);
    await server.kill();
    await server.run();
    await Promise.all([worksAgain(one), worksAgain(other)]);
    await append(one);
    await connect(server.url);
    expect(await positions(one)).toEqual(['0-0', last]);
    expect(one.log.history).toEqual(await one.log.forks());
    expect(one.lines.filter(({ level }) => level === 'warn')).toEqual([]);
  });

  it('start at the last event of a promoted replica, before the first write to it', async () => {
    const master = await start(['--repl-diskless-sync-delay', '0']);
    const replica = await start(['--replicaof', `127.0.0.1 ${master.port}`]);
    const before = await connect(master.url);
    const kept = await append(before);
    const here = (): boolean => replica.cli('xlen', 'brain:events:stream') === '1';
    await until(here, RECOVERY_MS, 'the replica having it');
    // This client was connected before the promotion, and its connection does not break.
    const after = openClient({ url: replica.url });
    open.add(after);
    await until(
      async () => (await after.store.health()).code === 'store_read_only',
      RECOVERY_MS,
      'the connect',
    );
    replica.cli('replicaof', 'no', 'one');
    await append(before);
    const first = await append(after);
    expect(await positions(after)).toEqual(['0-0', kept]);
    await insertItem(await connect(replica.url), item('late'));
    expect(await positions(after)).toEqual(['0-0', kept]);
    expect(first > kept).toBe(true);
  });

  it('are stored in a full Redis too, and at most a hundred of them', async () => {
    const server = await start();
    const terms = Array.from({ length: 100 }, (_, n) => [`server-${n}`, `${n + 1} ${n}-0 ${n}.5`]).flat();
    server.cli('hset', 'brain:sys:terms', ...terms);
    server.cli('config', 'set', 'maxmemory', '1');
    const client = openClient({ url: server.url });
    open.add(client);
    await worksAgain(client);
    const forks = await client.log.forks();
    expect(forks).toHaveLength(100);
    expect([forks[0].id, forks[99].order]).toEqual(['server-1', 101]);
    expect(client.log.history).toEqual(forks);
  });

  it.each([
    ['INFO is not granted', ['acl', 'setuser', 'default', '-info'], 'grant INFO'],
    ['their key holds something else', ['set', 'brain:sys:terms', 'x'], 'WRONGTYPE'],
  ])('are unknown if %s, which causes one warning, and everything else works', async (_, command, reason) => {
    const server = await start();
    server.cli(...command);
    const client = await connect(server.url);
    await insertItem(client, item('a'));
    await append(client);
    expect([client.log.history, await client.log.forks()]).toEqual([undefined, []]);
    const warnings = client.lines.filter(({ level }) => level === 'warn');
    expect(warnings.map(({ fields }) => fields.reason)).toEqual([expect.stringContaining(reason)]);
  });
});
