/**
 * Faults of the service, of Redis and of readers: every event reaches every live stream once, and missing events are
 * reported. `npm run test:faults` runs the long form.
 */
import { LiveStream } from '../src/events/live/live-stream.js';
import { sleep } from '../src/shared/clock.js';
import { comparePositions, EventLog } from '../src/storage/event-log.js';
import { Fleet, GOES_ON_MS, Replica } from './faults/fleet.js';
import { Ledger, walk } from './faults/ledger.js';
import { StreamReader } from './faults/stream-reader.js';
import { Writers } from './faults/writers.js';
import { cleanUpAfterEach } from './support/cleanup.js';
import { LONG } from './support/effort.js';
import { temporaryFolder } from './support/folder.js';
import { ServiceProcess } from './support/process.js';
import { ALWAYS, failOver, RedisServer, type SentinelGroup, startSentinels } from './support/redis-server.js';
import { SseClient } from './support/sse-client.js';
import { STORES } from './support/stores.js';
import { count, numbersOf } from './support/ticks.js';
import { until } from './support/until.js';
import { Wire } from './support/wire.js';

const KILLS = LONG ? 50 : 3;
const REDIS_KILLS = LONG ? 20 : 2;
const FREEZE_MS = LONG ? 10_000 : 4000;
const RESTLESS_MS = LONG ? 60_000 : 5000;
const STOPPED_MS = LONG ? 6000 : 1500;
/** Longer than the record of a living process lasts, and than a process has to renew it after an outage. */
const DOUBT_MS = LONG ? 12_000 : 0;
const LIMIT_MS = LONG ? 900_000 : 90_000;
const FLOW_MS = 20_000;
/** On Redis the record of a killed process lasts eight seconds, and there is a check every two. */
const TOLD_MS = 15_000;
const STREAM = 'brain:events:stream';

const randomMs = (least: number, most: number): number => least + Math.random() * (most - least);

const { later, started } = cleanUpAfterEach();

async function positionsIn(service: ServiceProcess): Promise<string[]> {
  const events = await walk(service, '/api/events?order=asc', 'events');
  return events.map((event) => (event as { position: string }).position);
}

/** The reader was given the whole log, each event once and in its order. */
async function expectWholeLog(reader: StreamReader, service: ServiceProcess): Promise<void> {
  const wanted = await positionsIn(service);
  const given = (): boolean => reader.positions.length >= wanted.length;
  await until(given, GOES_ON_MS, `the reader being given ${wanted.length} events`);
  expect(reader.positions).toEqual(wanted);
}

/** Writes are in full flow, on a machine of any speed. The moment is random. */
async function underWay(ledger: Ledger): Promise<void> {
  const before = ledger.acknowledged;
  await until(() => ledger.acknowledged >= before + 50, FLOW_MS, 'the flow of writes');
  await sleep(randomMs(0, 500));
}

/** The log reports a rollback, and no other gap. */
async function expectRollback(fleet: Fleet): Promise<void> {
  const told = async (): Promise<boolean> => (await fleet.gapsInLog()).length > 0;
  await until(told, GOES_ON_MS, 'the log telling of the rollback');
  for (const { reason } of await fleet.gapsInLog()) expect(reason).toBe('rollback');
}

async function startProcess(env: Record<string, string>): Promise<ServiceProcess> {
  const service = await ServiceProcess.start({ BRAIN_LOG_REQUESTS: 'off', ...env });
  later(() => service.stop('SIGKILL'));
  return service;
}

