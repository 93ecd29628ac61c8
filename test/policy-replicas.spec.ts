/** Decisions of several replicas on one Redis, also while it is down, empty, or has another history. */
import type { Envelope } from '../src/events/event.js';
import type { Decision } from '../src/policy/decisions/routes.dto.js';
import { TALLIES } from '../src/policy/decisions/tally.collection.js';
import { DecisionTally } from '../src/policy/decisions/tally.js';
import { sleep } from '../src/shared/clock.js';
import { Store } from '../src/storage/store.js';
import { temporaryFolder } from './support/folder.js';
import { ServiceProcess } from './support/process.js';
import { RedisServer } from './support/redis-server.js';
import { ADMIN, type Service, startService } from './support/service.js';
import { STORES, twoReplicas } from './support/stores.js';
import { until } from './support/until.js';

const BASE = '/api/policy/policies';
/** The promise is one second; a busy machine may need longer. */
const NOTICED_MS = 5000;

const allowing = (policy_id: string, action: string) => ({
  policy_id,
  name: policy_id,
  rules: [
    {
      name: `May ${action}`,
      effect: 'allow',
      conditions: [{ field: 'action', operator: '==', value: action }],
    },
  ],
});
const ask = (service: Service, action: string) =>
  service.post('/api/policy/evaluate', { agent_id: 'a', action });
const allows = async (service: Service, action: string): Promise<boolean> =>
  (await ask(service, action).expect(200)).body.allowed as boolean;
/** The same request for AuthZEN. */
const authzen = (action: string) => ({
  subject: { type: 'agent', id: 'a' },
  action: { name: action },
  resource: { type: 'doc', id: '1' },
});
const figures = async (service: Service): Promise<Record<string, number>> =>
  (await service.get('/api/policy/stats').expect(200)).body as Record<string, number>;

