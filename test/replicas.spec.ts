/** No answer depends on which of two replicas on one Redis gives it. */
import { sleep } from '../src/shared/clock.js';
import { twoReplicas } from './support/stores.js';

const report = { type: 't', source: 's', severity: 'LOW', fingerprint: 'one' };

describe('two replicas on one Redis', () => {
  const { one, other } = twoReplicas();

  it('accept a key of the other replica at once, and refuse it within two seconds of its deletion', async () => {
    const made = await one.post('/api/keys', { name: 'short-lived', role: 'viewer' }).expect(201);
    const { id, key } = made.body as { id: string; key: string };
    await other.get('/api/threats', key).expect(200);
    await one.delete(`/api/keys/${id}`).expect(204);
    await one.get('/api/threats', key).expect(401);
    await sleep(2000);
    await other.get('/api/threats', key).expect(401);
  });

  it('count reports to both as one threat', async () => {
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) => (i % 2 ? one : other).post('/api/threats', report)),
    );
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(39);
    const [{ id }] = answers.map(({ body }) => body as { id: string }) as [{ id: string }];
    expect((await other.get(`/api/threats/${id}`).expect(200)).body).toMatchObject({ occurrences: 40 });
  });

  it('return the same answer for an Idempotency-Key', async () => {
    const body = { type: 't', source: 's', severity: 'LOW' };
    const first = await one.post('/api/threats', body).set('Idempotency-Key', 'both').expect(201);
    const second = await other.post('/api/threats', body).set('Idempotency-Key', 'both').expect(201);
    expect(second.body).toEqual(first.body);
  });

  it('return the same lists, statistics and events', async () => {
    const [here, there] = await Promise.all(
      [one, other].map(async (service) => ({
        threats: (await service.get('/api/threats')).body,
        stats: { ...(await service.get('/api/threats/stats/overview')).body.stats, last_updated: 0 },
        events: await service.events(),
      })),
    );
    expect(here).toEqual(there);
    expect(here?.events.length).toBeGreaterThanOrEqual(41);
  });
});