describe.each(STORES)('a service on %s', (_name, startStore) => {
  it(
    `that is killed ${KILLS} times delivers each acknowledged event once and in order, and reports each kill`,
    async () => {
      const store = started(await startStore());
      const folder = temporaryFolder();
      later(() => folder.remove());
      const env = { BRAIN_DATA_DIR: folder.path, ...store.env };
      let service = await startProcess(env);
      const reader = started(new StreamReader(() => service.url));
      const ledger = new Ledger();
      for (let kill = 0; kill < KILLS; kill += 1) {
        const writers = new Writers(service, ledger, true);
        await underWay(ledger);
        await service.stop('SIGKILL');
        await writers.stop();
        expect(writers.wrong).toEqual([]);
        service = await startProcess(env);
      }
      await ledger.settle(service);
      const gaps = (): string[] =>
        reader.events
          .filter(({ event }) => event === 'stream.gap')
          .map(({ data }) => (data.payload as { reason: string }).reason);
      await until(() => gaps().length >= KILLS, TOLD_MS, `the reader being told of ${KILLS} kills`);
      expect(gaps()).toEqual(count(0, KILLS).map(() => 'unclean_stop'));
      await ledger.verify(service);
      await expectWholeLog(reader, service);
      expect(reader.connections).toBeGreaterThanOrEqual(KILLS);
      expect(reader.gaps).toEqual([]);
    },
    LIMIT_MS,
  );
});

