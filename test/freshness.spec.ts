/**
 * The age of policies and keys in memory counts from when they were read, not from the last answer of the store. After an
 * outage of the store nothing is allowed until policies and keys have been read again.
 */
import { sleep } from '../src/shared/clock.js';
import { type ProcessAnswer, processesWith, type ServiceProcess } from './support/process.js';
import { RedisServer } from './support/redis-server.js';
import { until } from './support/until.js';
import { Wire } from './support/wire.js';

const start = processesWith({ BRAIN_LOG_REQUESTS: 'off' });
const POLICIES = '/api/policy/policies';
const GRACE_SECONDS = 2;
const AWAY_MS = 20_000;

const policy = (effect: 'allow' | 'deny') => ({
  policy_id: 'gate',
  name: 'gate',
  rules: [
    {
      rule_id: 'work',
      name: 'work',
      effect,
      conditions: [{ field: 'action', operator: '==', value: 'work' }],
    },
  ],
});

const ask = (service: ServiceProcess, key?: string): Promise<ProcessAnswer> =>
  service.post(
    '/api/policy/evaluate',
    { agent_id: 'a', action: 'work' },
    key === undefined ? {} : { Authorization: `Bearer ${key}` },
  );

/** An answer in one word. */
function verdict({ status, body }: ProcessAnswer): string {
  if (status !== 200) return `${status} ${String(body.code)}`;
  return `${body.allowed ? 'allowed' : 'denied'}${body.stale ? ' stale' : ''}`;
}

describe('a replica that reaches Redis again', () => {
  let redis: RedisServer;
  let wire: Wire;
  let near: ServiceProcess;
  let far: ServiceProcess;

  beforeEach(async () => {
    redis = await RedisServer.start();
    wire = await Wire.to(redis.port);
    near = await start({ REDIS_URL: redis.url });
    far = await start({ REDIS_URL: wire.url, BRAIN_MAX_STALE_SECONDS: String(GRACE_SECONDS) });
    await near.post(POLICIES, policy('allow'));
    await until(
      async () => verdict(await ask(far)) === 'allowed',
      AWAY_MS,
      'the policy on the other replica',
    );
  }, 60_000);
  afterEach(async () => {
    await wire.close();
    await redis.stop();
  });

  it('allows nothing by old policies, and no revoked key, until it has read policies and keys again', async () => {
    const made = await near.post('/api/keys', { name: 'agent', role: 'agent', agents: ['a'] });
    const key = made.body.key as string;
    await until(
      async () => verdict(await ask(far, key)) === 'allowed',
      AWAY_MS,
      'the key on the other replica',
    );
    wire.delayMs = 50;
    wire.tear();
    await until(async () => (await ask(far)).status === 503, AWAY_MS, 'the end of the grace');
    expect((await near.put(`${POLICIES}/gate`, policy('deny'))).status).toBe(200);
    expect((await near.delete(`/api/keys/${made.body.id as string}`)).status).toBe(204);
    expect(verdict(await ask(near))).toBe('denied');
    wire.mend();
    const met = { admin: new Set<string>(), revoked: new Set<string>() };
    await until(
      async () => {
        const [admin, revoked] = await Promise.all([ask(far), ask(far, key)]);
        met.admin.add(verdict(admin));
        met.revoked.add(verdict(revoked));
        return admin.status === 200 && revoked.status === 401;
      },
      AWAY_MS,
      'the return of the replica',
      1,
    );
    expect([...met.admin].filter((word) => word.startsWith('allowed'))).toEqual([]);
    expect([...met.revoked].filter((word) => /^(allowed|denied)/.test(word))).toEqual([]);
  }, 60_000);

  it('after being stopped marks its decisions as stale until it has read the missed changes', async () => {
    for (const effect of ['deny', 'allow', 'deny'] as const) {
      far.kill('SIGSTOP');
      await sleep(1500);
      expect((await near.put(`${POLICIES}/gate`, policy(effect))).status).toBe(200);
      const asked = Array.from({ length: 5 }, () => ask(far));
      await sleep(100);
      far.kill('SIGCONT');
      const old = effect === 'deny' ? 'allowed' : 'denied';
      expect((await Promise.all(asked)).map(verdict)).not.toContain(old);
      const heard = async (): Promise<boolean> =>
        verdict(await ask(far)) === (effect === 'deny' ? 'denied' : 'allowed');
      await until(heard, AWAY_MS, 'the change on the replica that was stopped');
    }
  }, 60_000);

  it('after being stopped for longer than the grace time decides nothing by old policies', async () => {
    far.kill('SIGSTOP');
    await sleep(GRACE_SECONDS * 1000 + 500);
    expect((await near.put(`${POLICIES}/gate`, policy('deny'))).status).toBe(200);
    const asked = Array.from({ length: 5 }, () => ask(far));
    await sleep(100);
    far.kill('SIGCONT');
    const words = (await Promise.all(asked)).map(verdict);
    expect(words.filter((word) => word.startsWith('allowed'))).toEqual([]);
  }, 60_000);
});
