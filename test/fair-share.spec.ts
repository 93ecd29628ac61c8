/** No principal pushes the decisions of others out of the log, and every decision is recorded or in a sum. On both stores. */
import type { Envelope } from '../src/events/event.js';
import type { Service } from './support/service.js';
import { STORES, startEmbedded, withService } from './support/stores.js';
import { until } from './support/until.js';

interface Summed {
  asked_by: string;
  reasons: string[];
  count: number;
  denied: number;
  entries: { agent_id: string; action: string; count: number; first_decision_id: string }[];
  other?: { count: number };
}

const BATCH = 1000;
const THEFTS = 25;

async function keyFor(service: Service, name: string): Promise<{ id: string; key: string }> {
  const request = { name, role: 'agent', agents: [name, `${name}-*`] };
  const { body } = await service.post('/api/keys', request).expect(201);
  return body as { id: string; key: string };
}

/** Sends batches of denied decisions one after another; each of them makes two events. */
async function flood(service: Service, key: string, batches: number): Promise<void> {
  const evaluations = Array.from({ length: BATCH }, (_, i) => ({ agent_id: 'noise', action: `n${i % 40}` }));
  for (let n = 0; n < batches; n += 1)
    await service.post('/api/policy/evaluate/batch', { evaluations }, key).expect(200);
}

const summedIn = (events: Envelope[]): Summed[] => events.map(({ payload }) => payload as Summed);
const total = (sums: Summed[]): number => sums.reduce((sum, { count }) => sum + count, 0);

const FLOODS = [
  { what: 'from two connections, with a quota', quota: 20_000, connections: 2, batches: 20 },
  { what: 'from sixty connections, without a quota', quota: 0, connections: 60, batches: 1 },
];

describe.each(STORES)('a flood of decisions on %s', (_name, startStore) => {
  it.each(FLOODS)(
    '$what, takes no room from another key, and each of its own is recorded or summed up',
    async (one) => {
      const { quota, connections, batches } = one;
      await withService(
        startStore,
        { BRAIN_DECISIONS_RECORDED_PER_MINUTE: String(quota) },
        async (service) => {
          const [noise, thief] = [await keyFor(service, 'noise'), await keyFor(service, 'thief')];
          const senders = Array.from({ length: connections }, () => flood(service, noise.key, batches));
          const flooding = Promise.all(senders);
          for (let i = 0; i < THEFTS; i += 1)
            await service
              .post('/api/policy/evaluate', { agent_id: `thief-${i}`, action: 'steal' }, thief.key)
              .expect(200);
          await flooding;
          const asked = connections * batches * BATCH;
          const sums = async (): Promise<Summed[]> =>
            summedIn(await service.events({ type: 'policy.decisions_summed' }));
          const { body: stats } = await service.get('/api/policy/stats').expect(200);
          expect((stats as { total_evaluations: number }).total_evaluations).toBe(asked + THEFTS);
          const recorded = (await service.events({ type: 'policy.action_denied', subject: 'noise' })).length;
          await until(async () => total(await sums()) === asked - recorded, 10_000, 'the last sum');
          for (let i = 0; i < THEFTS; i += 1)
            expect(
              await service.events({ subject: `thief-${i}`, type: 'policy.action_denied' }),
            ).toHaveLength(1);
          const all = await sums();
          expect(recorded).toBeGreaterThanOrEqual(quota);
          if (quota > 0) expect(all.length).toBeGreaterThan(0);
          for (const one of all) {
            expect([one.asked_by, one.denied]).toEqual([noise.id, one.count]);
            expect(one.entries.reduce((sum, { count }) => sum + count, one.other?.count ?? 0)).toBe(
              one.count,
            );
          }
          expect(await service.events({ subject: noise.id })).toHaveLength(all.length + 1);
          expect(await service.events({ type: 'stream.gap' })).toEqual([]);
        },
      );
    },
    120_000,
  );
});

describe('decisions beyond the quota', () => {
  const quota = 10;

  it('are summed up and still answered', async () => {
    await withService(
      startEmbedded,
      { BRAIN_DECISIONS_RECORDED_PER_MINUTE: String(quota) },
      async (service) => {
        const { key } = await keyFor(service, 'noise');
        const first = await service.post('/api/policy/evaluate', { agent_id: 'noise', action: 'a' }, key);
        await flood(service, key, 1);
        await until(
          async () => (await service.events({ type: 'policy.decisions_summed' })).length > 0,
          10_000,
          'the sum',
        );
        const [sum] = summedIn(await service.events({ type: 'policy.decisions_summed' }));
        expect(sum).toMatchObject({
          reasons: ['quota'],
          count: 1 + BATCH - quota,
          denied: 1 + BATCH - quota,
        });
        expect(sum.entries).toHaveLength(40);
        const kept = await service.events({ type: 'policy.rule_evaluated' });
        expect(kept).toHaveLength(quota);
        expect(kept[0].payload).toMatchObject({
          decision_id: (first.body as { decision_id: string }).decision_id,
        });
      },
    );
  });

  it('are refused if each decision must be recorded', async () => {
    const env = { BRAIN_DECISIONS_RECORDED_PER_MINUTE: String(quota), BRAIN_DECISIONS: 'durable' };
    await withService(startEmbedded, env, async (service) => {
      const [noise, thief] = [await keyFor(service, 'noise'), await keyFor(service, 'thief')];
      await flood(service, noise.key, 1);
      const single = { agent_id: 'noise', action: 'a' };
      const evaluations = [{ subject: { type: 'agent', id: 'noise' } }];
      const authzen = { action: { name: 'a' }, resource: { type: 't', id: 'i' }, evaluations };
      const refused = [
        await service.post('/api/policy/evaluate', single, noise.key),
        await service.post('/api/policy/evaluate/batch', { evaluations: [single] }, noise.key),
        await service.post('/access/v1/evaluations', authzen, noise.key),
      ];
      for (const { status, body, headers } of refused) {
        expect([status, (body as { code: string }).code]).toEqual([429, 'too_many_decisions']);
        expect(Number(headers['retry-after'])).toBeGreaterThan(60);
      }
      const other = { agent_id: 'thief', action: 'steal' };
      await service.post('/api/policy/evaluate', other, thief.key).expect(200);
      expect(await service.events({ type: 'policy.decisions_summed' })).toEqual([]);
      expect(await service.events({ type: 'policy.rule_evaluated' })).toHaveLength(BATCH + 1);
    });
  });

  it('have no limit with 0', async () => {
    await withService(startEmbedded, { BRAIN_DECISIONS_RECORDED_PER_MINUTE: '0' }, async (service) => {
      const { key } = await keyFor(service, 'noise');
      await flood(service, key, 2);
      expect(await service.events({ type: 'policy.rule_evaluated', subject: 'noise' })).toHaveLength(
        2 * BATCH,
      );
    });
  });
});