describe('the live streams of two replicas on one Redis', () => {
  let redis: RedisServer;
  let fleet: Fleet;

  beforeEach(async () => {
    redis = started(await RedisServer.start(ALWAYS));
    fleet = started(await Fleet.start({ REDIS_URL: redis.url }, { REDIS_URL: redis.url }));
  }, 30_000);

  /** No reader and no log has a gap. */
  async function expectNoGaps(): Promise<void> {
    expect(fleet.replicas.map(({ reader }) => reader.gaps)).toEqual([[], []]);
    expect(await fleet.gapsInLog()).toEqual([]);
  }

  /** Each reader got this many rollbacks, and the remaining log reports them too. */
  async function expectRollbackTold(times: number): Promise<void> {
    await expectRollback(fleet);
    for (const { reader } of fleet.replicas) {
      expect(reader.gaps.map(({ data }) => data.reason)).toEqual(count(0, times).map(() => 'rollback'));
    }
  }

  it(
    `continue without a missing event when Redis is killed and started again ${REDIS_KILLS} times`,
    async () => {
      fleet.startFlow();
      await fleet.goesOn();
      for (let kill = 0; kill < REDIS_KILLS; kill += 1) {
        await redis.kill();
        await sleep(randomMs(100, 1500));
        await redis.run();
        await fleet.goesOn();
      }
      await fleet.stopFlow();
      await fleet.goesOn();
      fleet.expectEachOnce();
      await expectNoGaps();
    },
    LIMIT_MS,
  );

  it(
    `wait without a missing event while Redis does not answer for ${FREEZE_MS / 1000} s`,
    async () => {
      fleet.startFlow();
      await fleet.goesOn();
      const before = process.cpuUsage();
      const sinceMs = performance.now();
      redis.freeze();
      await sleep(FREEZE_MS);
      const { user, system } = process.cpuUsage(before);
      const share = (user + system) / 1000 / (performance.now() - sinceMs);
      redis.thaw();
      await fleet.goesOn();
      await fleet.stopFlow();
      await fleet.goesOn();
      fleet.expectEachOnce();
      // Nobody takes another for dead that could not say for a while that it lives.
      await sleep(DOUBT_MS);
      await expectNoGaps();
      for (const replica of fleet.replicas) {
        const lines = replica.said('followers wait');
        expect(lines).toBeGreaterThan(0);
        expect(lines).toBeLessThanOrEqual(FREEZE_MS / 1000 + 2);
      }
      // Two replicas, two readers and those who publish: who waits in a loop takes the whole of a core.
      expect(share).toBeLessThan(0.6);
    },
    LIMIT_MS,
  );

  it('report and continue when Redis is emptied, with and without new events', async () => {
    fleet.publish(200);
    await fleet.goesOn();
    redis.cli('flushall');
    const told = (): boolean => fleet.replicas.every(({ reader }) => reader.gaps.length > 0);
    await until(told, GOES_ON_MS, 'the readers being told');
    fleet.publish(200);
    await fleet.goesOn();
    await expectRollbackTold(1);
    redis.cli('flushall');
    fleet.publish(200);
    await fleet.goesOn();
    await expectRollbackTold(2);
    fleet.expectEachOnce();
  });

  it('miss no stored event when another program trims the beginning of the log', async () => {
    fleet.publish(200);
    await fleet.goesOn();
    expect(Number(redis.cli('xtrim', STREAM, 'MAXLEN', '=', '50'))).toBeGreaterThan(300);
    await sleep(1000);
    fleet.publish(200);
    await fleet.goesOn();
    fleet.expectEachOnce();
    await expectNoGaps();
  });

  it('report and continue when the log is trimmed beyond their position', async () => {
    const wire = await Wire.to(redis.port);
    later(() => wire.close());
    const [one] = fleet.replicas;
    const far = started(await Replica.start('replica-far', { REDIS_URL: wire.url }));
    const log = one.service.app.get(EventLog);
    const cuts = [
      async (): Promise<unknown> => redis.cli('xtrim', STREAM, 'MAXLEN', '=', '10'),
      async (): Promise<unknown> => {
        const [kept] = (await log.read({ order: 'desc', limit: 10 })).reverse();
        return log.trim(kept.position, 1000);
      },
    ];
    for (const [i, cut] of cuts.entries()) {
      one.publish(5);
      const last = one.published - 1;
      const given = (n: number) => () => numbersOf(far.reader.events, one.name).at(-1) === n;
      await until(given(last), GOES_ON_MS, 'the far replica being there');
      const { id } = far.reader.events.at(-1) as { id: string };
      wire.tear();
      one.publish(100);
      await one.stream.flush();
      await cut();
      wire.mend();
      await until(given(one.published - 1), GOES_ON_MS, 'the far replica going on');
      expect(far.reader.gaps).toHaveLength(i + 1);
      const gap = far.reader.gaps[i];
      expect(gap.data).toMatchObject({ reason: 'trimmed', from: id });
      expect(comparePositions(gap.data.to as string, far.reader.positions.at(-10) as string)).toBeLessThan(0);
      expect(numbersOf(far.reader.events, one.name).slice(-10)).toEqual(
        count(one.published - 10, one.published),
      );
      // A reader that returns with the id of the gap gets the events after it, and no second gap.
      const again = await SseClient.open(`${far.url}/api/events/stream?type=test.*`, undefined, gap.id);
      expect(numbersOf(await again.received(10))).toEqual(count(one.published - 10, one.published));
      again.close();
    }
    expect(far.reader.disordered).toEqual([]);
    expect(numbersOf(far.heard, one.name)).toEqual(numbersOf(far.reader.events, one.name));
    await fleet.goesOn();
    fleet.expectEachOnce();
    await expectNoGaps();
  });

  it('report to a reader that the events it reads were trimmed', async () => {
    const [one] = fleet.replicas;
    one.publish(1200);
    await fleet.goesOn();
    const log = one.service.app.get(EventLog);
    const all = await log.read({ order: 'asc', limit: 2000 });
    // A log begins with the policies that a new installation starts with.
    const others = all.length - 1200;
    const read = log.read.bind(log);
    let pages = 0;
    let from: string | undefined;
    const reading = jest.spyOn(log, 'read').mockImplementation(async (query) => {
      pages += 1;
      if (pages === 2) {
        from = query.after;
        while ((await log.trim(all[900].position, 1000)).length > 0);
      }
      return read(query);
    });
    const reader = started(new StreamReader(() => one.url));
    await until(() => numbersOf(reader.events).at(-1) === 1199, GOES_ON_MS, 'the reader reading on');
    reading.mockRestore();
    const firstPage = all.findIndex(({ position }) => position === from) + 1;
    expect(firstPage).toBeGreaterThan(others);
    expect(numbersOf(reader.events)).toEqual([...count(0, firstPage - others), ...count(900 - others, 1200)]);
    const to = all[899].position;
    expect(reader.gaps.map(({ id, data }) => [id, data.reason, data.from, data.to])).toEqual([
      [to, 'trimmed', from, to],
    ]);
  });

  it('free the place of a reader that disconnects before it is served', async () => {
    const [one, other] = fleet.replicas;
    const made = await other.service.post('/api/keys', { name: 'hasty', role: 'viewer' }).expect(201);
    const key = made.body.key as string;
    // Its key is looked up first, and that takes a while.
    redis.freeze();
    const hasty = new SseClient(() => `${one.url}/api/events/stream`, key);
    const gone = hasty.connect().catch(() => undefined);
    await sleep(200);
    hasty.close();
    await gone;
    await sleep(50);
    redis.thaw();
    const known = async (): Promise<boolean> => (await one.service.get('/api/threats', key)).status === 200;
    await until(known, GOES_ON_MS, 'the key being known');
    const channel = one.service.app.get(LiveStream);
    await until(() => channel.connections === 1, GOES_ON_MS, 'its place being free');
  });

  it('repeat nothing for a reader that reconnects to the replica that is behind', async () => {
    const [one, behind] = fleet.replicas;
    fleet.publish(50);
    await fleet.goesOn();
    const log = behind.service.app.get(EventLog);
    const next = log.next.bind(log);
    let goOn = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    jest.spyOn(log, 'next').mockImplementation(async (...args) => {
      await held;
      return next(...args);
    });
    // What it asked for before it was held up it still gets.
    one.publish(1);
    await fleet.goesOn();
    one.publish(100);
    let url = one.url;
    const reader = started(new StreamReader(() => url));
    const seen = (howMany: number) => () => numbersOf(reader.events, one.name).length >= howMany;
    await until(seen(one.published), GOES_ON_MS, 'the reader seeing all');
    url = behind.url;
    reader.leave();
    await until(() => reader.connections === 2, GOES_ON_MS, 'the reader coming back');
    await sleep(100);
    goOn();
    one.publish(100);
    await until(seen(one.published), GOES_ON_MS, 'the reader going on');
    await fleet.goesOn();
    expect(numbersOf(reader.events, one.name)).toEqual(count(0, one.published));
    expect([reader.gaps, reader.disordered]).toEqual([[], []]);
    fleet.expectEachOnce();
  });

  it(
    `show each event once to 20 readers that reconnect to either replica for ${RESTLESS_MS / 1000} s`,
    async () => {
      const any = (): string => fleet.replicas[Math.floor(Math.random() * 2)].url;
      const readers = count(0, 20).map(() => new StreamReader(any, () => randomMs(1, 400)));
      for (const reader of readers) started(reader);
      fleet.startFlow();
      await sleep(RESTLESS_MS);
      await fleet.stopFlow();
      await fleet.goesOn();
      const all = fleet.replicas[0].reader.positions;
      const given = (): boolean => readers.every(({ positions }) => positions.length >= all.length);
      await until(given, GOES_ON_MS, 'everybody being given everything');
      for (const reader of readers) expect(reader.positions).toEqual(all);
      expect(Math.min(...readers.map(({ connections }) => connections))).toBeGreaterThan(5);
      fleet.expectEachOnce();
      await Promise.all(readers.map((reader) => reader.stop()));
      const left = (): number[] =>
        fleet.replicas.map(({ service }) => service.app.get(LiveStream).connections);
      await until(() => left().every((open) => open === 1), GOES_ON_MS, 'the connections being freed');
    },
    LIMIT_MS,
  );

  it('miss and repeat nothing on a replica that is cut off from Redis for a while', async () => {
    const wire = await Wire.to(redis.port);
    later(() => wire.close());
    const far = started(await Replica.start('replica-far', { REDIS_URL: wire.url }));
    fleet.startFlow();
    await fleet.goesOn();
    wire.cut();
    await sleep(300);
    wire.tear();
    await sleep(STOPPED_MS);
    wire.mend();
    await fleet.stopFlow();
    await fleet.goesOn();
    const all = fleet.replicas[0].reader.positions;
    await until(() => far.reader.positions.length >= all.length, GOES_ON_MS, 'the far replica going on');
    expect(far.reader.positions).toEqual(all);
    await expectNoGaps();
  });

  it('limit the waiting events to 50,000, and report exactly how many were lost', async () => {
    const [one, other] = fleet.replicas;
    one.publish(10);
    await fleet.goesOn();
    redis.freeze();
    let slowestMs = 0;
    let sumMs = 0;
    const answers: number[] = [];
    for (let slice = 0; slice < 1000; slice += 1) {
      const sinceMs = performance.now();
      one.publish(100);
      const ms = performance.now() - sinceMs;
      slowestMs = Math.max(slowestMs, ms);
      sumMs += ms;
      await (slice % 50 > 0 ? new Promise(setImmediate) : answered());
    }
    redis.thaw();
    async function answered(): Promise<void> {
      answers.push((await one.service.get('/livez')).status);
    }
    expect(answers).toEqual(answers.map(() => 200));
    const eachUs = (sumMs / 100_000) * 1000;
    console.log(`publish: ${eachUs.toFixed(2)} µs each, ${slowestMs.toFixed(1)} ms for the slowest hundred`);
    expect(eachUs).toBeLessThan(1000);
    // The last events did not fit, and the one gap comes before the events that waited.
    const kept = 10 + 50_000;
    for (const { reader } of [one, other]) {
      const given = (): boolean => numbersOf(reader.events, one.name).length >= kept;
      await until(given, 60_000, 'what waited');
      expect(numbersOf(reader.events, one.name)).toEqual(count(0, kept));
      expect([reader.disordered, reader.gaps]).toEqual([[], []]);
    }
    const [gap, ...more] = await fleet.gapsInLog();
    expect(gap).toMatchObject({ reason: 'overflow', counts: { 'test.tick': 50_000 } });
    expect(more).toEqual([]);
    expect(one.stream.lost).toBe(50_000);
  }, 120_000);
});

