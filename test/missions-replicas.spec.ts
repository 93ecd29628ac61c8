/**
 * Missions and the processes that run them: several replicas on one Redis, killed, stopped, frozen and shut down. Each step is
 * counted where it arrives. `npm run test:faults` runs the long form.
 */
import type { Mission } from '../src/missions/missions.dto.js';
import { sleep } from '../src/shared/clock.js';
import { LONG } from './support/effort.js';
import { hasStatus, logOf, readMission } from './support/missions.js';
import { processesWith, type ServiceProcess } from './support/process.js';
import { ALWAYS, RedisServer } from './support/redis-server.js';
import { STORES } from './support/stores.js';
import { json, Target } from './support/target.js';
import { until } from './support/until.js';

const MISSIONS = LONG ? 1000 : 200;
/** As short as it may be; the default is ten times as much. */
const LEASE_SECONDS = 3;
/** The end of the lease, the next search, and time for a busy machine. */
const TAKEN_OVER_MS = LEASE_SECONDS * 1000 + 15_000;
/** The promise is two seconds; the rest is for a busy machine. */
const CANCELLED_MS = 2000 + 3000;
const END_MS = LONG ? 300_000 : 40_000;
const LIMIT_MS = LONG ? 900_000 : 90_000;

const start = processesWith({
  BRAIN_LOG_REQUESTS: 'off',
  BRAIN_HTTP_ALLOW_PRIVATE: 'true',
  BRAIN_MISSIONS_LEASE_SECONDS: String(LEASE_SECONDS),
});
let target: Target;

beforeEach(async () => {
  target = await Target.start();
});
afterEach(() => target.stop());

async function make(service: ServiceProcess, paths: string[]): Promise<string> {
  const steps = paths.map((path, i) => ({
    name: `step-${i}`,
    kind: 'http',
    params: { url: target.url + path },
    retry: { attempts: 1 },
  }));
  const { status, body } = await service.post('/api/missions', { name: 'm', steps });
  expect(status).toBe(201);
  return (body as unknown as Mission).id;
}

async function execute(service: ServiceProcess, id: string): Promise<void> {
  expect((await service.post(`/api/missions/${id}/execute`, {})).status).toBe(202);
}

/** Holds all requests to this path until it is opened. */
function gate(path: string): { open: () => void; closed: () => number } {
  const waiting: (() => void)[] = [];
  let isOpen = false;
  let closed = 0;
  target.on(path, (_asked, response) => {
    response.on('close', () => {
      if (!response.writableFinished) closed += 1;
    });
    if (isOpen) json(response, {});
    else waiting.push(() => json(response, {}));
  });
  const open = (): void => {
    isOpen = true;
    for (const answer of waiting.splice(0)) answer();
  };
  return { open, closed: () => closed };
}

const arrived = (path: string, times = 1): Promise<void> =>
  until(() => target.times(path) >= times, END_MS, `request ${times} to ${path}`);

async function byStatus(service: ServiceProcess): Promise<Record<string, number>> {
  const { body } = await service.get('/api/missions/stats/overview');
  const { by_status } = body.stats as { by_status: Record<string, number> };
  return Object.fromEntries(Object.entries(by_status).filter(([, count]) => count > 0));
}

const messagesOf = async (service: ServiceProcess, id: string): Promise<string[]> =>
  (await logOf(service, id)).map(({ message }) => message);

