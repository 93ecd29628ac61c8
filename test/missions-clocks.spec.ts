/**
 * Two replicas on one Redis. The wall clock of one of them is wrong by an hour. Missions are due by the clock of Redis, which
 * here is the clock of the test.
 */
import type { Mission } from '../src/missions/missions.dto.js';
import { hasStatus } from './support/missions.js';
import { processesWith, type ServiceProcess, shiftedBy } from './support/process.js';
import { RedisServer } from './support/redis-server.js';
import { json, Target } from './support/target.js';
import { until } from './support/until.js';

const HOUR_MS = 3_600_000;
const WAIT_SECONDS = 2;
const EACH = 6;
/** All waits, and time for a busy machine. */
const END_MS = 30_000;
const LIMIT_MS = 90_000;

const start = processesWith({ BRAIN_LOG_REQUESTS: 'off', BRAIN_HTTP_ALLOW_PRIVATE: 'true' });
let redis: RedisServer;
let target: Target;
/** By the clock of the test. */
let arrivals: Map<string, number[]>;

beforeEach(async () => {
  redis = await RedisServer.start();
  target = await Target.start();
  arrivals = new Map();
}, 20_000);
afterEach(async () => {
  await target.stop();
  await redis.stop();
});

/** Answers with each of these in turn, and records the times of the requests. */
function answers(statuses: number[]): string {
  const at: number[] = [];
  const path = `/${arrivals.size}`;
  arrivals.set(path, at);
  target.on(path, (_asked, response) => json(response, {}, statuses[at.push(Date.now()) - 1]));
  return target.url + path;
}

const replicas = (...envs: Record<string, string>[]): Promise<ServiceProcess[]> =>
  Promise.all(envs.map((env) => start({ REDIS_URL: redis.url, ...env })));

const call = (name: string, url: string, more: object = {}): object => ({
  name,
  kind: 'http',
  params: { url },
  ...more,
});

async function run(service: ServiceProcess, steps: object[]): Promise<string> {
  const { body } = await service.post('/api/missions', { name: 'm', steps });
  const { id } = body as unknown as Mission;
  expect((await service.post(`/api/missions/${id}/execute`, {})).status).toBe(202);
  return id;
}

/** Calls, waits, and calls again. */
function waits(service: ServiceProcess): Promise<string> {
  const url = answers([200, 200]);
  const wait = { name: 'wait', kind: 'wait', params: { seconds: WAIT_SECONDS } };
  return run(service, [call('from', url), wait, call('to', url)]);
}

/** Calls, fails, and calls again after at least half of these seconds. */
function triesAgain(service: ServiceProcess): Promise<string> {
  const retry = { attempts: 2, backoff_seconds: 2 * WAIT_SECONDS };
  return run(service, [call('again', answers([500, 200]), { retry })]);
}

/** How far its wall clock is from that of the test. */
async function shiftOf(service: ServiceProcess): Promise<number> {
  const { body } = await service.get('/api/missions/stats/overview');
  return (body.stats as { last_updated: number }).last_updated * 1000 - Date.now();
}

describe.each([
  ['ahead', HOUR_MS],
  ['behind', -HOUR_MS],
])('on a replica whose clock is an hour %s', (_how, shiftMs) => {
  it(
    'waits and pauses end, and none ends early',
    async () => {
      const services = await replicas({}, shiftedBy(shiftMs));
      expect(Math.round((await shiftOf(services[1])) / HOUR_MS) * HOUR_MS).toBe(shiftMs);
      const waiting = services.flatMap((service) =>
        Array.from({ length: EACH }, () => [waits(service), triesAgain(service)]).flat(),
      );
      const ids = await Promise.all(waiting);
      for (const id of ids) await hasStatus(services[0], id, 'COMPLETED', END_MS);
      const lasted = [...arrivals.values()].map(([from, to]) => to - from);
      expect(lasted).toHaveLength(ids.length);
      expect(lasted.filter((ms) => !(ms >= WAIT_SECONDS * 1000))).toEqual([]);
    },
    LIMIT_MS,
  );

  it.each([
    ['it executes and the other replica runs', shiftedBy(shiftMs), {}],
    ['the other replica executes and it runs', {}, shiftedBy(shiftMs)],
  ])(
    'missions that %s run at once',
    async (_what, busy, free) => {
      const [setter] = await replicas({ BRAIN_MISSIONS_CONCURRENCY: '1', ...busy });
      // Its only place is taken for good.
      target.on('/busy', () => undefined);
      await run(setter, [call('busy', `${target.url}/busy`)]);
      await until(() => target.times('/busy') === 1, END_MS, 'the mission in its only place');
      const [taker] = await replicas(free);
      const id = await run(setter, [call('free', `${target.url}/free`)]);
      await hasStatus(taker, id, 'COMPLETED', END_MS);
    },
    LIMIT_MS,
  );
});