describe('two replicas behind Sentinels', () => {
  let group: SentinelGroup;
  let fleet: Fleet;

  beforeEach(async () => {
    group = started(await startSentinels());
    fleet = started(await Fleet.start(group.env, group.env));
  }, 60_000);

  it('continue after a failover without a missing event', async () => {
    fleet.publish(200);
    await fleet.goesOn();
    expect(group.servers[0].cli('wait', '1', '1000')).toBe('1');
    const failover = failOver(group);
    fleet.publish(100);
    await failover;
    fleet.publish(100);
    await fleet.goesOn();
    fleet.expectEachOnce();
    expect(fleet.replicas.map(({ reader }) => reader.gaps)).toEqual([[], []]);
    expect(await fleet.gapsInLog()).toEqual([]);
  }, 60_000);

  it('report a failover that lost the last events, and continue', async () => {
    const [master] = group.servers;
    fleet.publish(200);
    await fleet.goesOn();
    expect(master.cli('wait', '1', '1000')).toBe('1');
    // From here on the replica gets nothing any more.
    master.cli('acl', 'setuser', 'default', '-psync', '-sync');
    master.cli('client', 'kill', 'type', 'replica');
    fleet.publish(50);
    await fleet.goesOn();
    await failOver(group);
    fleet.publish(100);
    await fleet.goesOn();
    await expectRollback(fleet);
    for (const { reader } of fleet.replicas) {
      expect(reader.gaps.map(({ data }) => data.reason)).toEqual(['rollback']);
    }
    fleet.expectEachOnce();
  }, 60_000);
});

describe('a replica that is stopped', () => {
  it(
    `for ${STOPPED_MS / 1000} s misses and repeats no event`,
    async () => {
      const redis = started(await RedisServer.start());
      const [works, stands] = await Promise.all([1, 2].map(() => startProcess({ REDIS_URL: redis.url })));
      const reader = started(new StreamReader(() => stands.url));
      const ledger = new Ledger();
      const before = new Writers(works, ledger, false);
      await underWay(ledger);
      stands.kill('SIGSTOP');
      await sleep(STOPPED_MS);
      stands.kill('SIGCONT');
      await before.stop();
      const after = new Writers(works, ledger, false);
      await underWay(ledger);
      await after.stop();
      expect([before.wrong, after.wrong]).toEqual([[], []]);
      await expectWholeLog(reader, stands);
      expect(reader.gaps).toEqual([]);
      expect(reader.connections).toBe(1);
      await ledger.verify(works);
    },
    LIMIT_MS,
  );
});
