/** Which agents and roles a principal may name, on each route that takes them. */
import type { Response } from 'supertest';
import { Denials } from '../src/security/denials.js';
import { STORES, serviceOn } from './support/stores.js';
import { until } from './support/until.js';

interface Made {
  id: string;
  key: string;
}

const ask = { action: 'data.read' };
const decisionOf = (subject: object): object => ({
  subject: { type: 'agent', ...subject },
  action: { name: 'data.read' },
  resource: { type: 'r', id: '1' },
});

describe.each(STORES)('a principal on %s', (_name, startStore) => {
  const service = serviceOn(startStore);
  const make = async (body: object): Promise<Made> =>
    (await service.post('/api/keys', body).expect(201)).body as Made;
  let agent: Made;
  let gateway: Made;
  let operator: Made;

  beforeAll(async () => {
    agent = await make({
      name: 'reader',
      role: 'agent',
      agents: ['reader', 'team-*'],
      agent_roles: ['guest', 'r-*'],
    });
    gateway = await make({ name: 'gateway', role: 'gateway' });
    operator = await make({ name: 'operator', role: 'operator' });
  });

  /** Each route that names an agent, with the agent and the role that it names. */
  const routes: [
    what: string,
    send: (agent: string, role: string | undefined, key: string) => Promise<Response>,
  ][] = [
    [
      'evaluate',
      async (agent_id, agent_role, key) =>
        service.post('/api/policy/evaluate', { ...ask, agent_id, agent_role }, key),
    ],
    [
      'a batch',
      async (agent_id, agent_role, key) =>
        service.post(
          '/api/policy/evaluate/batch',
          { evaluations: [ask, { ...ask, agent_id, agent_role }].slice(key === agent.key ? 0 : 1) },
          key,
        ),
    ],
    [
      'test-rule',
      async (agent_id, agent_role, key) =>
        service.post('/api/policy/test-rule', { ...ask, agent_id, agent_role }, key),
    ],
    [
      'an AuthZEN evaluation',
      async (id, role, key) =>
        service.post('/access/v1/evaluation', decisionOf({ id, properties: { role } }), key),
    ],
    [
      'AuthZEN evaluations',
      async (id, role, key) => {
        const { subject, ...defaults } = decisionOf({ id, properties: { role } }) as { subject: object };
        const own = { type: 'agent', id: 'reader' };
        const evaluations = [{ subject: own }, { subject }].slice(key === agent.key ? 0 : 1);
        return service.post('/access/v1/evaluations', { ...defaults, evaluations }, key);
      },
    ],
  ];

  it.each(routes)('names its own agents and roles only in %s', async (_what, send) => {
    for (const own of ['reader', 'team-1', agent.id])
      expect((await send(own, 'guest', agent.key)).status).toBe(200);
    expect((await send('reader', 'r-1', agent.key)).status).toBe(200);
    for (const other of ['other', 'team', agent.id.slice(1), 'brain:policy']) {
      const refused = await send(other, 'guest', agent.key);
      expect([refused.status, refused.body.code]).toEqual([403, 'agent_not_yours']);
    }
    for (const other of ['admin', 'agent', 'r']) {
      const refused = await send('reader', other, agent.key);
      expect([refused.status, refused.body.code]).toEqual([403, 'role_not_yours']);
    }
  });

  it.each(routes)('speaks for every agent with `*` in %s, but not for the service', async (_what, send) => {
    for (const { key } of [gateway, operator]) {
      expect((await send('anyone', 'admin', key)).status).toBe(200);
      expect((await send('anyone', undefined, key)).status).toBe(200);
      expect((await send('brain:reflex', 'reflex', key)).body.code).toBe('agent_not_yours');
    }
  });

  it('cannot be another agent, role or resource in what AuthZEN puts into the environment', async () => {
    const conditions = [{ field: 'environment.subject.id', operator: '==', value: 'ceo' }];
    const rules = [{ name: 'The CEO may do anything', effect: 'allow', conditions }];
    await service.post('/api/policy/policies', { policy_id: 'ceo', name: 'CEO', rules }).expect(201);
    const named = { ...ask, agent_id: 'reader', agent_role: 'guest', resource: 'doc:1' };
    const subject = { type: 'agent', id: 'ceo', properties: { role: 'admin' } };
    const cases: [environment: object, pointers: string[]][] = [
      [{ subject }, ['/subject/id', '/subject/properties/role']],
      [{ subject: { id: null } }, ['/subject/id']],
      [{ resource: { type: 'doc', id: '2' } }, ['/resource']],
      [{ resource: { type: 'doc' } }, ['/resource']],
      [{ subject: { id: 'reader', properties: { role: null, team: 'a' } } }, []],
      [{ subject: 'Re: invoice', resource: { type: 'doc', id: '1', properties: { owner: 'ceo' } } }, []],
    ];
    for (const [environment, pointers] of cases) {
      const bodies: [path: string, body: object, at: string][] = [
        ['evaluate', { ...named, environment }, ''],
        ['evaluate?explain=true', { ...named, environment }, ''],
        ['evaluate/batch', { evaluations: [named, { ...named, environment }] }, '/evaluations/1'],
        ['test-rule', { ...named, environment }, ''],
      ];
      for (const [path, body, at] of bodies) {
        const answer = await service.post(`/api/policy/${path}`, body, agent.key);
        const faults = (answer.body as { errors?: { pointer: string; code: string }[] }).errors ?? [];
        expect([path, environment, answer.status]).toEqual([
          path,
          environment,
          pointers.length > 0 ? 422 : 200,
        ]);
        expect(faults.map(({ pointer, code }) => `${pointer} ${code}`)).toEqual(
          pointers.map((pointer) => `${at}/environment${pointer} contradicts_request`),
        );
      }
    }
    const body = { ...decisionOf({ id: 'reader', properties: { role: 'guest' } }), context: { subject } };
    const answer = await service.post('/access/v1/evaluation', body, agent.key).expect(200);
    expect((answer.body as { context: object }).context).not.toHaveProperty('matched_policy', 'ceo');
    await service.delete('/api/policy/policies/ceo').expect(204);
  });

  it('asks as its first agent and its first role, where it names none', async () => {
    await service.post('/api/policy/evaluate', { action: 'data.first' }, agent.key).expect(200);
    const events = await service.events({ type: 'policy.rule_evaluated', subject: 'reader' });
    expect(events.map(({ payload }) => payload)).toContainEqual(
      expect.objectContaining({ action: 'data.first', agent_id: 'reader', agent_role: 'guest' }),
    );
    const missing = await service.post('/api/policy/evaluate', ask, gateway.key).expect(422);
    expect(missing.body.errors).toEqual([
      expect.objectContaining({ pointer: '/agent_id', code: 'required' }),
    ]);
    const vague = await make({ name: 'vague', role: 'agent', agents: ['v-*'], agent_roles: ['v-*'] });
    const role = await service
      .post('/api/policy/evaluate', { ...ask, agent_id: 'v-1' }, vague.key)
      .expect(422);
    expect(role.body.errors).toEqual([expect.objectContaining({ pointer: '/agent_role', code: 'required' })]);
  });

  it('decides nothing of a request that names a foreign agent', async () => {
    const evaluations = ['reader', 'other'].map((agent_id) => ({ agent_id, action: 'data.refused' }));
    await service.post('/api/policy/evaluate/batch', { evaluations }, agent.key).expect(403);
    const events = await service.events({ type: 'policy.rule_evaluated' });
    expect(JSON.stringify(events)).not.toContain('data.refused');
  });

  it('reports immune events and threats of its own agents only', async () => {
    const event = { severity: 'INFO', type: 'ERROR_SPIKE', message: 'm' };
    const report = (agent_id: string | undefined, key: string) =>
      service.post('/api/immune/event', { ...event, agent_id }, key);
    await report(undefined, agent.key).expect(200);
    await report('team-2', agent.key).expect(200);
    await report(undefined, gateway.key).expect(200);
    expect((await report('other', agent.key).expect(403)).body.code).toBe('agent_not_yours');
    expect((await report('brain:x', operator.key).expect(403)).body.code).toBe('agent_not_yours');
    const { events } = (await service.get('/api/immune/events')).body as {
      events: { agent_id: string | null }[];
    };
    expect(events.map(({ agent_id }) => agent_id)).toEqual([null, 'team-2', 'reader']);
    const threat = (source: string, key: string) =>
      service.post('/api/threats', { type: 't', source, severity: 'LOW' }, key);
    for (const source of ['agent:reader', 'agent:team-3', 'agents', 'scanner'])
      await threat(source, agent.key).expect(201);
    await threat('agent:other', gateway.key).expect(201);
    expect((await threat('agent:other', agent.key).expect(403)).body.code).toBe('agent_not_yours');
    expect((await threat('agent:brain:x', operator.key).expect(403)).body.code).toBe('agent_not_yours');
  });

  describe('is the actor in the meta of each event that it causes', () => {
    const actorsOf = async (filter: Record<string, string>) =>
      (await service.events(filter)).map(({ type, meta }) => [type, meta.actor?.id]);

    it('for decisions, which also name who asked', async () => {
      await service.post('/api/policy/evaluate', { action: 'data.acted' }, agent.key).expect(200);
      const events = await service.events({ subject: 'reader' });
      const mine = events.filter(({ payload }) => (payload as { action: string }).action === 'data.acted');
      expect(mine.map(({ type }) => type)).toEqual(['policy.rule_evaluated', 'policy.action_denied']);
      for (const { meta, payload } of mine) {
        expect(meta.actor).toEqual({ id: agent.id, role: 'agent', name: 'reader' });
        expect(payload).toMatchObject({ agent_id: 'reader', asked_by: agent.id });
      }
    });

    it('for changes, each with the principal that made it', async () => {
      const made = await service
        .post('/api/threats', { type: 't', source: 'agent:reader', severity: 'LOW' }, agent.key)
        .expect(201);
      const { id } = made.body as { id: string };
      await service.post(`/api/threats/${id}/status`, { status: 'IGNORED' }, operator.key).expect(200);
      expect(await actorsOf({ subject: id })).toEqual([
        ['threat.detected', agent.id],
        ['threat.status_changed', operator.id],
      ]);
      const query = `/api/events?subject=${id}&format=cloudevents&order=asc`;
      const [event] = JSON.parse((await service.get(query).buffer(true)).text) as object[];
      expect(event).toMatchObject({ actorid: agent.id, actorrole: 'agent', actorname: 'reader' });
    });

    it('for missions: whoever started it; and the service for what it does by itself', async () => {
      const steps = [{ name: 'pause', kind: 'wait', params: { seconds: 0.1 } }];
      const body = { name: 'm', steps, agent_id: 'a', agent_role: 'admin' };
      const made = await service.post('/api/missions', body).expect(201);
      const { id } = made.body as { id: string };
      await service.post(`/api/missions/${id}/execute`, undefined, operator.key).expect(202);
      const ended = async (): Promise<boolean> =>
        (await service.get(`/api/missions/${id}`)).body.status === 'COMPLETED';
      await until(ended, 10_000, 'the end of the mission');
      const [created, log, ...rest] = await actorsOf({ subject: id });
      expect([created, log]).toEqual([
        ['mission.created', 'bootstrap'],
        ['mission.log_appended', 'bootstrap'],
      ]);
      expect(rest.length).toBeGreaterThan(2);
      expect(new Set(rest.map(([, actor]) => actor))).toEqual(new Set([operator.id]));
      const asked = (await service.events({ subject: 'a' })).map(({ payload }) => payload);
      expect(asked).toContainEqual(expect.objectContaining({ asked_by: operator.id }));
      const [first] = await service.events({ type: 'policy.created' });
      expect(first?.meta.actor).toEqual({ id: 'brain:policy', role: 'service', name: 'BRAiN Control Plane' });
    });
  });

  it.each([
    ['agent:another', 403],
    ['Agent:reader', 422],
    [' agent:another', 422],
    ['agent\u200b:another', 422],
    ['agent：another', 422],
    ['brain:policy', 403],
    ['agents of another kind', 201],
  ])('reports a threat from %j: %i', async (source, status) => {
    await service.post('/api/threats', { type: 't', severity: 'LOW', source }, agent.key).expect(status);
  });

  it('tries drafts only with the permission to write policies', async () => {
    const draft = { ...ask, agent_id: 'reader', policies: [{ name: 'd', default_effect: 'allow' }] };
    for (const { key } of [agent, gateway]) {
      const refused = await service.post('/api/policy/test-rule', draft, key).expect(403);
      expect(refused.body.code).toBe('forbidden');
    }
    const tried = await service.post('/api/policy/test-rule', draft, operator.key).expect(200);
    expect(tried.body.allowed).toBe(true);
  });

  it('has its keys and refusals in the log, without any key', async () => {
    const made = await make({ name: 'short-lived', role: 'agent', agents: ['a-1'], owner: 'someone' });
    await service.delete(`/api/keys/${made.id}`).expect(204);
    const events = await service.events({ subject: made.id });
    expect(events.map(({ type, payload }) => [type, payload])).toEqual([
      [
        'access.key_created',
        expect.objectContaining({
          name: 'short-lived',
          agents: ['a-1'],
          owner: 'someone',
          created_by: 'bootstrap',
        }),
      ],
      ['access.key_revoked', expect.objectContaining({ role: 'agent', revoked_by: 'bootstrap' })],
    ]);
    for (const { meta } of events) expect(meta.actor).toMatchObject({ id: 'bootstrap' });

    service.app.get(Denials).publish();
    await service.get('/api/keys', agent.key).expect(403);
    await service.post('/api/policy/evaluate', { ...ask, agent_id: 'another' }, agent.key).expect(403);
    await service.post('/access/v1/evaluation', decisionOf({ id: 'another' }), agent.key).expect(403);
    for (const wrong of ['', made.key, 'rubbish']) await service.get('/api/threats', wrong).expect(401);
    service.app.get(Denials).publish();
    // The one before has the refusals of the tests above.
    const mine = (await service.events({ subject: agent.id, type: 'access.denied' })).at(-1);
    expect(mine?.meta.actor).toMatchObject({ id: 'brain:access' });
    const codes = ['forbidden', 'agent_not_yours'];
    expect(mine?.payload).toMatchObject({ address: null, unauthenticated: 0, forbidden: 3, codes });
    const all = await service.events({ type: 'access.denied' });
    expect(all.at(-1)?.payload).toMatchObject({
      principal_id: null,
      address: '127.0.0.1',
      unauthenticated: 3,
    });
    const text = JSON.stringify(await service.events({}));
    for (const key of [made.key, agent.key]) expect(text).not.toContain(key);
  });

  it('reads what its key may do', async () => {
    const { body } = await service.get('/api/keys/self', agent.key).expect(200);
    expect(body).toEqual({
      id: agent.id,
      name: 'reader',
      role: 'agent',
      agents: ['reader', 'team-*'],
      agent_roles: ['guest', 'r-*'],
      owner: null,
      permissions: expect.arrayContaining(['keys:read_self', 'policy:evaluate', 'missions:read']),
      last_used_at: expect.any(Number),
    });
    expect(body.permissions).not.toContain('missions:read_all');
    const { permissions } = (await service.get('/api/keys/self', gateway.key).expect(200)).body;
    expect(permissions).toEqual(['immune:report', 'keys:read_self', 'policy:evaluate', 'threats:report']);
    await service.get('/api/keys/self', '').expect(401);
  });
});
