/** Missions as their users meet them: over HTTP, on both stores, run to their end, with the events read back from the log. */
import type { Envelope } from '../src/events/event.js';
import { MissionWriter } from '../src/missions/mission-writer.js';
import { MISSIONS, type StoredMission } from '../src/missions/missions.collection.js';
import type { LogEntry, Mission } from '../src/missions/missions.dto.js';
import { type MissionStatus, MOVES, PRIORITIES, STATUSES } from '../src/missions/missions.lifecycle.js';
import { sleep } from '../src/shared/clock.js';
import { Store } from '../src/storage/store.js';
import { expectCharter } from './support/charter.js';
import { hasStatus, logOf, pathTo, readMission } from './support/missions.js';
import { until } from './support/redis-server.js';
import { type Service, startService } from './support/service.js';
import { STORES } from './support/stores.js';
import { json, Target } from './support/target.js';

const unknown = '00000000-0000-4000-8000-000000000000';
const PRIVATE = { BRAIN_HTTP_ALLOW_PRIVATE: 'true' };
const of = (path: string): string => `\${${path}}`;
/** Long enough for a busy machine; nothing here takes it. */
const SOON_MS = 15_000;
const quick = { backoff_seconds: 0 };

describe.each(STORES)('missions on %s', (_name, startStore) => {
  let store: Awaited<ReturnType<typeof startStore>>;
  let service: Service;
  let target: Target;

  beforeAll(async () => {
    [store, target] = await Promise.all([startStore(), Target.start()]);
    service = await startService({ ...store.env, ...PRIVATE });
  }, 60_000);
  afterAll(async () => {
    await service.stop();
    await Promise.all([store.stop(), target.stop()]);
  });

  const make = async (over: object = {}, key?: string): Promise<Mission> => {
    const answer = await service.post('/api/missions', { name: 'A mission', ...over }, key);
    expect([answer.body, answer.status]).toEqual([answer.body, 201]);
    return answer.body as Mission;
  };
  const move = (id: string, status: string, more: object = {}, key?: string) =>
    service.post(`/api/missions/${id}/status`, { status, ...more }, key);
  const execute = (id: string, key?: string) => service.post(`/api/missions/${id}/execute`, undefined, key);
  const run = async (over: object, status: MissionStatus = 'COMPLETED'): Promise<Mission> => {
    const { id } = await make(over);
    await execute(id).expect(202);
    return hasStatus(service, id, status, SOON_MS);
  };
  const messagesOf = async (id: string): Promise<string[]> =>
    (await logOf(service, id)).map(({ message }) => message);
  const eventsOf = (id: string): Promise<(Envelope & { position: string })[]> =>
    service.events({ subject: id });
  const keyOf = async (role: string): Promise<{ id: string; key: string }> =>
    (await service.post('/api/keys', { name: `a-${role}`, role }).expect(201)).body as {
      id: string;
      key: string;
    };
  const http = (path: string, over: object = {}, params: object = {}): object => ({
    name: 'call',
    kind: 'http',
    retry: quick,
    params: { url: target.url + path, ...params },
    ...over,
  });

  describe('events', () => {
    it('mission_created', async () => {
      const mission = await make({ name: 'Tell the owner', description: 'of the page', data: { a: 1 } });
      expect(mission).toMatchObject({
        status: 'PENDING',
        priority: 'NORMAL',
        steps: [],
        progress: { done: 0, total: 0 },
        attempts: 0,
        error: null,
        result: null,
        agent_role: 'admin',
        started_at: null,
        version: 1,
      });
      expect(mission.agent_id).toBe(mission.created_by);
      const [created, appended, ...others] = await eventsOf(mission.id);
      expect(others).toEqual([]);
      expect(created).toMatchObject({ type: 'mission.created', source: 'mission_service' });
      expect(created?.payload).toEqual({
        mission_id: mission.id,
        name: 'Tell the owner',
        description: 'of the page',
        status: 'PENDING',
        created_by: mission.created_by,
        created_at: mission.created_at,
      });
      expect(appended?.payload).toMatchObject({ log_level: 'info', message: 'Mission created' });
    });

    it('mission_status_changed', async () => {
      const { id } = await make();
      await move(id, 'RUNNING', { reason: 'begun' }).expect(200);
      const [, , changed, appended, ...others] = await eventsOf(id);
      expect(others).toEqual([]);
      expect(changed?.type).toBe('mission.status_changed');
      expect(changed?.payload).toEqual({
        mission_id: id,
        old_status: 'PENDING',
        new_status: 'RUNNING',
        reason: 'begun',
        changed_at: expect.any(Number),
      });
      expect(appended?.payload).toMatchObject({ message: 'Mission status changed' });
      expect((await logOf(service, id)).at(-1)).toMatchObject({
        data: { from: 'PENDING', to: 'RUNNING', reason: 'begun' },
      });
    });

    it('mission_log_appended', async () => {
      const { id } = await make();
      const line = { timestamp: 1735424567.89, level: 'warning', message: 'Slow', data: { ms: 5 } };
      const answer = await service.post(`/api/missions/${id}/log`, line).expect(202);
      expect(answer.body).toEqual({ status: 'accepted' });
      await service.post(`/api/missions/${id}/log`, { message: 'Just this' }).expect(202);
      expect((await logOf(service, id)).slice(1)).toEqual([
        line,
        { timestamp: expect.any(Number), level: 'info', message: 'Just this', data: {} },
      ]);
      const appended = await service.events({ subject: id, type: 'mission.log_appended' });
      expect(appended[1]?.payload).toEqual({
        mission_id: id,
        log_level: 'warning',
        message: 'Slow',
        appended_at: 1735424567.89,
      });
      expect(appended).toHaveLength(3);
    });

    it('mission_status_transitions', async () => {
      const { id } = await make();
      await move(id, 'RUNNING').expect(200);
      const failed = (await move(id, 'FAILED', { reason: 'broke' }).expect(200)).body as Mission;
      expect(failed).toMatchObject({ status: 'FAILED', attempts: 1, finished_at: expect.any(Number) });
      await service.post(`/api/missions/${id}/retry`).expect(202);
      await hasStatus(service, id, 'COMPLETED', SOON_MS);
      const moves = await service.events({ subject: id, type: 'mission.status_changed' });
      expect(moves.map(({ payload }) => (payload as { new_status: string }).new_status)).toEqual([
        'RUNNING',
        'FAILED',
        'PENDING',
        'RUNNING',
        'COMPLETED',
      ]);
    });

    it('mission_charter_compliance', async () => {
      const { id } = (
        await service
          .post('/api/missions', { name: 'Charter', steps: [http('/charter')] })
          .set('X-Correlation-ID', 'charter-made')
          .expect(201)
      ).body as Mission;
      await execute(id).set('X-Correlation-ID', 'charter-run').expect(202);
      await hasStatus(service, id, 'COMPLETED', SOON_MS);
      const types = async (correlation: string): Promise<string[]> =>
        (await service.events({ correlation_id: correlation })).map(({ type }) => type);
      expect(await types('charter-made')).toEqual(['mission.created', 'mission.log_appended']);
      expect(await types('charter-run')).toEqual(
        expect.arrayContaining(['policy.rule_evaluated', 'mission.status_changed', 'mission.log_appended']),
      );
      const mine = await eventsOf(id);
      expect(new Set(mine.map(({ meta }) => meta.correlation_id))).toEqual(
        new Set(['charter-made', 'charter-run']),
      );
      const all = await service.events();
      for (const event of all) expectCharter(event);
      expect(new Set(all.map((event) => event.id)).size).toBe(all.length);
    });

    it('keep each to the request that caused them, though one worker runs all missions', async () => {
      const ids = await Promise.all(
        [1, 2, 3, 4].map(async (n) => {
          const { id } = await make({ steps: [http('/mine')] });
          await execute(id).set('X-Correlation-ID', `mine-${n}`).expect(202);
          return id;
        }),
      );
      for (const [i, id] of ids.entries()) {
        await hasStatus(service, id, 'COMPLETED', SOON_MS);
        const [, , ...ran] = await eventsOf(id);
        expect(new Set(ran.map(({ meta }) => meta.correlation_id))).toEqual(new Set([`mine-${i + 1}`]));
      }
    });

    it('missions_work_without_eventstream', async () => {
      const silent = await startStore();
      const quiet = await startService({ ...silent.env, ...PRIVATE, BRAIN_EVENTS: 'off' });
      try {
        const steps = [http('/quiet'), { name: 'rest', kind: 'wait', params: { seconds: 0.01 } }];
        const { id } = (await quiet.post('/api/missions', { name: 'Quiet', steps }).expect(201))
          .body as Mission;
        await quiet.post(`/api/missions/${id}/execute`).expect(202);
        await hasStatus(quiet, id, 'COMPLETED', SOON_MS);
        const denied = { name: 'No', steps: [http('/no')], agent_role: 'guest', agent_id: 'g' };
        const other = (await quiet.post('/api/missions', denied).expect(201)).body as Mission;
        await quiet.post(`/api/missions/${other.id}/execute`).expect(202);
        await hasStatus(quiet, other.id, 'FAILED', SOON_MS);
        const { stats } = (await quiet.get('/api/missions/stats/overview').expect(200)).body;
        expect(stats).toMatchObject({ total: 2, by_status: { COMPLETED: 1, FAILED: 1 } });
      } finally {
        await quiet.stop();
        await silent.stop();
      }
    }, 60_000);
  });

  describe('creates', () => {
    it('take an id, and refuse one that exists', async () => {
      const mission = await make({ id: 'my:mission-1.a' });
      expect(mission.id).toBe('my:mission-1.a');
      const again = await service.post('/api/missions', { name: 'x', id: mission.id }).expect(409);
      expect(again.body.code).toBe('mission_exists');
      for (const id of ['health', '..', '.', '-x', 'a b', 'a/b', '']) {
        await service.post('/api/missions', { name: 'x', id }).expect(422);
      }
    });

    it('are done once per Idempotency-Key', async () => {
      const body = { name: 'Once' };
      const once = () => service.post('/api/missions', body).set('Idempotency-Key', 'mission-once');
      const first = await once().expect(201);
      expect((await once().expect(201)).body).toEqual(first.body);
      const raced = await Promise.all(
        [1, 2, 3].map(() => service.post('/api/missions', body).set('Idempotency-Key', 'mission-raced')),
      );
      expect(new Set(raced.map((answer) => (answer.body as Mission).id)).size).toBe(1);
      const other = await service
        .post('/api/missions', { name: 'Other' })
        .set('Idempotency-Key', 'mission-once')
        .expect(422);
      expect(other.body.code).toBe('idempotency_key_reused');
    });

    it('name every fault at once, those of the steps by pointer', async () => {
      const fields = await service
        .post('/api/missions', { name: '', priority: 'URGENT', data: [], owner: 'x' })
        .expect(422);
      const pointers = (body: object): string[] =>
        (body as { errors: { pointer: string }[] }).errors.map(({ pointer }) => pointer).sort();
      expect(pointers(fields.body)).toEqual(['/data', '/name', '/owner', '/priority']);
      const steps = await service
        .post('/api/missions', {
          name: 'x',
          steps: [
            { kind: 'http', params: { url: of('steps.b.result') } },
            { name: 'b', kind: 'shell' },
            { name: 'b', kind: 'wait', params: { seconds: 'long' }, when: 1 },
          ],
        })
        .expect(422);
      expect(steps.headers['content-type']).toContain('application/problem+json');
      expect(pointers(steps.body)).toEqual([
        '/steps/0/name',
        '/steps/0/params/url',
        '/steps/1/kind',
        '/steps/2/name',
        '/steps/2/params/seconds',
        '/steps/2/when',
      ]);
    });

    it('as somebody else need missions:delegate', async () => {
      const [agent, operator] = [await keyOf('agent'), await keyOf('operator')];
      const own = await make({}, agent.key);
      expect(own).toMatchObject({ agent_role: 'agent', agent_id: own.created_by });
      await make({ agent_id: own.agent_id, agent_role: 'agent' }, agent.key);
      for (const other of [{ agent_id: 'another' }, { agent_role: 'admin' }]) {
        const refused = await service.post('/api/missions', { name: 'x', ...other }, agent.key).expect(403);
        expect(refused.body.code).toBe('may_not_delegate');
      }
      const delegated = await make({ agent_id: 'another', agent_role: 'researcher' }, operator.key);
      expect(delegated).toMatchObject({ agent_id: 'another', agent_role: 'researcher' });
      expect(delegated.created_by).not.toBe('another');
    });
  });

  describe('an agent', () => {
    it('changes only what it made itself; an operator everything, a viewer nothing', async () => {
      const [agent, operator, viewer] = [
        await keyOf('agent'),
        await keyOf('operator'),
        await keyOf('viewer'),
      ];
      const { id: others } = await make();
      const { id: own } = await make({}, agent.key);
      const changes: [string, object?][] = [
        ['status', { status: 'RUNNING' }],
        ['log', { message: 'm' }],
        ['execute'],
        ['retry'],
      ];
      for (const [path, body] of changes) {
        const refused = await service.post(`/api/missions/${others}/${path}`, body, agent.key).expect(403);
        expect(refused.body.code).toBe('not_your_mission');
        await service.post(`/api/missions/${others}/${path}`, body, viewer.key).expect(403);
      }
      await service.get(`/api/missions/${others}`, agent.key).expect(200);
      await move(own, 'RUNNING', {}, agent.key).expect(200);
      await service.post(`/api/missions/${own}/log`, { message: 'm' }, agent.key).expect(202);
      await move(own, 'CANCELLED', {}, operator.key).expect(200);
      await service.get('/api/missions', viewer.key).expect(200);
      await service.get('/api/missions', '').expect(401);
      expect(await messagesOf(others)).toEqual(['Mission created']);
    });

    it('reports on what was given to it, and does not set it in motion', async () => {
      const [agent, other] = [await keyOf('agent'), await keyOf('agent')];
      const { id, created_by } = await make({ agent_id: agent.id });
      expect(created_by).not.toBe(agent.id);
      for (const path of ['execute', 'retry']) {
        const refused = await service.post(`/api/missions/${id}/${path}`, undefined, agent.key).expect(403);
        expect(refused.body.code).toBe('not_your_mission');
      }
      await move(id, 'RUNNING', {}, other.key).expect(403);
      await service.post(`/api/missions/${id}/log`, { message: 'm' }, other.key).expect(403);
      await move(id, 'RUNNING', {}, agent.key).expect(200);
      await service.post(`/api/missions/${id}/log`, { message: 'Half of it' }, agent.key).expect(202);
      await move(id, 'COMPLETED', {}, agent.key).expect(200);
      expect(await messagesOf(id)).toContain('Half of it');
    });
  });

  describe('changes by an outside worker', () => {
    it('follow the table, every pair of it, in the body as in the query', async () => {
      for (const from of STATUSES) {
        for (const to of STATUSES) {
          const { id } = await make();
          for (const step of pathTo(from)) await move(id, step).expect(200);
          const answer = await service.post(`/api/missions/${id}/status?mission_status=${to}`);
          expect([from, to, answer.status]).toEqual([from, to, MOVES[from].includes(to) ? 200 : 409]);
          if (answer.status === 409) expect(answer.body.code).toBe('illegal_status_change');
        }
      }
    }, 60_000);

    it('say to which status, once', async () => {
      const { id } = await make();
      const none = await service.post(`/api/missions/${id}/status`, {}).expect(422);
      expect(none.body.errors).toEqual([expect.objectContaining({ pointer: '/status', code: 'required' })]);
      await service
        .post(`/api/missions/${id}/status?mission_status=RUNNING`, { status: 'CANCELLED' })
        .expect(422);
      await service.post(`/api/missions/${id}/status?mission_status=running`).expect(422);
      await service
        .post(`/api/missions/${id}/status?mission_status=RUNNING`, { status: 'RUNNING' })
        .expect(200);
    });

    it('start nothing, and take a mission that waits out of the queue', async () => {
      const { id } = await make({ steps: [http('/outside')] });
      await move(id, 'RUNNING').expect(200);
      await execute(id).expect(409);
      await sleep(1500);
      expect(target.times('/outside')).toBe(0);
      await move(id, 'COMPLETED').expect(200);
      expect(await readMission(service, id)).toMatchObject({
        status: 'COMPLETED',
        progress: { done: 0, total: 1 },
      });
    });

    it('honour If-Match, whatever is changed', async () => {
      const { id } = await make();
      const read = await service.get(`/api/missions/${id}`).expect(200);
      expect(read.headers.etag).toBe('"1"');
      await service.post(`/api/missions/${id}/log`, { message: 'm' }).set('If-Match', '"1"').expect(202);
      for (const [path, body] of [
        ['log', { message: 'm' }],
        ['status', { status: 'RUNNING' }],
        ['execute', undefined],
        ['retry', undefined],
      ] as const) {
        const late = await service
          .post(`/api/missions/${id}/${path}`, body)
          .set('If-Match', '"1"')
          .expect(412);
        expect(late.body.code).toBe('version_mismatch');
      }
      const changed = await move(id, 'RUNNING').set('If-Match', '"2"').expect(200);
      expect(changed.headers.etag).toBe('"3"');
    });

    it('raced by 50 clients with execute and retry leave one legal history', async () => {
      target.on('/raced', (_asked, response) => json(response, {}, 400));
      const { id } = await make({ steps: [http('/raced')] });
      const wishes = [
        'execute',
        'retry',
        'RUNNING',
        'COMPLETED',
        'FAILED',
        'execute',
        'retry',
        'FAILED',
        'retry',
        'execute',
      ];
      const ask = (n: number) => {
        const wish = n === 49 ? 'CANCELLED' : wishes[n % wishes.length];
        return wish === wish.toUpperCase() ? move(id, wish) : service.post(`/api/missions/${id}/${wish}`);
      };
      const answers = await Promise.all(Array.from({ length: 50 }, (_, n) => ask(n)));
      expect(answers.filter(({ status }) => ![200, 202, 409].includes(status))).toEqual([]);
      const settled = async (): Promise<boolean> => (await readMission(service, id)).finished_at !== null;
      await until(settled, SOON_MS, 'the end of the mission');
      const told = await service.events({ subject: id, type: 'mission.status_changed' });
      const moves = told.map(
        ({ payload }) => payload as { old_status: MissionStatus; new_status: MissionStatus },
      );
      let at: MissionStatus = 'PENDING';
      for (const { old_status, new_status } of moves) {
        expect(old_status).toBe(at);
        if (old_status === 'FAILED') expect(new_status).toBe('PENDING');
        else expect(MOVES[at]).toContain(new_status);
        at = new_status;
      }
      expect((await readMission(service, id)).status).toBe(at);
      const logged = (await logOf(service, id)).filter(({ message }) => message === 'Mission status changed');
      expect(logged.map(({ data }) => [data.from, data.to])).toEqual(
        moves.map(({ old_status, new_status }) => [old_status, new_status]),
      );
    });

    it('of an unknown mission are a 404', async () => {
      await service.get(`/api/missions/${unknown}`).expect(404);
      await service.get(`/api/missions/${unknown}/log`).expect(404);
      await move(unknown, 'RUNNING').expect(404);
      for (const path of ['execute', 'retry'])
        await service.post(`/api/missions/${unknown}/${path}`).expect(404);
      const answer = await service.post(`/api/missions/${unknown}/log`, { message: 'm' }).expect(404);
      expect(answer.body.code).toBe('mission_not_found');
    });
  });

  describe('the log', () => {
    it('is paged, oldest first', async () => {
      const { id } = await make();
      for (let i = 0; i < 5; i += 1)
        await service.post(`/api/missions/${id}/log`, { message: `${i}` }).expect(202);
      const first = await service.get(`/api/missions/${id}/log?limit=4`).expect(200);
      expect(first.body).toMatchObject({ mission_id: id, next_cursor: expect.any(String) });
      const second = await service.get(`/api/missions/${id}/log?limit=4&cursor=${first.body.next_cursor}`);
      expect(second.body.next_cursor).toBeNull();
      const all = [...first.body.log, ...second.body.log].map(({ message }: LogEntry) => message);
      expect(all).toEqual(['Mission created', '0', '1', '2', '3', '4']);
      await service.get(`/api/missions/${id}/log?cursor=rubbish`).expect(422);
    });

    it('names what is wrong with a line', async () => {
      const { id } = await make();
      const answer = await service
        .post(`/api/missions/${id}/log`, { level: 'fatal', data: 1, x: 1 })
        .expect(422);
      expect(answer.body.errors.map(({ pointer }: { pointer: string }) => pointer).sort()).toEqual([
        '/data',
        '/level',
        '/message',
        '/x',
      ]);
    });
  });

  it('can be listed, filtered and paged, the newest first', async () => {
    const { key, id } = await keyOf('agent');
    const ids: string[] = [];
    for (let i = 0; i < 5; i += 1) ids.unshift((await make({ name: `${i}` }, key)).id);
    const { created_by } = await readMission(service, ids[0]);
    expect(created_by).toContain(id);
    await move(ids[0], 'CANCELLED', {}, key).expect(200);
    const path = `/api/missions?created_by=${created_by}&limit=3`;
    const first = await service.get(path).expect(200);
    expect(first.body).toMatchObject({ total: 5, next_cursor: expect.any(String) });
    const second = await service.get(`${path}&cursor=${first.body.next_cursor}`).expect(200);
    expect(second.body.next_cursor).toBeNull();
    const listed = [...first.body.missions, ...second.body.missions].map((mission: Mission) => mission.id);
    expect(listed).toEqual(ids);
    const totals = await Promise.all(
      [
        'status=CANCELLED',
        'status=PENDING',
        'status=RUNNING',
        `agent_id=${created_by}`,
        'agent_id=nobody',
      ].map(
        async (filter) => (await service.get(`/api/missions?created_by=${created_by}&${filter}`)).body.total,
      ),
    );
    expect(totals).toEqual([1, 4, 0, 5, 0]);
    for (const wrong of ['limit=0', 'status=open', 'colour=red', 'cursor=rubbish']) {
      await service.get(`/api/missions?${wrong}`).expect(422);
    }
  });

  describe('execution', () => {
    it('of a mission without steps begins and ends it', async () => {
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

    it('runs the steps in order, with the values of the mission and of earlier steps', async () => {
      target.on('/first', (_asked, response) => json(response, { token: { id: 7 }, list: ['a', 'b'] }));
      const steps = [
        http('/first', { name: 'fetch' }, { headers: { 'X-Ticket': of('data.ticket') } }),
        { name: 'rest', kind: 'wait', params: { seconds: of('data.pause') } },
        http(
          `/second?id=${of('steps.fetch.result.body.token.id')}`,
          { name: 'send' },
          {
            body: {
              list: of('steps.fetch.result.body.list'),
              text: `${of('data.ticket')}: ${of('steps.rest.result')}`,
            },
          },
        ),
        {
          name: 'tell',
          kind: 'immune_event',
          params: {
            severity: 'INFO',
            type: 'SELF_HEALING_ACTION',
            message: `It was ${of('steps.send.result.status')}`,
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

    it('asks once however often it is asked for while it waits, and refuses it while it runs', async () => {
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

    it('tries a failed step again after a while, and tells each', async () => {
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

    it('fails when the attempts are used up, with code, message and step', async () => {
      target.on('/down', (_asked, response) => json(response, {}, 500));
      const mission = await run({ steps: [http('/down', { retry: { ...quick, attempts: 2 } })] }, 'FAILED');
      expect(target.times('/down')).toBe(2);
      expect(mission.error).toEqual({
        code: 'unexpected_status',
        message: 'the target answered 500',
        step: 'call',
      });
      expect(mission).toMatchObject({ result: null, finished_at: expect.any(Number) });
      const last = (await eventsOf(mission.id)).findLast(({ type }) => type === 'mission.status_changed');
      expect(last?.payload).toMatchObject({ new_status: 'FAILED', reason: 'call: the target answered 500' });
    });

    it('fails at once where another attempt would only repeat it: a missing value names its step', async () => {
      const steps = [
        http('/there', { name: 'one' }),
        http('/x', { name: 'two' }, { body: of('steps.one.result.body.no') }),
      ];
      const mission = await run({ steps }, 'FAILED');
      expect(mission.error).toMatchObject({
        code: 'missing_value',
        step: 'two',
        message: `there is no value for ${of('steps.one.result.body.no')}`,
      });
      expect(mission.progress).toEqual({ done: 1, total: 2 });
      expect(target.times('/x')).toBe(0);
    });

    it('fails with a value that is of no use, though it looks like a template', async () => {
      const steps = [{ name: 'rest', kind: 'wait', params: { seconds: of('data.s') } }];
      const mission = await run({ steps, data: { s: '${forever' } }, 'FAILED');
      expect(mission.error).toMatchObject({ code: 'invalid_params', step: 'rest' });
    });

    it('goes on after a failure where the step says so', async () => {
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
      expect(await messagesOf(mission.id)).toContain('Step failed; the mission goes on');
    });

    it('ends a step that takes too long', async () => {
      target.on('/hangs', () => undefined);
      const mission = await run(
        { steps: [http('/hangs', { timeout_seconds: 0.2, retry: { ...quick, attempts: 2 } })] },
        'FAILED',
      );
      expect(mission.error).toMatchObject({ code: 'timeout', message: 'the step took longer than 0.2 s' });
      expect(target.times('/hangs')).toBe(2);
    });

    it('goes on by retry from the step that failed, as a new attempt', async () => {
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

    it('is ended by CANCELLED in the middle of a step, which is broken off', async () => {
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

    it('is ended by CANCELLED while it waits, be it for its turn or within a step', async () => {
      const { id } = await make({ steps: [{ name: 'rest', kind: 'wait', params: { seconds: 3600 } }] });
      await execute(id).expect(202);
      const waits = async (): Promise<boolean> => (await messagesOf(id)).includes('Step started');
      await until(waits, SOON_MS, 'the wait');
      expect((await move(id, 'FAILED').expect(409)).body.code).toBe('mission_held');
      await move(id, 'CANCELLED').expect(200);
      expect((await readMission(service, id)).status).toBe('CANCELLED');
    });

    it('keeps large results apart, and gives them back whole and to later steps', async () => {
      const text = 'x'.repeat(200_000);
      target.on('/large', (_asked, response) => json(response, { text }));
      const steps = [
        http('/large', { name: 'one' }),
        http('/small', { name: 'two' }, { body: of('steps.one.result.body.text') }),
      ];
      const mission = await run({ steps });
      const { one, two } = mission.result as Record<string, { result: { body: object }; bytes?: number }>;
      expect(one.result.body).toEqual({ text });
      expect(one.bytes).toBeGreaterThan(200_000);
      expect(two.bytes).toBeUndefined();
      expect(target.asked.find(({ path }) => path === '/small')?.body).toBe(text);
      const { missions } = (await service.get('/api/missions?status=COMPLETED&limit=1').expect(200)).body;
      expect(missions[0]).toMatchObject({ id: mission.id, result: { one: { result: null } } });
    });
  });

  describe('policies', () => {
    const denied = { agent_id: 'guest-1', agent_role: 'guest' };

    it('are asked before each step, as the agent of the mission, and the decision stands with the result', async () => {
      const mission = await run({
        steps: [http('/asked', { action: 'webhook.call', resource: of('data.on') })],
        data: { on: 'page-1' },
      });
      const [decided] = await service.events({
        type: 'policy.rule_evaluated',
        correlation_id: await correlationOf(mission.id),
      });
      expect(decided?.payload).toMatchObject({
        agent_id: mission.agent_id,
        agent_role: 'admin',
        action: 'webhook.call',
        resource: 'page-1',
      });
      const { call } = mission.result as { call: { decision_id: string } };
      expect(decided?.payload).toMatchObject({ decision_id: call.decision_id });
    });

    const correlationOf = async (id: string): Promise<string> =>
      (await eventsOf(id)).at(-1)?.meta.correlation_id as string;

    it('that deny fail the mission at once; the denial is in the log before the failure', async () => {
      const mission = await run(
        { ...denied, steps: [http('/denied', { continue_on_failure: true })] },
        'FAILED',
      );
      expect(mission.error).toMatchObject({
        code: 'denied_by_policy',
        step: 'call',
        decision_id: expect.any(String),
        message: expect.stringMatching(/^(Denied by|No matching)/),
      });
      expect(target.times('/denied')).toBe(0);
      const log = await logOf(service, mission.id);
      expect(log.find(({ message }) => message === 'Step failed')).toMatchObject({
        level: 'error',
        data: { code: 'denied_by_policy', decision_id: mission.error?.decision_id },
      });
      const told = await service.events({ correlation_id: await correlationOf(mission.id) });
      const types = told.map(({ type }) => type);
      const failure = told.findIndex(
        ({ payload }) => (payload as { new_status?: string }).new_status === 'FAILED',
      );
      expect(types.indexOf('policy.action_denied')).toBeGreaterThan(-1);
      expect(types.indexOf('policy.action_denied')).toBeLessThan(failure);
      expect(told[types.indexOf('policy.action_denied')]?.payload).toMatchObject({
        decision_id: mission.error?.decision_id,
      });
    });

    it('that warn or demand an audit let it run and stand in its log', async () => {
      const rule = (effect: string, action: string): object => ({
        name: `A ${effect}`,
        description: `Mind the ${effect}`,
        effect,
        priority: 2000,
        conditions: [{ field: 'action', operator: '==', value: action }],
      });
      const rules = [rule('warn', 'risky.call'), rule('audit', 'audited.call')];
      await service
        .post('/api/policy/policies', { name: 'For missions', rules, default_effect: 'deny' })
        .expect(201);
      const steps = [
        http('/warned', { name: 'one', action: 'risky.call' }),
        http('/audited', { name: 'two', action: 'audited.call' }),
      ];
      const { id } = await run({ steps });
      const notes = (await logOf(service, id)).filter(({ level }) => level === 'warning');
      expect(notes).toMatchObject([
        { message: 'Mind the warn', data: { step: 'one', decision_id: expect.any(String) } },
        { message: 'The policies demand an audit of this step', data: { step: 'two' } },
      ]);
    });

    it('that are only observed refuse nothing and say what they would have; off, nobody is asked', async () => {
      for (const mode of ['observe', 'off']) {
        const empty = await startStore();
        const lax = await startService({ ...empty.env, ...PRIVATE, BRAIN_MISSIONS_POLICY: mode });
        try {
          const { id } = (
            await lax.post('/api/missions', { name: mode, ...denied, steps: [http(`/${mode}`)] })
          ).body as Mission;
          await lax.post(`/api/missions/${id}/execute`).expect(202);
          const mission = await hasStatus(lax, id, 'COMPLETED', SOON_MS);
          expect(target.times(`/${mode}`)).toBe(1);
          const { decision_id } = (mission.result as { call: { decision_id: string | null } }).call;
          const notes = (await logOf(lax, id)).filter(({ level }) => level === 'warning');
          const asked = await lax.events({ type: 'policy.action_denied' });
          if (mode === 'off') expect([decision_id, notes, asked]).toEqual([null, [], []]);
          else {
            expect(notes).toMatchObject([
              { message: 'The policies would have refused this step', data: { decision_id } },
            ]);
            expect(asked[0]?.payload).toMatchObject({ decision_id });
          }
        } finally {
          await lax.stop();
          await empty.stop();
        }
      }
    }, 60_000);
  });

  describe('what a step may reach', () => {
    it('is not this machine, unless it is allowed', async () => {
      const empty = await startStore();
      const strict = await startService(empty.env);
      try {
        for (const url of [
          target.url,
          target.url.replace('127.0.0.1', 'localhost'),
          'http://[::1]:1/',
          'http://0x7f.1:1/',
        ]) {
          const steps = [http('/', {}, { url })];
          const { id } = (await strict.post('/api/missions', { name: 'x', steps }).expect(201))
            .body as Mission;
          await strict.post(`/api/missions/${id}/execute`).expect(202);
          const { error } = await hasStatus(strict, id, 'FAILED', SOON_MS);
          expect([url, error?.code]).toEqual([url, 'private_target']);
          expect(error?.message).toContain('BRAIN_HTTP_ALLOW_PRIVATE');
        }
      } finally {
        await strict.stop();
        await empty.stop();
      }
    }, 60_000);

    it('hears credentials that nobody else does: not the log, nor an event, nor the log of the service', async () => {
      target.on('/secret', (_asked, response) => json(response, {}, 500));
      const secret = 'a-very-secret-token';
      const step = http(
        '/secret',
        { retry: { ...quick, attempts: 2 } },
        { headers: { Authorization: `Bearer ${secret}` } },
      );
      const mission = await run({ steps: [step] }, 'FAILED');
      expect(target.asked.at(-1)?.headers.authorization).toBe(`Bearer ${secret}`);
      const told = JSON.stringify([
        await logOf(service, mission.id),
        await service.events(),
        service.logs,
        mission.error,
      ]);
      expect(told).not.toContain(secret);
    });
  });

  it('have statistics that equal a recount', async () => {
    await expectTrueStats(service);
  });
});

describe('the queue', () => {
  let service: Service;
  let target: Target;
  beforeAll(async () => {
    target = await Target.start();
    service = await startService({ ...PRIVATE, BRAIN_MISSIONS_CONCURRENCY: '1', BRAIN_LOG_REQUESTS: 'off' });
  }, 60_000);
  afterAll(async () => {
    await service.stop();
    await target.stop();
  });

  const queue = async (over: object): Promise<string> => {
    const { id } = (await service.post('/api/missions', { name: 'q', ...over }).expect(201)).body as Mission;
    await service.post(`/api/missions/${id}/execute`).expect(202);
    return id;
  };
  const step = (path: string, name = 'a'): object => ({
    name,
    kind: 'http',
    params: { url: target.url + path },
  });

  it('has four classes, and within one it is first come, first served, one at a time', async () => {
    let release = (): void => undefined;
    target.on('/gate', (_asked, response) => {
      release = () => json(response, {});
    });
    let now = 0;
    let most = 0;
    target.on('/queued', (_asked, response) => {
      now += 1;
      most = Math.max(most, now);
      setTimeout(() => {
        now -= 1;
        json(response, {});
      }, 5);
    });
    await queue({ steps: [step('/gate')] });
    await until(() => target.times('/gate') === 1, SOON_MS, 'the first mission');
    const wanted: string[] = [];
    for (const priority of [...PRIORITIES].reverse()) {
      const ids: string[] = [];
      // More than the worker looks at together.
      for (let n = 0; n < 25; n += 1) {
        const id = `${priority}-${n}`;
        ids.push(await queue({ id, priority, steps: [step(`/queued?id=${id}`)] }));
      }
      wanted.unshift(...ids);
    }
    const { body } = await service.get('/api/missions?status=PENDING&limit=1').expect(200);
    expect(body.total).toBe(100);
    release();
    const last = wanted.at(-1) as string;
    await hasStatus(service, last, 'COMPLETED', 60_000);
    const order = target.asked
      .filter(({ path }) => path.startsWith('/queued'))
      .map(({ path }) => path.split('=')[1]);
    expect(order).toEqual(wanted);
    expect(most).toBe(1);
    await expectTrueStats(service);
  }, 90_000);

  it('lets a mission of many slow steps not keep others waiting for its end', async () => {
    target.on('/slow', (_asked, response) => {
      setTimeout(() => json(response, {}), 300);
    });
    const slow = await queue({ steps: Array.from({ length: 10 }, (_, i) => step('/slow', `s${i}`)) });
    await until(() => target.times('/slow') === 1, SOON_MS, 'the slow mission');
    const quick = await queue({ steps: [step('/quick')] });
    await hasStatus(service, quick, 'COMPLETED', SOON_MS);
    expect((await readMission(service, slow)).status).toBe('RUNNING');
    const ended = await hasStatus(service, slow, 'COMPLETED', SOON_MS);
    expect(ended).toMatchObject({ attempts: 1, progress: { done: 10, total: 10 } });
    expect(target.times('/slow')).toBe(10);
  }, 60_000);

  it('begins again from what is stored where the store has taken back what a run wrote', async () => {
    const waiting: (() => void)[] = [];
    target.on('/last', (_asked, response) => void waiting.push(() => json(response, {})));
    const steps = ['/first', '/last'].map((path, i) => ({
      name: `step-${i}`,
      kind: 'http',
      params: { url: target.url + path },
    }));
    const { id } = (await service.post('/api/missions', { name: 'm', steps }).expect(201)).body as Mission;
    const store = service.app.get(Store);
    let early: StoredMission | undefined;
    const keep = async (): Promise<void> => {
      early ??= await store.get(MISSIONS, id);
    };
    target.on('/first', (_asked, response) => void keep().then(() => json(response, {})));
    await service.post(`/api/missions/${id}/execute`).expect(202);
    await until(() => waiting.length === 1, SOON_MS, 'the second step');
    await store.transaction(async (tx) => {
      await tx.get(MISSIONS, id);
      tx.put(MISSIONS, early as StoredMission);
    });
    for (const times of [1, 2]) {
      await until(() => waiting.length === times, SOON_MS, 'the second step');
      waiting[times - 1]();
    }
    const { result } = await hasStatus(service, id, 'COMPLETED', SOON_MS);
    expect(Object.keys(result as object)).toEqual(['step-0', 'step-1']);
    expect([target.times('/first'), target.times('/last')]).toEqual([2, 2]);
  });

  it('bounds the log of a mission by its size too', async () => {
    const { id } = (await service.post('/api/missions', { name: 'Says much' }).expect(201)).body as Mission;
    const line = { message: 'much', data: { text: 'x'.repeat(200_000) } };
    for (let i = 0; i < 43; i += 1) await service.post(`/api/missions/${id}/log`, line).expect(202);
    const log = await logOf(service, id);
    expect(log.map(({ message }) => message)).toEqual([
      'Mission created',
      ...Array.from({ length: 42 }, () => 'much'),
      expect.stringContaining('8 MiB'),
      '1 more entries were not kept',
    ]);
  });

  it('goes on with a mission whose log is full; the log says what was cut', async () => {
    const { id } = (await service.post('/api/missions', { name: 'Talks a lot' }).expect(201)).body as Mission;
    const store = service.app.get(Store);
    for (let written = 1; written < 9_999; written += 1111) {
      await store.transaction(async (tx) => {
        const mission = await tx.get(MISSIONS, id);
        if (!mission) throw new Error('it is gone');
        const book = new MissionWriter(tx, mission, undefined);
        for (let i = 0; i < Math.min(1111, 9_999 - written); i += 1) book.log('info', `${written + i}`);
        book.close();
      });
    }
    expect(await logOf(service, id)).toHaveLength(9_999);
    for (const message of ['the last', 'too much', 'far too much']) {
      await service.post(`/api/missions/${id}/log`, { message }).expect(202);
    }
    const log = await logOf(service, id);
    expect(log.slice(-3)).toMatchObject([
      { message: 'the last' },
      { message: expect.stringContaining('The log is full'), level: 'warning' },
      { message: '2 more entries were not kept', data: { cut: 2 } },
    ]);
    expect(log).toHaveLength(10_002);
    // It still runs.
    await service.post(`/api/missions/${id}/execute`).expect(202);
    await hasStatus(service, id, 'COMPLETED', SOON_MS);
  }, 60_000);
});

/** Recounts every mission over HTTP and holds the overview against it. */
async function expectTrueStats(service: Service): Promise<void> {
  const all: Mission[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const page = await service.get(`/api/missions?limit=500${cursor && `&cursor=${cursor}`}`).expect(200);
    all.push(...(page.body.missions as Mission[]));
    cursor = page.body.next_cursor as string | null;
  }
  expect(all.length).toBeGreaterThan(0);
  const { stats } = (await service.get('/api/missions/stats/overview').expect(200)).body;
  expect(stats).toEqual({
    total: all.length,
    by_status: Object.fromEntries(
      STATUSES.map((status) => [status, all.filter((mission) => mission.status === status).length]),
    ),
    last_updated: expect.any(Number),
  });
}