describe('replicas on one Redis', () => {
  let redis: RedisServer;
  beforeEach(async () => {
    redis = await RedisServer.start(ALWAYS);
  }, 20_000);
  afterEach(() => redis.stop());

  const replicas = (count: number): Promise<ServiceProcess[]> =>
    Promise.all(Array.from({ length: count }, () => start({ REDIS_URL: redis.url })));

  it(
    `run each of ${MISSIONS} missions exactly once`,
    async () => {
      const services = await replicas(3);
      target.on('/count', (_asked, response) => {
        setTimeout(() => json(response, {}), 5);
      });
      const ids: string[] = [];
      const lane = async (service: ServiceProcess): Promise<void> => {
        while (ids.length < MISSIONS) {
          const place = ids.push('') - 1;
          const id = await make(service, ['/count']);
          ids[place] = id;
          await Promise.all(services.map((any) => any.post(`/api/missions/${id}/execute`, {})));
        }
      };
      await Promise.all([...services, ...services].map(lane));
      const ended = async (): Promise<boolean> => (await byStatus(services[0])).COMPLETED === ids.length;
      await until(ended, END_MS, 'the end of all missions');
      expect([...target.keys('/count').values()].filter((times) => times !== 1)).toEqual([]);
      expect(target.keys('/count').size).toBe(ids.length);
      for (const service of services) expect(await byStatus(service)).toEqual({ COMPLETED: ids.length });
    },
    LIMIT_MS,
  );

  it(
    'cancel a step that runs on another replica',
    async () => {
      const [one, other] = await replicas(2);
      const { closed } = gate('/far');
      const id = await make(one, ['/far']);
      await execute(one, id);
      await arrived('/far');
      const sentMs = performance.now();
      const answers = await Promise.all(
        [one, other].map((service) => service.post(`/api/missions/${id}/status`, { status: 'CANCELLED' })),
      );
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
      await until(() => closed() === 1, CANCELLED_MS, 'the end of the request');
      expect(performance.now() - sentMs).toBeLessThan(CANCELLED_MS);
      await sleep(500);
      expect((await messagesOf(one, id)).at(-1)).toBe('Mission status changed');
      expect(await byStatus(other)).toEqual({ CANCELLED: 1 });
    },
    LIMIT_MS,
  );

  it(
    'continue the mission of a killed replica at the first step without a result',
    async () => {
      const [holder] = await replicas(1);
      const { open } = gate('/during');
      const id = await make(holder, ['/before', '/during']);
      await execute(holder, id);
      await arrived('/during');
      // It comes when the mission has its worker.
      const [alive] = await replicas(1);
      await holder.stop('SIGKILL');
      await arrived('/during', 2);
      open();
      expect(await hasStatus(alive, id, 'COMPLETED', TAKEN_OVER_MS)).toMatchObject({ attempts: 1 });
      expect([target.times('/before'), target.times('/during')]).toEqual([1, 2]);
      // By its key the target can see that it was the same step.
      expect(target.keys('/during').size).toBe(1);
      const messages = await messagesOf(alive, id);
      expect(messages.filter((message) => message.startsWith('Taken over'))).toHaveLength(1);
      expect(await byStatus(alive)).toEqual({ COMPLETED: 1 });
    },
    LIMIT_MS,
  );

  it(
    'write nothing for a mission that they lost while they were stopped',
    async () => {
      const [holder] = await replicas(1);
      const { open } = gate('/still');
      const id = await make(holder, ['/still', '/next']);
      await execute(holder, id);
      await arrived('/still');
      const [alive] = await replicas(1);
      holder.kill('SIGSTOP');
      await arrived('/still', 2);
      // The one that lost it gets its answer first.
      open();
      const ended = await hasStatus(alive, id, 'COMPLETED', TAKEN_OVER_MS);
      const log = await logOf(alive, id);
      holder.kill('SIGCONT');
      await until(
        async () => (await holder.get('/readyz').catch(() => undefined))?.status === 200,
        END_MS,
        'its return',
      );
      await sleep(3000);
      expect(await readMission(alive, id)).toEqual(ended);
      expect(await logOf(alive, id)).toEqual(log);
      expect([target.times('/still'), target.times('/next')]).toEqual([2, 1]);
    },
    LIMIT_MS,
  );

  it(
    'store the result of a step that ended while Redis was away, and repeat no step',
    async () => {
      const [service] = await Promise.all([
        start({ REDIS_URL: redis.url, BRAIN_MISSIONS_LEASE_SECONDS: '30' }),
      ]);
      const gates = ['/away-1', '/away-2'].map((path) => gate(path));
      const ids = await Promise.all(['/away-1', '/away-2'].map((path) => make(service, [path, '/back'])));
      for (const id of ids) await execute(service, id);
      await Promise.all(['/away-1', '/away-2'].map((path) => arrived(path)));
      redis.freeze();
      gates[0].open();
      await sleep(LONG ? 10_000 : 3000);
      redis.thaw();
      const isBack = async (): Promise<boolean> => (await service.get('/api/missions')).status === 200;
      await until(isBack, END_MS, 'the return of Redis');
      await hasStatus(service, ids[0], 'COMPLETED', END_MS);
      await redis.kill();
      gates[1].open();
      await sleep(1000);
      await redis.run();
      await until(isBack, END_MS, 'the return of Redis');
      await hasStatus(service, ids[1], 'COMPLETED', END_MS);
      expect(['/away-1', '/away-2', '/back'].map((path) => target.times(path))).toEqual([1, 1, 2]);
      for (const id of ids) {
        const messages = await messagesOf(service, id);
        expect(messages.filter((message) => message === 'Step completed')).toHaveLength(2);
        expect(messages.filter((message) => /failed|Taken over/.test(message))).toEqual([]);
      }
    },
    LIMIT_MS,
  );
});