describe('replicas that decide', () => {
  const replicas = twoReplicas();
  const { one, other } = replicas;

  it('write the default policies only once', async () => {
    expect((await other.get(BASE).expect(200)).body.total).toBe(2);
    expect(await one.events({ type: 'policy.created' })).toHaveLength(2);
  });

  it('use the write of another replica soon, and at once with min_revision', async () => {
    const made = await one.post(BASE, allowing('shared', 'share')).expect(201);
    const wanted = made.body.policy_revision as number;
    const asked = await other
      .post(`/api/policy/evaluate?min_revision=${wanted}`, { agent_id: 'a', action: 'share' })
      .expect(200);
    expect(asked.body).toMatchObject({ allowed: true, policy_revision: wanted });
    await one.delete(`${BASE}/shared`).expect(204);
    await until(async () => !(await allows(other, 'share')), NOTICED_MS, 'the change on the other replica');
  });

  it('write one history together', async () => {
    const made = await one.post(BASE, { policy_id: 'both', name: 'both' }).expect(201);
    const start = made.body.policy_revision as number;
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        (i % 2 ? one : other).put(`${BASE}/both`, { description: String(i) }),
      ),
    );
    expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
    const revisions = answers.map(({ body }) => body.policy_revision as number).sort((a, b) => a - b);
    expect(revisions).toEqual(answers.map((_, i) => start + 1 + i));
    expect((await other.get(`${BASE}/both`)).body.revision).toBe(21);
  }, 60_000);

  it('answer a change without a difference with the current revision', async () => {
    await one.post(BASE, { policy_id: 'equal', name: 'equal' }).expect(201);
    const pairs: number[][] = [];
    for (let i = 0; i < 40; i += 1) {
      const change = { description: `the ${i}th` };
      const answers = await Promise.all([one, other].map((service) => service.put(`${BASE}/equal`, change)));
      expect(answers.map(({ status }) => status)).toEqual([200, 200]);
      pairs.push(answers.map(({ body }) => body.policy_revision as number));
    }
    expect(pairs.filter(([a, b]) => a !== b)).toEqual([]);
  }, 60_000);

  it('count all their decisions together', async () => {
    const before = await figures(one);
    const actions = ['both.allowed', 'both.denied'];
    await one.post(BASE, allowing('counted', 'both.allowed')).expect(201);
    await until(() => allows(other, 'both.allowed'), NOTICED_MS, 'the policy on the other replica');
    const extra = (await figures(other)).total_evaluations - before.total_evaluations;
    await Promise.all(
      Array.from({ length: 200 }, (_, i) => ask(i % 2 ? one : other, actions[i % 4 < 2 ? 0 : 1])),
    );
    const expected = {
      total_evaluations: before.total_evaluations + extra + 200,
      total_allows: expect.any(Number),
      total_denies: expect.any(Number),
    };
    await until(
      async () => (await figures(one)).total_evaluations === expected.total_evaluations,
      NOTICED_MS,
      'the sum on one replica',
    );
    const [here, there] = [await figures(one), await figures(other)];
    expect(there).toEqual(here);
    expect(here.total_allows + here.total_denies).toBe(here.total_evaluations);
    expect(here.total_denies - before.total_denies).toBeGreaterThanOrEqual(100);
  }, 60_000);

  it('read the policies again after Redis was emptied', async () => {
    await one.post(BASE, allowing('lost', 'emptied')).expect(201);
    await until(() => allows(other, 'emptied'), NOTICED_MS, 'the policy on the other replica');
    replicas.redis.cli('FLUSHALL');
    for (const service of [one, other]) {
      await until(async () => !(await allows(service, 'emptied')), NOTICED_MS, 'the news of the flush');
      expect((await service.get(BASE).expect(200)).body.total).toBe(2);
    }
  }, 60_000);

  it('notice another history of the same length', async () => {
    replicas.redis.cli('SAVE');
    const first = await one.post(BASE, allowing('first', 'history.one')).expect(201);
    await until(() => allows(other, 'history.one'), NOTICED_MS, 'the first history');
    await replicas.redis.kill();
    await replicas.redis.run();
    await until(async () => (await one.get(BASE)).status === 200, NOTICED_MS, 'the return of Redis');
    const second = await one.post(BASE, allowing('second', 'history.two')).expect(201);
    // The number alone would not show it.
    expect(second.body.policy_revision).toBe(first.body.policy_revision);
    for (const service of [one, other]) {
      await until(() => allows(service, 'history.two'), NOTICED_MS, 'the second history');
      expect(await allows(service, 'history.one')).toBe(false);
    }
  }, 60_000);
});

describe.each(STORES)('the counts of decisions on %s', (_name, startStore) => {
  it('continue after a restart, and are kept when their processes are gone', async () => {
    const store = await startStore();
    const folder = temporaryFolder();
    const env = { ...store.env, BRAIN_DATA_DIR: folder.path };
    const counts = async (service: Service): Promise<number> => (await figures(service)).total_evaluations;
    for (let start = 0; start < 3; start += 1) {
      const service = await startService(env);
      expect(await counts(service)).toBe(start * 10);
      for (let i = 0; i < 10; i += 1) await ask(service, 'anything').expect(200);
      await service.stop();
    }
    const last = await startService(env);
    const tally = last.app.get(DecisionTally);
    await ask(last, 'anything').expect(200);
    expect(await counts(last)).toBe(31);
    const { now } = Date;
    const clock = jest.spyOn(Date, 'now').mockImplementation(() => now() + 2 * 86_400_000);
    await tally.fold();
    await tally.fold();
    clock.mockRestore();
    const byProcess = await last.app.get(Store).list(TALLIES, { limit: 10 });
    expect(byProcess.rows.map(({ id, evaluations }) => [id, evaluations])).toEqual([['former', 31]]);
    for (let i = 0; i < 4; i += 1) await ask(last, 'anything').expect(200);
    expect(await counts(last)).toBe(35);
    await last.stop();
    await store.stop();
    folder.remove();
  }, 60_000);
});

