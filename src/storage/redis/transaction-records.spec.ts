/** Transaction records, by which a repeated request is applied once, are kept only while they are needed. */
import { openWiredRedisStore, type WiredRedis } from '../../../test/support/open-store.js';
import { eventOf, failure, RECOVERY_MS, type RedisClient } from '../../../test/support/redis-clients.js';
import { RedisServer } from '../../../test/support/redis-server.js';
import { until } from '../../../test/support/until.js';
import { Wire } from '../../../test/support/wire.js';
import { randomId } from '../../shared/ids.js';
import { SCRIPTS } from './scripts.js';

describe('the record of a batch', () => {
  let redis: WiredRedis;
  let server: RedisServer;
  let wire: Wire;
  let client: RedisClient;
  const records = (): string[] =>
    server
      .cli('--scan', '--pattern', 'brain:sys:tx:*')
      .split('\n')
      .filter((key) => key !== '');

  beforeEach(async () => {
    redis = await openWiredRedisStore();
    ({ server, wire, client } = redis);
  });
  afterEach(() => redis.close());

  it('is removed after the answer, many in one command', async () => {
    for (let n = 0; n < 450; n += 1) await client.log.append(randomId(8), [eventOf(`event ${n}`)]);
    await until(() => records().length < 150, RECOVERY_MS, 'the records going');
  });

  it('stays for a day after a lost answer, because the request may still arrive', async () => {
    wire.cutAfter(SCRIPTS.commit.sha);
    wire.tearOnCut();
    const id = randomId(8);
    await failure(client.log.append(id, [eventOf('once')]));
    wire.mend();
    const again = async (): Promise<boolean> => {
      await client.log.append(id, [eventOf('once')]);
      return true;
    };
    await until(() => again().catch(() => false), RECOVERY_MS, 'the second send');
    for (let n = 0; n < 250; n += 1) await client.log.append(randomId(8), [eventOf(`event ${n}`)]);
    await until(() => records().length < 150, RECOVERY_MS, 'the other records going');
    const [kept] = records().filter((key) => key.includes(id));
    expect(Number(server.cli('ttl', kept))).toBeGreaterThan(86_000);
    await client.log.append(id, [eventOf('once')]);
    const events = await client.log.read({ order: 'asc', limit: 500 });
    expect(events.filter(({ json }) => json.includes('"once"'))).toHaveLength(1);
  });

  it('is not stored for a refused batch, so that its repetition is applied later', async () => {
    const id = randomId(8);
    server.cli('set', client.link.keys.stream, 'x');
    expect((await failure(client.log.append(id, [eventOf('late')]))).code).toBe('log_refused');
    server.cli('del', client.link.keys.stream);
    await client.log.append(id, [eventOf('late')]);
    expect((await client.log.bounds()).length).toBe(1);
  });
});
