/** Missions over HTTP on both stores: their events, how they are created and listed, and who may change them. */
import type { Mission } from '../src/missions/missions.dto.js';
import { expectEnvelope } from './support/envelope.js';
import {
  expectTrueStats,
  hasStatus,
  logOf,
  missionsOn,
  PRIVATE,
  readMission,
  SOON_MS,
  templateOf,
} from './support/missions.js';
import { STORES, withService } from './support/stores.js';
import { until } from './support/until.js';

describe.each(STORES)('missions on %s', (_name, startStore) => {
  const { service, make, move, execute, messagesOf, eventsOf, keyOf, http } = missionsOn(startStore);

  describe('events', () => {
    it('a new mission publishes mission.created', async () => {
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

    it('a change of the status publishes mission.status_changed', async () => {
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

    it('an entry in the log publishes mission.log_appended', async () => {
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

    it('each status in the life of a mission is published', async () => {
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

    it('all types of mission events have a valid envelope and match their schema', async () => {
      const { id } = (
        await service
          .post('/api/missions', { name: 'Envelopes', steps: [http('/envelopes')] })
          .set('X-Correlation-ID', 'envelope-made')
          .expect(201)
      ).body as Mission;
      await execute(id).set('X-Correlation-ID', 'envelope-run').expect(202);
      await hasStatus(service, id, 'COMPLETED', SOON_MS);
      const types = async (correlation: string): Promise<string[]> =>
        (await service.events({ correlation_id: correlation })).map(({ type }) => type);
      expect(await types('envelope-made')).toEqual(['mission.created', 'mission.log_appended']);
      expect(await types('envelope-run')).toEqual(
        expect.arrayContaining(['policy.rule_evaluated', 'mission.status_changed', 'mission.log_appended']),
      );
      const mine = await eventsOf(id);
      expect(new Set(mine.map(({ meta }) => meta.correlation_id))).toEqual(
        new Set(['envelope-made', 'envelope-run']),
      );
      const all = await service.events();
      for (const event of all) expectEnvelope(event);
      expect(new Set(all.map((event) => event.id)).size).toBe(all.length);
    });

    it('all events carry the correlation id of the request that executed the mission', async () => {
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

    it('missions run with events off', async () => {
      await withService(startStore, { ...PRIVATE, BRAIN_EVENTS: 'off' }, async (quiet) => {
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
      });
    }, 60_000);
  });

  describe('creates', () => {
    it('accept an id, and refuse an id that exists', async () => {
      const mission = await make({ id: 'my:mission-1.a' });
      expect(mission.id).toBe('my:mission-1.a');
      const again = await service.post('/api/missions', { name: 'x', id: mission.id }).expect(409);
      expect(again.body.code).toBe('mission_exists');
      for (const id of ['health', '..', '.', '-x', 'a b', 'a/b', '']) {
        await service.post('/api/missions', { name: 'x', id }).expect(422);
      }
    });

    it('happen once for each Idempotency-Key', async () => {
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

    it('are refused with every fault at once, each with its pointer', async () => {
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
            { kind: 'http', params: { url: templateOf('steps.b.result') } },
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

    it('name an agent and a role that the key lists', async () => {
      const lists = { agents: ['reader', 'team-*'], agent_roles: ['guest', 'r-*'] };
      const { key, id } = await keyOf('agent', lists);
      expect(await make({}, key)).toMatchObject({ agent_id: 'reader', agent_role: 'guest', created_by: id });
      const named = { agent_id: 'team-1', agent_role: 'r-1' };
      expect(await make(named, key)).toMatchObject({ ...named, created_by: id });
      expect(await make({ agent_id: id }, key)).toMatchObject({ agent_id: id });
      const refused = async (body: object, by: string, code: string): Promise<void> => {
        const answer = await service.post('/api/missions', { name: 'x', ...body }, by).expect(403);
        expect(answer.body.code).toBe(code);
      };
      await refused({ agent_id: 'another' }, key, 'agent_not_yours');
      await refused({ agent_role: 'admin' }, key, 'role_not_yours');

      const operator = await keyOf('operator');
      expect(await make({}, operator.key)).toMatchObject({ agent_id: operator.id, agent_role: 'operator' });
      const delegated = await make({ agent_id: 'another', agent_role: 'researcher' }, operator.key);
      expect(delegated).toMatchObject({ agent_id: 'another', agent_role: 'researcher' });
      expect(delegated.created_by).toBe(operator.id);
      await refused({ agent_id: 'brain:missions' }, operator.key, 'agent_not_yours');
    });
  });

  describe('an agent', () => {
    const changes: [string, object?][] = [
      ['status', { status: 'RUNNING' }],
      ['log', { message: 'm' }],
      ['execute'],
      ['retry'],
    ];
    const refusals = async (id: string, key: string): Promise<void> => {
      for (const [path, body] of changes) {
        const refused = await service.post(`/api/missions/${id}/${path}`, body, key).expect(403);
        expect(refused.body.code).toBe('not_your_mission');
      }
      for (const path of ['', '/log']) {
        const refused = await service.get(`/api/missions/${id}${path}`, key).expect(403);
        expect(refused.body.code).toBe('not_your_mission');
      }
    };

    it('reads and changes only its own missions; an operator changes all, a viewer reads all', async () => {
      const [agent, operator, viewer] = [
        await keyOf('agent'),
        await keyOf('operator'),
        await keyOf('viewer'),
      ];
      const { id: others } = await make();
      const { id: own } = await make({}, agent.key);
      await refusals(others, agent.key);
      for (const [path, body] of changes)
        await service.post(`/api/missions/${others}/${path}`, body, viewer.key).expect(403);
      await service.get(`/api/missions/${own}`, agent.key).expect(200);
      await move(own, 'RUNNING', {}, agent.key).expect(200);
      await service.post(`/api/missions/${own}/log`, { message: 'm' }, agent.key).expect(202);
      await service.get(`/api/missions/${own}/log`, agent.key).expect(200);
      await move(own, 'CANCELLED', {}, operator.key).expect(200);
      await service.get('/api/missions', viewer.key).expect(200);
      await service.get(`/api/missions/${others}`, viewer.key).expect(200);
      await service.get('/api/missions', '').expect(401);
      expect(await messagesOf(others)).toEqual(['Mission created']);
    });

    it('runs and reports on a mission that names one of its agents', async () => {
      const [agent, other] = [await keyOf('agent', { agents: ['mine-*'] }), await keyOf('agent')];
      const { id, created_by } = await make({ agent_id: 'mine-1' });
      expect(created_by).not.toBe(agent.id);
      await refusals(id, other.key);
      await service.get(`/api/missions/${id}`, agent.key).expect(200);
      await move(id, 'RUNNING', {}, agent.key).expect(200);
      await service.post(`/api/missions/${id}/log`, { message: 'Half of it' }, agent.key).expect(202);
      await move(id, 'FAILED', {}, agent.key).expect(200);
      await service.post(`/api/missions/${id}/retry`, undefined, agent.key).expect(202);
      expect(await messagesOf(id)).toContain('Half of it');
    });

    it('lists the missions that it made, or those of one of its agents', async () => {
      const [agent, other] = [await keyOf('agent', { agents: ['listed'] }), await keyOf('agent')];
      const { id: made } = await make({}, agent.key);
      const { id: named } = await make({ agent_id: 'listed' });
      await make({}, other.key);
      const listed = async (query: string): Promise<string[]> => {
        const { body } = await service.get(`/api/missions${query}`, agent.key).expect(200);
        expect(body.total).toBe(body.missions.length);
        return body.missions.map((one: { id: string }) => one.id);
      };
      expect(await listed('')).toEqual([made]);
      expect(await listed(`?created_by=${agent.id}`)).toEqual([made]);
      expect(await listed('?agent_id=listed')).toEqual([named, made]);
      expect(await listed(`?agent_id=listed&created_by=${agent.id}`)).toEqual([made]);
      for (const query of [`created_by=${other.id}`, `agent_id=${other.id}&created_by=${other.id}`]) {
        const refused = await service.get(`/api/missions?${query}`, agent.key).expect(403);
        expect(refused.body.code).toBe('not_your_mission');
      }
      expect(await listed(`?agent_id=${other.id}`)).toEqual([]);
    });
  });

  it('hides headers, bodies, data and results from those who may only read', async () => {
    const [agent, viewer, operator] = [await keyOf('agent'), await keyOf('viewer'), await keyOf('operator')];
    const step = {
      name: 'call',
      kind: 'http',
      params: {
        url: 'https://example.org/?t=secret-6',
        headers: { 'X-Token': 'secret-1' },
        body: { token: 'secret-2' },
      },
    };
    const { id } = await make({ data: { token: 'secret-3' }, steps: [step] }, agent.key);
    await service.post(`/api/missions/${id}/log`, { message: 'm', data: { t: 'secret-4' } }, agent.key);
    const { id: wait } = await make({ steps: [{ name: 'w', kind: 'wait', params: { seconds: 0 } }] });
    const { id: admins } = await make({ agent_id: agent.id, data: { token: 'secret-5' } });
    await service.post(`/api/missions/${wait}/execute`).expect(202);
    await until(
      async () => (await service.get(`/api/missions/${wait}`)).body.status === 'COMPLETED',
      10_000,
      'the end of the mission',
    );
    const seen = async (path: string, key: string): Promise<string> =>
      (await service.get(`/api/missions${path}`, key).expect(200)).text;
    for (const { key } of [agent, operator]) {
      for (const secret of ['secret-1', 'secret-2', 'secret-3'])
        expect(await seen(`/${id}`, key)).toContain(secret);
      expect(await seen(`/${id}/log`, key)).toContain('secret-4');
      expect(await seen(`/${admins}`, key)).toContain('secret-5');
    }
    for (const path of [`/${id}`, `/${id}/log`, `/${admins}`, '?limit=100'])
      expect(await seen(path, viewer.key)).not.toContain('secret-');
    const { body } = await service.get(`/api/missions/${id}`, viewer.key);
    expect(body).toMatchObject({
      data: { token: '[masked]' },
      steps: [
        {
          params: {
            url: 'https://example.org/?[masked]',
            headers: { 'X-Token': '[masked]' },
            body: '[masked]',
          },
        },
      ],
    });
    const { result } = (await service.get(`/api/missions/${wait}`, viewer.key)).body;
    expect(result).toMatchObject({ w: { result: '[masked]' } });
    expect(await seen(`/${wait}`, operator.key)).toContain('waited_seconds');
  });

  it('can be listed, filtered and paged, the newest first', async () => {
    const { key, id, name } = await keyOf('agent');
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
      ['status=CANCELLED', 'status=PENDING', 'status=RUNNING', `agent_id=${name}`, 'agent_id=nobody'].map(
        async (filter) => (await service.get(`/api/missions?created_by=${created_by}&${filter}`)).body.total,
      ),
    );
    expect(totals).toEqual([1, 4, 0, 5, 0]);
    for (const wrong of ['limit=0', 'status=open', 'colour=red', 'cursor=rubbish']) {
      await service.get(`/api/missions?${wrong}`).expect(422);
    }
  });

  it('have statistics that equal a recount', async () => {
    await expectTrueStats(service);
  });
});
