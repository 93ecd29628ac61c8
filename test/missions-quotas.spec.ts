/** What one principal may take of the missions: how many wait, how many run, their priority; and how missions go away. */

import { MISSION_RESULTS, MISSIONS } from '../src/missions/missions.collection.js';
import type { Mission } from '../src/missions/missions.dto.js';
import { DAY_SECONDS } from '../src/shared/clock.js';
import type { Retention } from '../src/storage/retention.js';
import { Store } from '../src/storage/store.js';
import { expectTrueStats, hasStatus, logOf, missionsOn, readMission, SOON_MS } from './support/missions.js';
import { STORES, startEmbedded, withService } from './support/stores.js';
import { json } from './support/target.js';
import { until } from './support/until.js';

const MOST = 5;

describe.each(STORES)('missions on %s', (_name, startStore) => {
  const { service, target, make, move, execute, run, eventsOf, keyOf, http } = missionsOn(startStore, {
    BRAIN_MISSIONS_MAX_PENDING: String(MOST),
    BRAIN_MISSIONS_CONCURRENCY: '4',
  });
  const codeOf = ({
    status,
    body,
  }: {
    status: number;
    body: { code?: string };
  }): [number, string | undefined] => [status, body.code];

  describe('that wait', () => {
    const post = (key: string, over: object = {}) =>
      service.post('/api/missions', { name: 'm', ...over }, key);

    it('are at most so many for each principal, exactly, however many are made at once', async () => {
      const { key, id } = await keyOf('agent');
      const answers = await Promise.all(Array.from({ length: 25 }, () => post(key)));
      expect(answers.filter(({ status }) => status === 201)).toHaveLength(MOST);
      const refused = answers.filter(({ status }) => status !== 201);
      for (const answer of refused) expect(codeOf(answer)).toEqual([409, 'too_many_missions']);
      expect(refused[0]?.body.detail).toContain(`/api/missions?status=PENDING&created_by=${id}`);
      const list = await service.get(`/api/missions?status=PENDING&created_by=${id}`, key).expect(200);
      expect(list.body.total).toBe(MOST);
      // Others have their own number.
      await post((await keyOf('agent')).key).expect(201);
      await expectTrueStats(service);
    });

    it('make room when one of them is cancelled, runs or is deleted, and a repeated request is no new one', async () => {
      const { key } = await keyOf('operator');
      const ids: string[] = [];
      for (let i = 0; i < MOST; i += 1) ids.push((await post(key).expect(201)).body.id as string);
      expect(codeOf(await post(key))).toEqual([409, 'too_many_missions']);
      expect(codeOf(await post(key, { id: ids[0] }))).toEqual([409, 'mission_exists']);
      await move(ids[0], 'CANCELLED').expect(200);
      const once = () => post(key).set('Idempotency-Key', 'room-once');
      const { body } = await once().expect(201);
      expect((await once().expect(201)).body).toEqual(body);
      await move(ids[1], 'RUNNING').expect(200);
      await post(key).expect(201);
      await service.delete(`/api/missions/${ids[2]}`).expect(204);
      await post(key).expect(201);
      expect(codeOf(await post(key))).toEqual([409, 'too_many_missions']);
    });
  });

  describe('with the priority CRITICAL', () => {
    it('are made by operators and admins only', async () => {
      const { key } = await keyOf('agent');
      const critical = { name: 'm', priority: 'CRITICAL' };
      const refused = await service.post('/api/missions', critical, key);
      expect(codeOf(refused)).toEqual([403, 'priority_not_allowed']);
      expect(refused.body.detail).toContain('missions:prioritize');
      await service.post('/api/missions', { ...critical, priority: 'HIGH' }, key).expect(201);
      await service.post('/api/missions', critical, (await keyOf('operator')).key).expect(201);
      await service.post('/api/missions', critical).expect(201);
    });
  });

  describe('of one agent', () => {
    it('leave slots to others: the mission of an operator runs at once', async () => {
      await service
        .post('/api/policy/policies', {
          name: 'Agents',
          rules: [
            {
              name: 'Agents may call',
              effect: 'allow',
              conditions: [{ field: 'agent_role', operator: '==', value: 'agent' }],
            },
          ],
        })
        .expect(201);
      const answers: (() => void)[] = [];
      target.on('/slow', (_asked, response) => answers.push(() => json(response, {})));
      const { key } = await keyOf('agent');
      const slow: string[] = [];
      for (let i = 0; i < MOST; i += 1) {
        const { id } = await make({ priority: 'HIGH', steps: [http('/slow')] }, key);
        slow.push(id);
        await execute(id, key).expect(202);
      }
      await until(() => answers.length === 2, SOON_MS, 'the share of the agent');
      await run({ priority: 'LOW', steps: [http('/fast')] });
      expect(answers).toHaveLength(2);
      const answering = setInterval(() => {
        for (const answer of answers.splice(0)) answer();
      }, 20);
      for (const id of slow) await hasStatus(service, id, 'COMPLETED', SOON_MS);
      clearInterval(answering);
    }, 60_000);
  });

  describe('that nobody touches', () => {
    const sweep = (): Promise<number> =>
      service.app.get<string, Retention<unknown>>('missions-expiry').sweep();
    /** As if the last change of the mission was so many days ago, by the store's time. */
    const age = async (id: string, days: number): Promise<void> => {
      const store = service.app.get(Store);
      await store.transaction(async (tx) => {
        const mission = await tx.get(MISSIONS, id);
        if (mission) tx.put(MISSIONS, { ...mission, touched_at: mission.touched_at - days * DAY_SECONDS });
      });
    };

    it('are cancelled after a month, with the usual event and line, by the service itself', async () => {
      const { key } = await keyOf('operator');
      const [old, young, touched, running] = await Promise.all([1, 2, 3, 4].map(() => make({}, key)));
      if (!old || !young || !touched || !running) throw new Error('a mission is missing');
      for (const { id } of [old, touched, running]) await age(id, 31);
      await age(young.id, 29);
      await move(running.id, 'RUNNING').expect(200);
      const steps = [{ name: 'nap', kind: 'wait', params: { seconds: 3600 } }];
      const waiting = await make({ steps });
      await execute(waiting.id).expect(202);
      await hasStatus(service, waiting.id, 'RUNNING', SOON_MS);
      await age(waiting.id, 31);
      // A log line is a touch.
      await service.post(`/api/missions/${touched.id}/log`, { message: 'still wanted' }).expect(202);
      expect(await sweep()).toBe(1);
      expect(await sweep()).toBe(0);
      expect(await readMission(service, old.id)).toMatchObject({
        status: 'CANCELLED',
        version: old.version + 1,
        finished_at: expect.any(Number),
      });
      for (const [{ id }, status] of [
        [young, 'PENDING'],
        [touched, 'PENDING'],
        [running, 'RUNNING'],
        [waiting, 'RUNNING'],
      ] as const)
        expect((await readMission(service, id)).status).toBe(status);
      expect((await logOf(service, old.id)).at(-1)).toMatchObject({
        message: 'Mission status changed',
        data: { from: 'PENDING', to: 'CANCELLED', reason: 'expired' },
      });
      const changed = (await eventsOf(old.id)).find(({ type }) => type === 'mission.status_changed');
      expect(changed).toMatchObject({
        payload: { old_status: 'PENDING', new_status: 'CANCELLED', reason: 'expired' },
        meta: { actor: { id: 'brain:mission', role: 'service' } },
      });
      await expectTrueStats(service);
    }, 60_000);
  });

  describe('that are deleted', () => {
    const remove = (id: string, key?: string) => service.delete(`/api/missions/${id}`, key);

    it('are gone with their log, results, index rows and counts; the event says who did it', async () => {
      target.on('/large', (_asked, response) => json(response, { text: 'a'.repeat(100_000) }));
      const mission = await run({ name: 'Fetch much', steps: [http('/large')] });
      const store = service.app.get(Store);
      const results = (await store.counts(MISSION_RESULTS)).total;
      await remove(mission.id).expect(204).expect('');
      expect(codeOf(await service.get(`/api/missions/${mission.id}`))).toEqual([404, 'mission_not_found']);
      expect((await store.counts(MISSION_RESULTS)).total).toBe(results - 1);
      expect((await store.entries(MISSIONS, mission.id, { limit: 10 })).entries).toEqual([]);
      expect((await eventsOf(mission.id)).at(-1)).toMatchObject({
        type: 'mission.deleted',
        payload: {
          mission_id: mission.id,
          name: 'Fetch much',
          status: 'COMPLETED',
          deleted_by: 'bootstrap',
          deleted_at: expect.any(Number),
        },
        meta: { actor: { id: 'bootstrap' } },
      });
      expect(codeOf(await remove(mission.id))).toEqual([404, 'mission_not_found']);
      await expectTrueStats(service);
    });

    it('are not RUNNING or due: those must be cancelled first', async () => {
      const running = await make();
      await move(running.id, 'RUNNING').expect(200);
      const waiting = await make({ steps: [{ name: 'nap', kind: 'wait', params: { seconds: 3600 } }] });
      await execute(waiting.id).expect(202);
      for (const { id } of [running, waiting]) {
        const answer = await remove(id);
        expect(codeOf(answer)).toEqual([409, 'mission_active']);
        expect(answer.body.detail).toContain('CANCELLED');
        await move(id, 'CANCELLED').expect(200);
        await remove(id).expect(204);
      }
    });

    it('have the version that the caller knows, and a caller who is an admin', async () => {
      const { id, version }: Mission = await make();
      expect(codeOf(await remove(id).set('If-Match', `"${version + 1}"`))).toEqual([412, 'version_mismatch']);
      for (const role of ['operator', 'viewer', 'agent'])
        expect((await remove(id, (await keyOf(role)).key)).status).toBe(403);
      await remove(id).set('If-Match', `"${version}"`).expect(204);
    });
  });
});

describe('a full store', () => {
  it('is emptied by deleting missions', async () => {
    const env = { BRAIN_EMBEDDED_MAX_GIB: '0.02', BRAIN_LOG_REQUESTS: 'off' };
    await withService(startEmbedded, env, async (service) => {
      const post = () => service.post('/api/missions', { name: 'm', data: { text: 'a'.repeat(200_000) } });
      const ids: string[] = [];
      let answer = await post();
      for (; answer.status === 201 && ids.length < 1000; answer = await post())
        ids.push(answer.body.id as string);
      expect([answer.status, answer.body.code]).toEqual([503, 'storage_full']);
      for (const id of ids) await service.delete(`/api/missions/${id}`).expect(204);
      expect((await post()).status).toBe(201);
    });
  }, 60_000);
});
