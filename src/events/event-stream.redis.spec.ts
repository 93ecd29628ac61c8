/** What becomes of a batch whose answer was lost, for however long. */
import { silentLogger } from '../../test/support/logs.js';
import { openWiredRedisStore, type WiredRedis } from '../../test/support/open-store.js';
import { eventOf, RECOVERY_MS, type RedisClient } from '../../test/support/redis-clients.js';
import { RedisServer } from '../../test/support/redis-server.js';
import { count, numbersOf, tick } from '../../test/support/ticks.js';
import { until } from '../../test/support/until.js';
import { Wire } from '../../test/support/wire.js';
import { sleep } from '../shared/clock.js';
import { RedisEventLog } from '../storage/redis/redis-event-log.js';
import { ReplicaAck } from '../storage/redis/replica-ack.js';
import { SCRIPTS } from '../storage/redis/scripts.js';
import type { Envelope } from './event.js';
import { EventStream } from './event-stream.js';

const KEPT_SECONDS = 1;

describe('a batch whose answer was lost', () => {
  let redis: WiredRedis;
  let server: RedisServer;
  let wire: Wire;
  let client: RedisClient;
  let stream: EventStream;

  beforeEach(async () => {
    redis = await openWiredRedisStore();
    ({ server, wire, client } = redis);
    const log = new RedisEventLog(client.link, new ReplicaAck(client.link), KEPT_SECONDS);
    stream = new EventStream(log, silentLogger());
    // Redis knows the script from now on, so the next send is the one that counts.
    await log.append('first', [eventOf('first')]);
  });
  afterEach(() => redis.close());
  const written = async (): Promise<Envelope[]> =>
    (await client.log.read({ order: 'asc', limit: 500 })).map(({ json }) => JSON.parse(json) as Envelope);

  it.each([
    ['is sent again before its record expires', 0, []],
    ['is reported as missing after its record has expired', KEPT_SECONDS + 1, ['unanswered']],
  ])('%s, and is in the log once', async (_, awaySeconds, gaps) => {
    wire.cutAfter(SCRIPTS.commit.sha);
    wire.tearOnCut();
    for (let n = 0; n < 5; n += 1) stream.publish(tick(n, 'agent', ''));
    void stream.flush();
    const arrived = (): boolean => server.cli('xlen', client.link.keys.stream) === '6';
    await until(arrived, RECOVERY_MS, 'the first send');
    await sleep(awaySeconds * 1000);
    wire.mend();
    await until(async () => (await client.store.health()).ok, RECOVERY_MS, 'the recovery');
    await stream.flush();
    const events = await written();
    expect(new Set(events.map(({ id }) => id)).size).toBe(events.length);
    const ticks = events.map(({ type, payload }) => ({ event: type, data: { payload } }));
    expect(numbersOf(ticks)).toEqual(count(0, 5));
    const told = events.filter(({ type }) => type === 'stream.gap').map(({ payload }) => payload);
    expect(told).toEqual(
      gaps.map((reason) => expect.objectContaining({ reason, counts: { 'test.tick': 5 } })),
    );
  });
});
