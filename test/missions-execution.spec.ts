/** How the worker of this service runs the steps of missions, on both stores. */
import type { Mission } from '../src/missions/missions.dto.js';
import { sleep } from '../src/shared/clock.js';
import { hasStatus, logOf, missionsOn, readMission, SOON_MS, templateOf } from './support/missions.js';
import { STORES } from './support/stores.js';
import { json } from './support/target.js';
import { until } from './support/until.js';

const quick = { backoff_seconds: 0 };

describe.each(STORES)('missions on %s', (_name, startStore) => {
  const { service, target, make, move, execute, run, messagesOf, eventsOf, http } = missionsOn(startStore);

  describe('execution', () => {
    it('completes a mission without steps', async () => {
      const mission = await run({});
      expect(mission).toMatchObject({
        attempts: 1,
        error: null,
        result: {},
        progress: { done: 0, total: 0 },
      });
      expect(mission.finished_at as number).toBeGreaterThanOrEqual(mission.started_at as number);
      expect(await messagesOf(mission.id)).toEqual([
        'Mission created',
        'Mission status changed',
        'Mission status changed',
      ]);
      await execute(mission.id).expect(409);
      await service.post(`/api/missions/${mission.id}/retry`).expect(409);
    });

    it('keeps what a template inserts within its part of the URL', async () => {
      target.on('/items/..%2Fsecret%3Fx%3D1', (_asked, response) => json(response, { is: 'the item' }));
      const steps = [http(`/items/${templateOf('data.name')}`, { name: 'get' })];
      const mission = await run({ steps, data: { name: '../secret?x=1' } });
      expect(mission.result).toMatchObject({ get: { result: { body: { is: 'the item' } } } });
    });

    it('runs the steps in order, with values of the mission and of earlier steps', async () => {
      target.on('/first', (_asked, response) => json(response, { token: { id: 7 }, list: ['a', 'b'] }));
      const steps = [
        http('/first', { name: 'fetch' }, { headers: { 'X-Ticket': templateOf('data.ticket') } }),
        { name: 'rest', kind: 'wait', params: { seconds: templateOf('data.pause') } },
        http(
          `/second?id=${templateOf('steps.fetch.result.body.token.id')}`,
          { name: 'send' },
          {
            body: {
              list: templateOf('steps.fetch.result.body.list'),
              text: `${templateOf('data.ticket')}: ${templateOf('steps.rest.result')}`,
            },
          },
        ),
        {
          name: 'tell',
          kind: 'immune_event',
          params: {
            severity: 'INFO',
            type: 'SELF_HEALING_ACTION',
            message: `It was ${templateOf('steps.send.result.status')}`,
          },
        },
      ];
      const mission = await run({ steps, data: { ticket: 'SEC-17', pause: 0.05 } });
      expect(mission.progress).toEqual({ done: 4, total: 4 });
      expect(mission.result).toMatchObject({
        fetch: { result: { status: 200, body: { token: { id: 7 } } }, decision_id: expect.any(String) },
        rest: { result: { waited_seconds: 0.05 } },
        tell: { result: { event_id: expect.any(Number) } },
      });
      expect(target.asked.find(({ path }) => path === '/first')?.headers['x-ticket']).toBe('SEC-17');
      const sent = target.asked.find(({ path }) => path === '/second?id=7');
      expect(JSON.parse(sent?.body as string)).toEqual({
        list: ['a', 'b'],
        text: 'SEC-17: {"waited_seconds":0.05}',
      });
      const { tell } = mission.result as { tell: { result: { event_id: number } } };
      const { events } = (await service.get(`/api/immune/events?agent_id=${mission.agent_id}`).expect(200))
        .body;
      expect(events[0]).toMatchObject({ id: tell.result.event_id, message: 'It was 200' });
    });

    it('runs a mission once even if it is executed three times, and refuses execute while it runs', async () => {
      let release = (): void => undefined;
      target.on('/slow', (_asked, response) => {
        release = () => json(response, {});
      });
      const { id } = await make({ steps: [http('/slow')] });
      const answers = await Promise.all([1, 2, 3].map(() => execute(id)));
      expect(answers.filter(({ status }) => ![202, 409].includes(status))).toEqual([]);
      await until(() => target.times('/slow') === 1, SOON_MS, 'the request');
      expect((await execute(id).expect(409)).body.code).toBe('not_executable');
      const held = await move(id, 'COMPLETED').expect(409);
      expect(held.body.code).toBe('mission_held');
      release();
      expect(await hasStatus(service, id, 'COMPLETED', SOON_MS)).toMatchObject({ attempts: 1 });
      expect(target.times('/slow')).toBe(1);
    });

    it('tries a failed step again after a pause, and logs each failure', async () => {
      let times = 0;
      target.on('/flaky', (_asked, response) => {
        times += 1;
        json(response, {}, times < 3 ? 503 : 200);
      });
      const mission = await run({
        steps: [http('/flaky', { retry: { attempts: 3, backoff_seconds: 0.2 } })],
      });
      expect(times).toBe(3);
      expect(mission).toMatchObject({ attempts: 1, error: null });
      const [one, two, three] = target.asked.filter(({ path }) => path === '/flaky');
      expect(two.atMs - one.atMs).toBeGreaterThan(95);
      expect(three.atMs - two.atMs).toBeGreaterThan(190);
      expect(new Set(target.keys('/flaky').values())).toEqual(new Set([3]));
      const again = (await logOf(service, mission.id)).filter(({ message }) =>
        message.includes('tried again'),
      );
      expect(again.map(({ data }) => [data.code, data.attempt])).toEqual([
        ['unexpected_status', 1],
        ['unexpected_status', 2],
      ]);
    });

    it('fails after the last attempt, with code, message and step', async () => {
      target.on('/down', (_asked, response) => json(response, {}, 500));
      const mission = await run({ steps: [http('/down', { retry: { ...quick, attempts: 2 } })] }, 'FAILED');
      expect(target.times('/down')).toBe(2);
      expect(mission.error).toEqual({
        code: 'unexpected_status',
        message: 'the target answered 500; if that is a success, name it in expected_status',
        step: 'call',
      });
      expect(mission).toMatchObject({ result: null, finished_at: expect.any(Number) });
      const last = (await eventsOf(mission.id)).findLast(({ type }) => type === 'mission.status_changed');
      expect(last?.payload).toMatchObject({
        new_status: 'FAILED',
        reason: `call: ${mission.error?.message}`,
      });
    });

    it('fails at once if another attempt cannot help, for instance with a missing value', async () => {
      const steps = [
        http('/there', { name: 'one' }),
        http('/x', { name: 'two' }, { body: templateOf('steps.one.result.body.no') }),
      ];
      const mission = await run({ steps }, 'FAILED');
      expect(mission.error).toMatchObject({
        code: 'missing_value',
        step: 'two',
        message: `the mission has no value for ${templateOf('steps.one.result.body.no')}; correct the path, or put the value into data`,
      });
      expect(mission.progress).toEqual({ done: 1, total: 2 });
      expect(target.times('/x')).toBe(0);
    });

    it('fails with an invalid value that looks like a template', async () => {
      const steps = [{ name: 'rest', kind: 'wait', params: { seconds: templateOf('data.s') } }];
      const mission = await run({ steps, data: { s: '${forever' } }, 'FAILED');
      expect(mission.error).toMatchObject({ code: 'invalid_params', step: 'rest' });
    });

    it('continues after the failure of a step with continue_on_failure', async () => {
      target.on('/gone', (_asked, response) => json(response, {}, 404));
      const steps = [
        http('/gone', { name: 'one', continue_on_failure: true }),
        http('/after', { name: 'two' }),
      ];
      const mission = await run({ steps });
      expect(mission).toMatchObject({
        error: null,
        progress: { done: 2, total: 2 },
        result: {
          one: { result: null, error: { code: 'unexpected_status' } },
          two: { result: { status: 200 } },
        },
      });
      expect(await messagesOf(mission.id)).toContain('Step failed; the mission continues');
    });

    it('ends a step that takes too long', async () => {
      target.on('/hangs', () => undefined);
      const mission = await run(
        { steps: [http('/hangs', { timeout_seconds: 0.2, retry: { ...quick, attempts: 2 } })] },
        'FAILED',
      );
      expect(mission.error).toMatchObject({
        code: 'timeout',
        message: 'the step took longer than 0.2 s; raise timeout_seconds',
      });
      expect(target.times('/hangs')).toBe(2);
    });

    it('continues after a retry at the step that failed, as a new attempt', async () => {
      let good = false;
      target.on('/fixed', (_asked, response) => json(response, {}, good ? 200 : 400));
      const steps = [http('/before', { name: 'one' }), http('/fixed', { name: 'two' })];
      const { id } = await run({ steps }, 'FAILED');
      good = true;
      const answer = await service.post(`/api/missions/${id}/retry`).expect(202);
      expect(answer.body).toEqual({ status: 'accepted' });
      const mission = await hasStatus(service, id, 'COMPLETED', SOON_MS);
      expect(mission).toMatchObject({ attempts: 2, error: null, progress: { done: 2, total: 2 } });
      expect([target.times('/before'), target.times('/fixed')]).toEqual([1, 2]);
      expect(target.keys('/fixed').size).toBe(2);
    });

    it('is ended by CANCELLED during a step, and the step is aborted', async () => {
      let closed = false;
      target.on('/cancelled', (_asked, response) => {
        response.on('close', () => {
          closed = true;
        });
      });
      const { id } = await make({ steps: [http('/cancelled')] });
      await execute(id).expect(202);
      await until(() => target.times('/cancelled') === 1, SOON_MS, 'the request');
      const cancelled = (await move(id, 'CANCELLED', { reason: 'no more' }).expect(200)).body as Mission;
      expect(cancelled).toMatchObject({ status: 'CANCELLED', finished_at: expect.any(Number) });
      const length = (await logOf(service, id)).length;
      await until(() => closed, 5000, 'the end of the request');
      await sleep(300);
      expect(await readMission(service, id)).toEqual(cancelled);
      expect(await logOf(service, id)).toHaveLength(length);
      await execute(id).expect(409);
    });

    it('is ended by CANCELLED during a wait', async () => {
      const { id } = await make({ steps: [{ name: 'rest', kind: 'wait', params: { seconds: 3600 } }] });
      await execute(id).expect(202);
      const waits = async (): Promise<boolean> => (await messagesOf(id)).includes('Step started');
      await until(waits, SOON_MS, 'the wait');
      expect((await move(id, 'FAILED').expect(409)).body.code).toBe('mission_held');
      await move(id, 'CANCELLED').expect(200);
      expect((await readMission(service, id)).status).toBe('CANCELLED');
    });

    it('stores large results separately, and returns them to readers and later steps', async () => {
      const text = 'x'.repeat(200_000);
      target.on('/large', (_asked, response) => json(response, { text }));
      const steps = [
        http('/large', { name: 'one' }),
        http('/small', { name: 'two' }, { body: templateOf('steps.one.result.body.text') }),
      ];
      const mission = await run({ steps });
      const { one, two } = mission.result as Record<string, { result: { body: object }; bytes?: number }>;
      expect(one.result.body).toEqual({ text });
      expect(one.bytes).toBeGreaterThan(200_000);
      expect(two.bytes).toBeUndefined();
      expect(target.asked.find(({ path }) => path === '/small')?.body).toBe(text);
      const { missions } = (await service.get('/api/missions?status=COMPLETED&limit=1&view=full').expect(200))
        .body;
      expect(missions[0]).toMatchObject({ id: mission.id, result: { one: { result: null } } });
    });
  });
});