describe('while Redis is away', () => {
  it('decisions use memory and are marked as stale, then stop, and recover by themselves', async () => {
    const redis = await RedisServer.start();
    const service = await startService({ REDIS_URL: redis.url, BRAIN_MAX_STALE_SECONDS: '4' });
    try {
      await service.post(BASE, allowing('p', 'work')).expect(201);
      expect((await ask(service, 'work').expect(200)).body.stale).toBeUndefined();
      redis.freeze();
      const met: string[] = [];
      await until(
        async () => {
          const { status, body } = await ask(service, 'work');
          const what = status === 200 ? (body.stale ? 'stale' : 'fresh') : `${status} ${body.code}`;
          if (status === 200) expect(body.allowed).toBe(true);
          if (met.at(-1) !== what) met.push(what);
          if (what === 'stale') {
            const ready = await service.get('/readyz');
            if (ready.status === 200) expect(ready.body.warnings).not.toEqual([]);
          }
          return status !== 200;
        },
        20_000,
        'the end of the grace',
      );
      expect(met).toEqual(['fresh', 'stale', '503 policies_stale']);
      expect((await ask(service, 'work')).headers['retry-after']).toBeDefined();
      await service.get('/api/policy/health').expect(503);
      await service.get('/readyz').expect(503);
      await service.post(BASE, allowing('q', 'other')).expect(503);
      redis.thaw();
      await until(async () => (await ask(service, 'work')).status === 200, 15_000, 'the return');
      await until(
        async () => (await ask(service, 'work')).body.stale === undefined,
        15_000,
        'the end of staleness',
      );
      await service.get('/readyz').expect(200);
      await service.post(BASE, allowing('r', 'other')).expect(201);
    } finally {
      redis.thaw();
      await service.stop();
      await redis.stop();
    }
  }, 90_000);
});

describe('a start while Redis is away', () => {
  it('answers 503 and allows nothing until the policies are read', async () => {
    const redis = await RedisServer.start();
    const first = await startService({ REDIS_URL: redis.url });
    await first.post(BASE, allowing('p', 'work')).expect(201);
    await first.stop();
    redis.freeze();
    const service = await startService({ REDIS_URL: redis.url });
    const bodies: [path: string, body: object][] = [
      ['/api/policy/evaluate', { agent_id: 'a', action: 'work' }],
      ['/api/policy/evaluate/batch', { evaluations: [{ agent_id: 'a', action: 'work' }] }],
      ['/access/v1/evaluation', authzen('work')],
    ];
    try {
      for (const [path, body] of bodies) {
        const answer = await service.post(path, body);
        expect([path, answer.status, answer.body.code]).toEqual([path, 503, 'policies_unknown']);
        expect(answer.headers['retry-after']).toBe('1');
      }
      await service.get('/api/policy/health').expect(503);
      await service.get('/readyz').expect(503);
      redis.thaw();
      await until(async () => (await ask(service, 'work')).status === 200, 15_000, 'the first decision');
      expect(await allows(service, 'work')).toBe(true);
      expect(await allows(service, 'play')).toBe(false);
    } finally {
      redis.thaw();
      await service.stop();
      await redis.stop();
    }
  }, 60_000);
});

