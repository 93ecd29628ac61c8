/** The short form of the contract suites on Redis with several servers, and the tests of a failover. */
import { backendOn, openClient, type RedisClient } from '../../../test/support/redis-clients.js';
import {
  type Group,
  type SentinelGroup,
  startCluster,
  startSentinels,
} from '../../../test/support/redis-server.js';
import { until } from '../../../test/support/until.js';
import { sleep } from '../../shared/clock.js';
import { BrainError } from '../../shared/errors.js';
import { randomId } from '../../shared/ids.js';
import { eventLogContract } from '../contract/event-log.contract.js';
import { ITEMS, item } from '../contract/items.js';
import { storeContract } from '../contract/store.contract.js';

/** The servers need time to agree on a failover, and then the service needs time to follow. */
const FAILOVER_MS = 15_000;

const addresses = (group: { servers: { port: number }[] }): { host: string; port: number }[] =>
  group.servers.map(({ port }) => ({ host: '127.0.0.1', port }));

async function works(client: RedisClient): Promise<boolean> {
  try {
    await client.store.transaction((tx) => tx.insert(ITEMS, item(randomId(12))));
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(BrainError);
    return false;
  }
}

describe('a Cluster', () => {
  let cluster: Group;
  beforeAll(async () => {
    cluster = await startCluster();
  }, 60_000);
  afterAll(() => cluster.stop());

  const start = async () => backendOn({ cluster: addresses(cluster) }, async () => undefined);
  storeContract('a Cluster of three masters', start, false);
  eventLogContract('a Cluster of three masters', start);

  it('keeps every key in one slot, and works again after a planned and a forced failover', async () => {
    const client = openClient({ cluster: addresses(cluster).slice(0, 1) });
    client.store.declare(ITEMS);
    await until(() => works(client), 5000, 'the first commit');
    await client.store.transaction((tx) => tx.insert(ITEMS, item('before')));
    const holding = cluster.servers.filter((server) => server.cli('dbsize') !== '0');
    const [owner, replica] = holding[0]?.cli('role').startsWith('master') ? holding : holding.reverse();
    expect(holding).toHaveLength(2);
    expect(
      owner
        ?.cli('keys', '*')
        .split('\n')
        .every((key) => key.startsWith('{brain}:')),
    ).toBe(true);

    replica?.cli('cluster', 'failover');
    await until(() => replica?.cli('role').startsWith('master') ?? false, FAILOVER_MS, 'the failover');
    await until(() => works(client), 5000, 'a commit on the new master');
    expect(await client.store.get(ITEMS, 'before')).toEqual(item('before'));

    await until(() => owner?.cli('info', 'replication').includes('link_status:up') ?? false, 5000, 'a sync');
    await replica?.kill();
    await until(() => works(client), FAILOVER_MS, 'a commit after the master died');
    expect(await client.store.get(ITEMS, 'before')).toEqual(item('before'));
    await client.store.close();
  }, 60_000);
});

describe('Sentinel', () => {
  let group: SentinelGroup;
  beforeAll(async () => {
    group = await startSentinels();
  }, 60_000);
  afterAll(() => group.stop());

  const config = () => ({ sentinels: addresses({ servers: group.sentinels }), master: 'mymaster' });
  const start = async () => backendOn(config(), async () => undefined);
  storeContract('a master behind Sentinels', start, false);
  eventLogContract('a master behind Sentinels', start);

  it('acknowledges only commits that a replica has, if this is configured', async () => {
    const client = openClient({ ...config(), wait: 1 });
    client.store.declare(ITEMS);
    await Promise.all(
      [1, 2, 3, 4].map(() => client.store.transaction((tx) => tx.insert(ITEMS, item(randomId(8))))),
    );
    const [, replica] = group.servers;
    replica?.freeze();
    try {
      const write = client.store.transaction((tx) => tx.insert(ITEMS, item('alone')));
      await expect(write).rejects.toMatchObject({ kind: 'unavailable', code: 'store_not_replicated' });
      expect(await client.store.get(ITEMS, 'alone')).toEqual(item('alone'));
    } finally {
      replica?.thaw();
    }
    await sleep(100);
    expect(await works(client)).toBe(true);
    await client.store.close();
  });

  it('works again after the death of the master, and has the commits that a replica confirmed', async () => {
    const client = openClient({ ...config(), wait: 1 });
    client.store.declare(ITEMS);
    let changed = 0;
    client.store.watch(ITEMS, () => {
      changed += 1;
    });
    await client.store.transaction((tx) => tx.insert(ITEMS, item('kept')));
    const lease = await client.store.acquire('before the failover', 1);
    const [master] = group.servers;
    await master?.kill();
    const plain = openClient(config());
    plain.store.declare(ITEMS);
    const before = changed;
    await until(() => works(plain), FAILOVER_MS, 'a commit after the failover');
    await until(() => changed > before, 2000, 'the watcher hearing of it');
    expect(await plain.store.get(ITEMS, 'kept')).toEqual(item('kept'));
    const after = await client.store.acquire('before the failover', 1000);
    expect(after?.fence).toBeGreaterThan(lease?.fence as number);
    await client.store.close();
    await plain.store.close();
  }, 30_000);
});
