/** A replica whose wall clock is a year ahead of the clock of Redis. Ages and expiries must go by the clock of Redis. */
import { LogTrimmer } from '../src/events/trimmer.js';
import type { Retention } from '../src/storage/retention.js';
import { type Service, startService } from './support/service.js';
import { type RunningStore, startRedis } from './support/stores.js';
import { until } from './support/until.js';

const YEAR_SECONDS = 365 * 86_400;
const SOON_MS = 10_000;

describe('a replica on Redis whose clock is a year ahead', () => {
  let store: RunningStore;
  let service: Service;
  const { now } = Date;

  beforeEach(async () => {
    store = await startRedis();
    service = await startService(store.env);
  }, 60_000);
  afterEach(async () => {
    jest.restoreAllMocks();
    await service.stop();
    await store.stop();
  });

  /** Commands that are on their way at the jump count as late. */
  const jump = async (): Promise<void> => {
    jest.spyOn(Date, 'now').mockImplementation(() => now() + YEAR_SECONDS * 1000);
    const works = async (): Promise<boolean> => (await service.get('/readyz')).status === 200;
    await until(works, SOON_MS, 'the readiness after the jump');
  };
  const made = async (path: string, body: object): Promise<string> =>
    String(((await service.post(path, body).expect(201)).body as { id: unknown }).id);
  const report = async (): Promise<void> => {
    const event = { severity: 'WARNING', type: 'POLICY_VIOLATION', message: 'm' };
    await service.post('/api/immune/event', event).expect(200);
  };

  it('removes nothing that is young by the clock of Redis', async () => {
    const mission = await made('/api/missions', { name: 'm' });
    await service.post(`/api/missions/${mission}/status`, { status: 'CANCELLED' }).expect(200);
    const threat = await made('/api/threats', { type: 't', source: 's', severity: 'LOW' });
    await service.post(`/api/threats/${threat}/status`, { status: 'MITIGATED' }).expect(200);
    await report();
    await service.post('/api/policy/policies', { policy_id: 'p', name: 'p' }).expect(201);
    await service.put('/api/policy/policies/p', { name: 'q' }).expect(200);
    const expires_at = now() / 1000 + 86_400;
    const key = await made('/api/keys', { name: 'k', role: 'viewer', expires_at });
    await jump();
    for (const domain of ['missions', 'threats', 'immune', 'policy']) {
      const retention = service.app.get<Retention<unknown>>(`${domain}-retention`);
      expect([domain, await retention.sweep()]).toEqual([domain, 0]);
    }
    expect(await service.app.get<Retention<unknown>>('key-expiry').sweep()).toBe(0);
    expect(await service.app.get(LogTrimmer).sweep()).toBe(0);
    // The trimmer also looks by itself.
    expect(await service.events({ type: 'stream.trimmed' })).toEqual([]);
    await made('/api/keys', { name: 'l', role: 'viewer' });
    const { keys } = (await service.get('/api/keys').expect(200)).body as { keys: { id: string }[] };
    expect(keys.map(({ id }) => id)).toContain(key);
  });

  it('accepts a key until it expires by the clock of Redis, and counts new reports', async () => {
    const expires_at = now() / 1000 + 86_400;
    const { body } = await service.post('/api/keys', { name: 'k', role: 'admin', expires_at }).expect(201);
    await report();
    await jump();
    await service.get('/api/missions', (body as { key: string }).key).expect(200);
    expect((await service.get('/api/immune/health')).body).toMatchObject({ active_issues: 1 });
  });
});