describe.each(STORES)('a shutdown on %s', (_name, startStore) => {
  it(
    'waits for a step that ends in time, and the mission continues at the next start',
    async () => {
      const store = await startStore();
      try {
        const service = await start(store.env);
        const { open } = gate('/in-time');
        const id = await make(service, ['/in-time', '/after']);
        await execute(service, id);
        await arrived('/in-time');
        const ended = service.stop('SIGTERM');
        await sleep(500);
        expect(target.times('/in-time')).toBe(1);
        open();
        expect(await ended).toEqual({ code: 0, signal: null });
        const next = await start(store.env);
        await hasStatus(next, id, 'COMPLETED', TAKEN_OVER_MS);
        expect([target.times('/in-time'), target.times('/after')]).toEqual([1, 1]);
        expect(await messagesOf(next, id)).not.toContain(
          'Taken over: the worker that held the mission is gone',
        );
      } finally {
        await store.stop();
      }
    },
    LIMIT_MS,
  );

  it(
    'gives back a mission whose step does not end, and the next start runs it at once',
    async () => {
      const store = await startStore();
      try {
        const service = await start({ ...store.env, BRAIN_SHUTDOWN_GRACE_SECONDS: '1' });
        const { open } = gate('/endless');
        const id = await make(service, ['/endless']);
        await execute(service, id);
        await arrived('/endless');
        expect(await service.stop('SIGTERM')).toEqual({ code: 0, signal: null });
        open();
        const next = await start(store.env);
        expect(await hasStatus(next, id, 'COMPLETED', END_MS)).toMatchObject({ attempts: 1, error: null });
        expect(target.times('/endless')).toBe(2);
        expect(target.keys('/endless').size).toBe(1);
        const worries = service.logs.filter(({ level }) => level === 'error');
        expect(worries).toEqual([]);
      } finally {
        await store.stop();
      }
    },
    LIMIT_MS,
  );

  it(
    'by kill -9 loses no mission, including one that waits',
    async () => {
      const store = await startStore();
      try {
        const service = await start(store.env);
        const { open } = gate('/killed');
        const wait = { name: 'rest', kind: 'wait', params: { seconds: 2 } };
        const { body } = await service.post('/api/missions', { name: 'w', steps: [wait] });
        const waiting = (body as unknown as Mission).id;
        await execute(service, waiting);
        const id = await make(service, ['/done', '/killed']);
        await execute(service, id);
        await arrived('/killed');
        await until(
          async () => (await messagesOf(service, waiting)).includes('Step started'),
          END_MS,
          'the wait',
        );
        await service.stop('SIGKILL');
        open();
        const next = await start(store.env);
        await hasStatus(next, id, 'COMPLETED', TAKEN_OVER_MS);
        await hasStatus(next, waiting, 'COMPLETED', TAKEN_OVER_MS);
        expect([target.times('/done'), target.times('/killed')]).toEqual([1, 2]);
        expect(await byStatus(next)).toEqual({ COMPLETED: 2 });
      } finally {
        await store.stop();
      }
    },
    LIMIT_MS,
  );
});
