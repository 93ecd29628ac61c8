/**
 * What was answered is stored, even if the service or its Redis is killed. On both stores, with real processes and
 * `kill -9`. `npm run test:faults` runs the long form.
 */
import { sleep } from '../src/shared/clock.js';
import { Ledger, walk } from './faults/ledger.js';
import { isProperlyUnavailable, Writers } from './faults/writers.js';
import { LONG } from './support/effort.js';
import { type ProcessAnswer, processesWith, type ServiceProcess } from './support/process.js';
import { ALWAYS, RedisServer } from './support/redis-server.js';
import { STORES } from './support/stores.js';
import { until } from './support/until.js';

const KILLS = LONG ? 50 : 3;
const REDIS_KILLS = LONG ? 50 : 2;
/** Longer than the record of a process lasts without being renewed, which is eight seconds. */
const STOP_MS = LONG ? 35_000 : 11_000;
const FREEZE_MS = LONG ? 10_000 : 4000;
/** The promise is 2 s for an answer and 5 s for the recovery; the rest is for a busy machine. */
const ANSWER_MS = 2000 + 1000;
const RECOVERY_MS = 5000;
/** On Redis the record of a killed process lasts eight seconds, and there is a check every two. */
const TOLD_MS = 15_000;
const FLOW_MS = 20_000;
/** BRAIN_SHUTDOWN_GRACE_SECONDS, as it is documented. */
const GRACE_MS = 25_000;
const LIMIT_MS = LONG ? 900_000 : 90_000;

const start = processesWith({ BRAIN_LOG_REQUESTS: 'off' });

interface Gap {
  reason: string;
  from: number;
  to: number;
}

async function gapsOf(service: ServiceProcess): Promise<Gap[]> {
  const events = await walk(service, '/api/events?order=asc&type=stream.gap', 'events');
  return events.map((event) => (event as { payload: Gap }).payload);
}

/** Errors of the service itself in its log. */
function faultsIn(service: ServiceProcess): Record<string, unknown>[] {
  return service.logs.filter(({ level, stack }) => level === 'error' && stack !== undefined);
}

const randomMs = (least: number, most: number): number => least + Math.random() * (most - least);

/** Writes are in full flow, on a machine of any speed. The moment is random. */
async function underWay(ledger: Ledger): Promise<void> {
  const before = ledger.acknowledged;
  await until(() => ledger.acknowledged >= before + 50, FLOW_MS, 'the flow of writes');
  await sleep(randomMs(0, 500));
}

describe.each(STORES)('kill -9 of the service on %s', (_name, startStore) => {
  it(
    `${KILLS} times during writes loses nothing that was answered, and each kill is reported`,
    async () => {
      const store = await startStore();
      try {
        const ledger = new Ledger();
        const killedAt: number[] = [];
        let service = await start(store.env);
        while (killedAt.length < KILLS) {
          const writers = new Writers(service, ledger, true);
          await underWay(ledger);
          killedAt.push(Date.now() / 1000);
          expect(await service.stop('SIGKILL')).toEqual({ code: null, signal: 'SIGKILL' });
          await writers.stop();
          expect(writers.wrong).toEqual([]);
          expect(faultsIn(service)).toEqual([]);
          service = await start(store.env);
          await ledger.verify(service);
          await ledger.settle(service);
        }
        await ledger.verify(service);
        const told = async (): Promise<boolean> => (await gapsOf(service)).length >= KILLS;
        await until(told, TOLD_MS, `a gap for each of ${KILLS} kills`);
        const gaps = await gapsOf(service);
        expect(gaps.map(({ reason }) => reason)).toEqual(killedAt.map(() => 'unclean_stop'));
        for (const at of killedAt) expect(gaps.some(({ from, to }) => from <= at && at <= to)).toBe(true);
        expect(await service.stop()).toEqual({ code: 0, signal: null });
      } finally {
        await store.stop();
      }
    },
    LIMIT_MS,
  );
});

describe('a replica that is stopped', () => {
  it(
    `for ${STOP_MS / 1000} s is not reported by the other replica, and loses nothing`,
    async () => {
      const redis = await RedisServer.start();
      try {
        const stopped = await start({ REDIS_URL: redis.url });
        const other = await start({ REDIS_URL: redis.url });
        const asked = { agent_id: 'a', agent_role: 'admin', action: 'threats.read' };
        expect((await stopped.post('/api/policy/evaluate', asked)).status).toBe(200);
        stopped.kill('SIGSTOP');
        await sleep(STOP_MS);
        expect(await gapsOf(other)).toEqual([]);
        stopped.kill('SIGCONT');
        // Beyond the grace it decides nothing before it has read the policies again.
        const decides = async (): Promise<boolean> =>
          (await stopped.post('/api/policy/evaluate', asked)).status === 200;
        await until(decides, RECOVERY_MS, 'a decision of the replica that was stopped');
        await sleep(1000);
        expect(await gapsOf(other)).toEqual([]);
        expect(await walk(other, '/api/events?type=policy.rule_evaluated', 'events')).toHaveLength(2);
        expect(await stopped.stop()).toEqual({ code: 0, signal: null });
        expect(await other.stop()).toEqual({ code: 0, signal: null });
      } finally {
        await redis.stop();
      }
    },
    LIMIT_MS,
  );
});

