/** The live stream over real connections, on both stores. */
import { EventEmitter2 } from '@nestjs/event-emitter';
import { EventStream } from '../src/events/event-stream.js';
import { LiveStream } from '../src/events/live/live-stream.js';
import { sleep } from '../src/shared/clock.js';
import { comparePositions, EventLog, LOG_END } from '../src/storage/event-log.js';
import { ADMIN, startService } from './support/service.js';
import { SseClient } from './support/sse-client.js';
import { STORES, serviceOn } from './support/stores.js';
import { count, numbersOf, tick } from './support/ticks.js';
import { until } from './support/until.js';

const report = { type: 't', source: 's', severity: 'LOW' };

describe.each(STORES)('the live stream on %s', (_name, startStore) => {
  const service = serviceOn(startStore, {
    BRAIN_STREAM_MAX_CLIENTS: '30',
    BRAIN_STREAM_MAX_CLIENTS_PER_KEY: '25',
  });
  let stream: EventStream;
  let url: string;
  const clients: SseClient[] = [];
  let sent = 0;

  beforeAll(async () => {
    stream = service.app.get(EventStream);
    url = `${await service.app.getUrl()}/api/events/stream`;
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await until(() => service.app.get(LiveStream).connections === 0, 5000, 'the connections to be freed');
  });

  const open = async (query = '', lastEventId?: string, key?: string): Promise<SseClient> => {
    const client = await SseClient.open(url + query, key, lastEventId);
    clients.push(client);
    return client;
  };
  const publish = (howMany: number, padding = ''): number[] => {
    const numbers = count(sent, sent + howMany);
    for (const n of numbers) stream.publish(tick(n, `agent-${n % 3}`, padding));
    sent += howMany;
    return numbers;
  };
  const lastPosition = async (): Promise<string> => {
    await stream.flush();
    return (await service.app.get(EventLog).bounds()).last ?? '0-0';
  };

  it('delivers events as they happen, with position, type and envelope', async () => {
    const client = await open('?type=threat.*');
    expect(client.headers['content-type']).toBe('text/event-stream; charset=utf-8');
    expect(client.headers['cache-control']).toContain('no-store');
    const { body } = await service.post('/api/threats', report).set('X-Correlation-ID', 'why').expect(201);
    const [event] = await client.received(1);
    const [logged] = await service.events({ subject: body.id as string });
    expect(event).toEqual({ id: logged.position, event: 'threat.detected', data: logged });
    expect(client.retryMs).toBeGreaterThanOrEqual(1000);
  });

  it('delivers events to listeners in the code, by type, by pattern, or all of them', async () => {
    const emitter = service.app.get(EventEmitter2);
    const heard: string[] = [];
    const listener = (by: string) => (event: { position: string; payload: { n: number } }) =>
      heard.push(`${by} ${event.payload.n} ${/^\d+-\d+$/.test(event.position)}`);
    const [exact, pattern] = [listener('type'), listener('pattern')];
    const any = (type: string | string[], event: Parameters<typeof exact>[0]) => {
      if (String(type) === 'test.tick') listener('any')(event);
    };
    emitter.on('test.tick', exact);
    emitter.on('test.*', pattern);
    emitter.onAny(any);
    const [first] = publish(1);
    await until(() => heard.length === 3, 5000, 'every listener to be told');
    expect([...heard].sort()).toEqual([`any ${first} true`, `pattern ${first} true`, `type ${first} true`]);
    emitter.off('test.tick', exact);
    emitter.off('test.*', pattern);
    // A listener for all events also gets types without a listener of their own.
    const [second] = publish(1);
    await until(() => heard.length === 4, 5000, 'the last listener to be told');
    expect(heard[3]).toBe(`any ${second} true`);
    emitter.offAny(any);
  });

  it('replays missed events and continues live, without a missing or repeated event, under load', async () => {
    const start = await lastPosition();
    const before = publish(1500);
    await stream.flush();
    const readers = await Promise.all(count(0, 5).map(() => open('?type=test.*', start)));
    const during: number[] = [];
    for (let i = 0; i < 50; i += 1) {
      during.push(...publish(20));
      await sleep(2);
    }
    for (const reader of readers) {
      const events = await reader.received(before.length + during.length);
      expect(numbersOf(events)).toEqual([...before, ...during]);
      expect([...events].sort((a, b) => comparePositions(a.id, b.id))).toEqual(events);
    }
  });

  it('shows each event once to readers that disconnect and return at random', async () => {
    const start = await lastPosition();
    const readers = count(0, 6).map(() => {
      const reader = new SseClient(() => `${url}?type=test.tick`);
      reader.lastEventId = start;
      clients.push(reader);
      return reader;
    });
    let running = true;
    const restless = readers.map(async (reader) => {
      while (running) {
        await reader.connect();
        await sleep(20 + Math.random() * 150);
        reader.close();
        await reader.ended();
      }
      await reader.connect();
    });
    const all: number[] = [];
    for (let i = 0; i < 100; i += 1) {
      all.push(...publish(10));
      await sleep(10);
    }
    running = false;
    await Promise.all(restless);
    for (const reader of readers) expect(numbersOf(await reader.received(all.length))).toEqual(all);
  });

  it('has the same filters as the list, with aliases and patterns, live and in the replay', async () => {
    const start = await lastPosition();
    const queries = [
      '?type=test.*&subject=agent-1',
      '?type=*.detected',
      '?priority=LOW',
      '?source=threat_service',
      '?correlation_id=mine',
      '?type=policy.denied',
    ];
    const live = await Promise.all(queries.map((query) => open(query)));
    const numbers = publish(9);
    await stream.flush();
    await service.post('/api/threats', report).set('X-Correlation-ID', 'mine').expect(201);
    await service.post('/api/threats', report).expect(201);
    await sleep(300);
    const replayed = await Promise.all(queries.map((query) => open(query, start)));
    await sleep(300);
    for (const readers of [live, replayed]) {
      expect(readers.map(({ events }) => events.length)).toEqual([3, 2, 9, 2, 1, 0]);
      expect(numbersOf(readers[0].events)).toEqual(numbers.filter((n) => n % 3 === 1));
    }
  });

  it('delivers CloudEvents on request, live and in the replay', async () => {
    const start = await lastPosition();
    const live = await open('?type=test.*&format=cloudevents');
    publish(2);
    await live.received(2);
    const replayed = await open('?type=test.*&format=cloudevents', start);
    expect(await replayed.received(2)).toEqual(live.events);
    const { body } = await service.get('/api/events?type=test.*&format=cloudevents&limit=1').expect(200);
    expect(live.events[1]).toEqual({
      id: (body as { position: string }[])[0].position,
      event: 'test.tick',
      data: body[0],
    });
  });

  it('replays from a time, from the beginning, and after an id in the query', async () => {
    const since = Date.now() / 1000;
    await sleep(5);
    const numbers = publish(3);
    const last = await lastPosition();
    expect(numbersOf(await (await open(`?type=test.*&since=${since}`)).received(3))).toEqual(numbers);
    const all = await open('?type=test.*&last_event_id=0-0');
    expect(numbersOf(await all.received(sent))).toEqual(count(0, sent));
    const none = await open(`?last_event_id=${last}`);
    await sleep(100);
    expect(none.events).toEqual([]);
    // Where a browser comes back, its header is newer than the address it was given.
    const both = await open('?last_event_id=0-0', last);
    await sleep(100);
    expect(both.events).toEqual([]);
  });

  it('refuses invalid parameters before the first byte', async () => {
    for (const query of [
      '?last_event_id=yesterday',
      '?priority=high',
      '?format=xml',
      '?until=1',
      '?since=x',
    ]) {
      const client = await open(query);
      expect([query, client.status, client.body.code]).toEqual([query, 422, 'invalid_request']);
    }
    expect((await open('', 'yesterday')).status).toBe(422);
    expect((await open('', undefined, 'nobody')).status).toBe(401);
    const agent = await service.post('/api/keys', { name: 'an agent', role: 'agent' }).expect(201);
    expect((await open('', undefined, agent.body.key as string)).status).toBe(403);
  });

  it('limits the connections of one key, and frees them', async () => {
    const many = await Promise.all(count(0, 26).map(() => open()));
    expect(many.map(({ status }) => status).filter((status) => status === 429)).toHaveLength(1);
    const refused = many.find(({ status }) => status === 429) as SseClient;
    expect(refused.body.code).toBe('too_many_streams');
    expect(refused.headers['retry-after']).toBeDefined();
    many[0].close();
    await until(() => service.app.get(LiveStream).connections < 25, 5000, 'a place');
    expect((await open()).status).toBe(200);
    const viewer = await service.post('/api/keys', { name: 'a viewer', role: 'viewer' }).expect(201);
    const others = await Promise.all(count(0, 6).map(() => open('', undefined, viewer.body.key as string)));
    expect(others.map(({ status }) => status).filter((status) => status === 429)).toHaveLength(1);
  });

  it('ends when its key is deleted', async () => {
    const made = await service.post('/api/keys', { name: 'short', role: 'viewer' }).expect(201);
    const client = await open('', undefined, made.body.key as string);
    expect(client.status).toBe(200);
    await service.delete(`/api/keys/${made.body.id as string}`).expect(204);
    const startedMs = Date.now();
    await client.ended();
    expect(Date.now() - startedMs).toBeLessThan(3000);
    await client.connect();
    expect(client.status).toBe(401);
  });

  it('disconnects a reader that is too slow, which returns and has missed nothing', async () => {
    const start = await lastPosition();
    const client = await open('?type=test.*', start);
    const other = await open('?type=test.*', start);
    client.pause();
    const all: number[] = [];
    // More than the sockets between the two take, and then a mebibyte.
    for (let i = 0; i < 60; i += 1) {
      all.push(...publish(10, 'x'.repeat(20_000)));
      await stream.flush();
      // The other one keeps up, however busy the machine is.
      await other.received(all.length);
    }
    await until(() => service.app.get(LiveStream).connections === 1, 10_000, 'the slow reader being cut off');
    client.resume();
    await client.ended();
    const seen = client.events.length;
    expect(seen).toBeLessThan(all.length);
    await client.connect();
    expect(numbersOf(await client.received(all.length))).toEqual(all);
    expect(numbersOf(await other.received(all.length))).toEqual(all);
  });

  it('keeps a quiet connection alive, and updates the last id of a reader whose filter matches little', async () => {
    const client = await open('?type=policy.denied');
    publish(5);
    const last = await lastPosition();
    await until(() => client.comments > 0, 17_000, 'a comment');
    expect(client.events).toEqual([]);
    expect(client.lastEventId).toBe(last);
  }, 20_000);

  it('reports where the log was trimmed, and continues after it', async () => {
    const numbers = publish(10);
    await stream.flush();
    const log = service.app.get(EventLog);
    const first = (await log.bounds()).first as string;
    const page = await log.read({ order: 'desc', limit: 10 });
    for (let gone = 1; gone > 0; ) gone = (await log.trim(page[2].position, 1000)).length;
    const client = await open('?type=test.*', first);
    const [gap, ...rest] = await client.received(4);
    expect(gap).toEqual({
      id: page[3].position,
      event: 'gap',
      data: {
        ...{ reason: 'trimmed', missing: 'any', from: first, to: page[3].position },
        detected_at: expect.any(Number),
      },
    });
    expect(numbersOf(rest)).toEqual(numbers.slice(-3));
    // A reader that returns with the id of the gap does not get the gap again.
    const again = await open('?type=test.*', gap.id);
    await again.received(3);
    expect(again.events.map(({ event }) => event)).toEqual(['test.tick', 'test.tick', 'test.tick']);
    for (let gone = 1; gone > 0; ) gone = (await log.trim(LOG_END, 1000)).length;
    const quiet = await open('', page[0].position);
    await sleep(100);
    expect(quiet.events).toEqual([]);
  });

  it('reports an id that a rollback removed, and continues from the greatest older one', async () => {
    publish(2);
    const last = await lastPosition();
    const [ms] = last.split('-');
    const client = await open('?type=test.*', `${Number(ms) + 5}-7`);
    const [gap] = await client.received(1);
    expect(gap).toMatchObject({ id: last, event: 'gap', data: { reason: 'rollback', from: last } });
    const numbers = publish(2);
    expect(numbersOf(await client.received(3))).toEqual(numbers);
  });

  it('answers HEAD without a stream', async () => {
    const response = await fetch(url, { method: 'HEAD', headers: { Authorization: `Bearer ${ADMIN}` } });
    expect(response.status).toBe(200);
  });
});

describe('the live stream', () => {
  it('does not exist when events are off', async () => {
    const service = await startService({ BRAIN_EVENTS: 'off' });
    const client = await SseClient.open(`${await service.app.getUrl()}/api/events/stream`);
    expect([client.status, client.body.code]).toEqual([404, 'events_off']);
    await service.stop();
  });

  it('ends at a shutdown, and sends the delay after which to reconnect', async () => {
    const service = await startService();
    const client = await SseClient.open(`${await service.app.getUrl()}/api/events/stream`);
    client.retryMs = undefined;
    const startedMs = Date.now();
    await service.stop();
    await client.ended();
    expect(client.retryMs).toBeGreaterThanOrEqual(1000);
    expect(Date.now() - startedMs).toBeLessThan(5000);
  });
});
