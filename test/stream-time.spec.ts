/** Readers of the live stream that come with a time, and logs that other programs have changed. */
import { EventStream } from '../src/events/event-stream.js';
import { sleep } from '../src/shared/clock.js';
import { EventLog } from '../src/storage/event-log.js';
import { RedisServer } from './support/redis-server.js';
import { type Service, startService } from './support/service.js';
import { SseClient } from './support/sse-client.js';
import { STORES } from './support/stores.js';
import { count, numbersOf, tick } from './support/ticks.js';

describe.each(STORES)('a reader that comes with a time, on %s', (_name, startStore) => {
  let store: Awaited<ReturnType<typeof startStore>>;
  let service: Service;
  let url: string;
  beforeEach(async () => {
    store = await startStore();
    service = await startService(store.env);
    url = await service.app.getUrl();
  }, 60_000);
  afterEach(async () => {
    await service.stop();
    await store.stop();
  });

  it.each([
    ['between events', 0],
    ['before all events', 3600],
  ])('%s gets no gap where nothing is missing', async (_when, ago) => {
    const stream = service.app.get(EventStream);
    stream.publish(tick(0, 'a', ''));
    await stream.flush();
    await sleep(20);
    const since = Date.now() / 1000 - ago;
    await sleep(20);
    stream.publish(tick(1, 'a', ''));
    await stream.flush();
    const reader = await SseClient.open(`${url}/api/events/stream?since=${since}`);
    await sleep(500);
    reader.close();
    expect(numbersOf(reader.events)).toEqual(ago ? [0, 1] : [1]);
    expect(reader.events.filter(({ event }) => event === 'gap')).toEqual([]);
  });

  it('in the future gets what comes from now on, and asks the log no more than others while nothing comes', async () => {
    const log = service.app.get(EventLog);
    const bounds = jest.spyOn(log, 'bounds');
    const reader = await SseClient.open(`${url}/api/events/stream?since=${Date.now() / 1000 + 86_400}`);
    await sleep(500);
    const before = bounds.mock.calls.length;
    await sleep(500);
    expect(bounds.mock.calls.length - before).toBeLessThan(5);
    const stream = service.app.get(EventStream);
    stream.publish(tick(7, 'a', ''));
    await stream.flush();
    await reader.received(1);
    reader.close();
    expect(reader.events.map(({ event, data }) => [event, (data.payload as { n?: number }).n])).toEqual([
      ['test.tick', 7],
    ]);
  });
});

describe('a log that refused an event because of its index', () => {
  let redis: RedisServer;
  let service: Service;
  let url: string;
  let stream: EventStream;
  beforeEach(async () => {
    redis = await RedisServer.start();
    service = await startService({ REDIS_URL: redis.url });
    url = await service.app.getUrl();
    stream = service.app.get(EventStream);
    await service.events();
  }, 60_000);
  afterEach(async () => {
    await service.stop();
    await redis.stop();
  }, 60_000);

  const publish = async (n: number): Promise<void> => {
    stream.publish(tick(n, 'agent', ''));
    await stream.flush();
  };
  /** The index key of the correlation id belongs to another program, so its events cannot be indexed. */
  const refused = async (): Promise<void> => {
    redis.cli('set', 'brain:sys:events:c:foreign', 'x');
    const threat = service.post('/api/threats', { type: `t${Math.random()}`, source: 's', severity: 'LOW' });
    await threat.set('X-Correlation-ID', 'foreign').expect(201);
    await stream.flush();
  };
  const keys = (): string => redis.cli('keys', 'brain:*c:*');

  it('still gives all events that it has to a reader that comes with a time or from the beginning', async () => {
    const since = Date.now() / 1000 - 60;
    for (const n of count(0, 20)) await publish(n);
    await refused();
    await publish(20);
    expect(keys()).toContain('c:foreign');
    const found: [string, number[]][] = [];
    const queries = [`since=${since}`, 'last_event_id=0-0', 'last_event_id=1-1'];
    for (const query of queries) {
      const reader = await SseClient.open(`${url}/api/events/stream?type=test.*&${query}`);
      await sleep(500);
      reader.close();
      found.push([query, numbersOf(reader.events)]);
    }
    expect(found).toEqual(queries.map((query) => [query, count(0, 21)]));
  });

  it('does not report a failover', async () => {
    for (let i = 0; i < 3; i += 1) {
      await refused();
      await sleep(500);
    }
    await sleep(5000);
    const gaps = (await service.events({ type: 'stream.gap' })) as unknown as {
      payload: { reason: string };
    }[];
    expect(gaps.map(({ payload }) => payload.reason).filter((reason) => reason !== 'refused')).toEqual([]);
  });

  it('lists of one subject what is left after another program trimmed the log', async () => {
    for (const n of count(0, 10_600)) stream.publish(tick(n, 'busy', ''));
    await stream.flush();
    redis.cli('xtrim', 'brain:events:stream', 'MAXLEN', '=', '5');
    const listed = await service.events({ subject: 'busy' });
    expect(listed).toHaveLength(5);
  });
});