describe('the Redis of a service', () => {
  let redis: RedisServer;

  beforeEach(async () => {
    redis = await RedisServer.start(ALWAYS);
  }, 20_000);
  afterEach(() => redis.stop());

  const report = { type: 'probe', source: 'probe', severity: 'LOW' };

  /** The first good answer to a write, and how long it took since. */
  async function recovery(service: ServiceProcess): Promise<number> {
    const sinceMs = performance.now();
    const works = async (): Promise<boolean> => (await service.get('/api/threats?limit=1')).status === 200;
    await until(works, RECOVERY_MS, 'the recovery of the service');
    return performance.now() - sinceMs;
  }

  it(
    `killed with -9 and started again ${REDIS_KILLS} times during writes loses nothing that was answered`,
    async () => {
      const service = await start({ REDIS_URL: redis.url });
      const ledger = new Ledger();
      for (let kill = 0; kill < REDIS_KILLS; kill += 1) {
        const writers = new Writers(service, ledger, false);
        await underWay(ledger);
        await redis.kill();
        await sleep(randomMs(100, 1500));
        await redis.run();
        expect(await recovery(service)).toBeLessThan(RECOVERY_MS);
        await sleep(100);
        await writers.stop();
        expect(writers.wrong).toEqual([]);
        expect(writers.unavailable).toBeGreaterThan(0);
        expect(writers.slowestMs).toBeLessThan(ANSWER_MS);
        await ledger.settle(service);
        await ledger.verify(service);
      }
      expect(service.running).toBe(true);
      expect(faultsIn(service)).toEqual([]);
      // Nothing is missing, and nothing says so.
      expect(await gapsOf(service)).toEqual([]);
      expect(await service.stop()).toEqual({ code: 0, signal: null });
    },
    LIMIT_MS,
  );

  it(
    `stopped for ${FREEZE_MS / 1000} s makes every answer a quick 503, and the service recovers by itself`,
    async () => {
      const service = await start({ REDIS_URL: redis.url });
      const ledger = new Ledger();
      const writers = new Writers(service, ledger, false);
      await underWay(ledger);
      redis.freeze();
      const untilMs = Date.now() + FREEZE_MS;
      const answers: [path: string, answer: ProcessAnswer][] = [];
      const ask = async (path: string, body?: object): Promise<void> => {
        while (Date.now() < untilMs) {
          const answer = await (body ? service.post(path, body) : service.get(path));
          answers.push([path, answer]);
          await sleep(20);
        }
      };
      await Promise.all([
        ask('/api/threats'),
        ask('/api/threats/00000000-0000-4000-8000-000000000000'),
        ask('/api/threats/stats/overview'),
        ask('/api/threats/health'),
        ask('/api/events?limit=1'),
        ask('/api/threats', report),
        ask('/api/keys'),
      ]);
      const [live, ready] = [await service.get('/livez'), await service.get('/readyz')];
      redis.thaw();
      expect(await recovery(service)).toBeLessThan(RECOVERY_MS);
      await writers.stop();

      expect(answers.length).toBeGreaterThan(7);
      const strange = answers.filter(([, answer]) => !isProperlyUnavailable(answer));
      expect(strange.map(([path, { status, body }]) => [path, status, body])).toEqual([]);
      expect(Math.max(...answers.map(([, { ms }]) => ms))).toBeLessThan(ANSWER_MS);
      // The process is well, and the store is within its grace: who sends work here is warned.
      expect(live.status).toBe(200);
      expect([ready.status, (ready.body.warnings as string[]).length]).toEqual([200, 1]);
      expect(writers.wrong).toEqual([]);
      expect(writers.slowestMs).toBeLessThan(ANSWER_MS);
      expect(faultsIn(service)).toEqual([]);
      await ledger.settle(service);
      await ledger.verify(service);
      expect(await gapsOf(service)).toEqual([]);
    },
    LIMIT_MS,
  );

  it('whose log refuses the event of a change is in a gap, though the service is stopped before the log takes events', async () => {
    const stream = 'brain:events:stream';
    const service = await start({ REDIS_URL: redis.url });
    await until(() => redis.cli('exists', stream) === '1', RECOVERY_MS, 'the first event');
    redis.cli('rename', stream, 'kept');
    redis.cli('set', stream, 'a key of another program');
    const from = Date.now() / 1000;
    expect((await service.post('/api/threats', report)).status).toBe(201);
    const to = Date.now() / 1000;
    // Longer than from one renewal of the process record to the next.
    await sleep(3000);
    expect(await service.stop()).toEqual({ code: 0, signal: null });
    redis.cli('del', stream);
    redis.cli('rename', 'kept', stream);
    const next = await start({ REDIS_URL: redis.url });
    expect(await walk(next, '/api/events?type=threat.detected', 'events')).toEqual([]);
    await until(async () => (await gapsOf(next)).length > 0, TOLD_MS, 'the gap');
    const [gap, ...more] = await gapsOf(next);
    expect([gap.reason, gap.from <= to, from <= gap.to, more]).toEqual(['unclean_stop', true, true, []]);
  }, 60_000);

  it('may start after the service, and its absence does not delay a shutdown', async () => {
    await redis.kill();
    const starting = start({ REDIS_URL: redis.url });
    await sleep(1000);
    await redis.run();
    const service = await starting;
    expect((await service.post('/api/threats', report)).status).toBe(201);
    redis.freeze();
    const sentMs = Date.now();
    expect(await service.stop()).toEqual({ code: 0, signal: null });
    expect(Date.now() - sentMs).toBeLessThan(GRACE_MS);
    redis.thaw();
  }, 60_000);
});