describe('durable decisions', () => {
  it('are in the event log before they are answered', async () => {
    for (const [, startStore] of STORES) {
      const store = await startStore();
      const service = await startService({ ...store.env, BRAIN_DECISIONS: 'durable' });
      const told = async (): Promise<string[]> => {
        const { body } = await service.get('/api/events?subject=a&order=asc&limit=500').expect(200);
        return (body.events as Envelope[]).map(
          ({ payload }) => (payload as { decision_id: string }).decision_id,
        );
      };
      for (let i = 0; i < 5; i += 1) {
        const { body } = await ask(service, 'undecided').expect(200);
        expect((await told()).slice(-2)).toEqual([body.decision_id, body.decision_id]);
      }
      const evaluations = Array.from({ length: 100 }, () => ({ agent_id: 'a', action: 'x' }));
      const batch = await service.post('/api/policy/evaluate/batch', { evaluations }).expect(200);
      const { decisions } = batch.body as { decisions: Decision[] };
      expect((await told()).slice(-200)).toEqual(
        decisions.flatMap(({ decision_id }) => [decision_id, decision_id]),
      );
      const idOf = ({ context }: { context: { decision_id: string } }): string => context.decision_id;
      const one = await service.post('/access/v1/evaluation', authzen('x')).expect(200);
      expect((await told()).slice(-2)).toEqual([idOf(one.body), idOf(one.body)]);
      const several = { ...authzen('x'), evaluations: [{}, { action: { name: 'y' } }] };
      const many = await service.post('/access/v1/evaluations', several).expect(200);
      const ids = (many.body as { evaluations: Parameters<typeof idOf>[0][] }).evaluations.map(idOf);
      expect((await told()).slice(-4)).toEqual(ids.flatMap((id) => [id, id]));
      await service.stop();
      await store.stop();
    }
  }, 60_000);

  it('are refused within two seconds while the event log is down', async () => {
    const redis = await RedisServer.start();
    const service = await startService({ REDIS_URL: redis.url, BRAIN_DECISIONS: 'durable' });
    try {
      await service.post(BASE, allowing('p', 'work')).expect(201);
      await ask(service, 'work').expect(200);
      redis.freeze();
      const several = { ...authzen('work'), evaluations: [{}, { action: { name: 'play' } }] };
      const asks = [
        () => ask(service, 'work'),
        () => service.post('/access/v1/evaluation', authzen('work')),
        () => service.post('/access/v1/evaluations', several),
      ];
      for (const one of asks) {
        const startMs = performance.now();
        const { status, body, headers } = await one();
        expect([status, body.code]).toEqual([503, 'decision_not_recorded']);
        expect([body.allowed, body.decision, body.evaluations]).toEqual([undefined, undefined, undefined]);
        expect(headers['retry-after']).toBe('1');
        expect(performance.now() - startMs).toBeLessThan(2500);
      }
      redis.thaw();
      await until(async () => (await ask(service, 'work')).status === 200, 15_000, 'the return');
    } finally {
      redis.thaw();
      await service.stop();
      await redis.stop();
    }
  }, 60_000);
});

describe('the built service', () => {
  it('decides while it reads YAML in a thread', async () => {
    const folder = temporaryFolder();
    const service = await ServiceProcess.start({ BRAIN_DATA_DIR: folder.path });
    try {
      const rules = Array.from(
        { length: 900 },
        (_, i) =>
          `      - name: rule ${i}\n        effect: deny\n        conditions:\n          - { field: action, operator: ==, value: a${i} }\n`,
      );
      const text = `policies:\n  - name: Large\n    rules:\n${rules.join('')}`;
      let importing = true;
      const imported = fetch(`${service.url}/api/policy/import`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${ADMIN}`, 'Content-Type': 'application/yaml' },
        body: text,
      }).finally(() => {
        importing = false;
      });
      let slowestMs = 0;
      while (importing) {
        const { status, ms } = await service.post('/api/policy/evaluate', { agent_id: 'a', action: 'b' });
        expect(status).toBe(200);
        slowestMs = Math.max(slowestMs, ms);
        await sleep(5);
      }
      expect((await imported).status).toBe(200);
      process.stderr.write(`the slowest decision meanwhile took ${Math.round(slowestMs)} ms\n`);
      expect(slowestMs).toBeLessThan(1000);
      const denied = await service.post('/api/policy/evaluate', { agent_id: 'a', action: 'a899' });
      expect(denied.body).toMatchObject({ matched_policy: 'large', matched_rule: 'rule_899' });
    } finally {
      await service.stop();
      folder.remove();
    }
  }, 60_000);
});
