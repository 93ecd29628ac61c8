/** Findings of a review about the readers of the live stream; each test fails until its fault is cured. */
import { sleep } from '../src/shared/clock.js';
import { EventStream } from '../src/events/event-stream.js';
import { type Service, startService } from './support/service.js';
import { SseClient } from './support/sse-client.js';
import { STORES } from './support/stores.js';
import { numbersOf, tick } from './support/ticks.js';

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

  it.each([['between events', 0], ['before all events', 3600]])('%s gets no gap where nothing is missing', async (_when, ago) => {
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
});
