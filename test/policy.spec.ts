/** Decisions over HTTP, on both stores, with the events read from the log. */
import type { Envelope } from '../src/events/event.js';
import type { Decision } from '../src/policy/decisions/routes.dto.js';
import type { PolicyContent } from '../src/policy/engine/policy.dto.js';
import { expectCharter } from './support/charter.js';
import { policyOf } from './support/policies.js';
import { type Service, startService } from './support/service.js';
import { STORES, serviceOn } from './support/stores.js';

type Event = Envelope & { position: string };

/** One rule for each effect, each on its own action. */
const effects: PolicyContent = policyOf({
  policy_id: 'effects',
  name: 'Effects',
  rules: [
    {
      rule_id: 'allow_read',
      name: 'May read',
      effect: 'allow',
      conditions: [{ field: 'action', operator: '==', value: 'doc.read' }],
    },
    {
      rule_id: 'deny_drop',
      name: 'May not drop',
      effect: 'deny',
      priority: 5,
      conditions: [
        { field: 'action', operator: '==', value: 'doc.drop' },
        { field: 'environment.stage', operator: '==', value: 'production' },
      ],
    },
    {
      rule_id: 'warn_copy',
      name: 'Copying',
      description: 'Copies grow old.',
      effect: 'warn',
      conditions: [{ field: 'action', operator: '==', value: 'doc.copy' }],
    },
    {
      rule_id: 'audit_send',
      name: 'Sending',
      effect: 'audit',
      conditions: [{ field: 'action', operator: '==', value: 'doc.send' }],
    },
  ],
});

const production = { stage: 'production' };
const never = { field: 'action', operator: '==', value: 'never' } as const;

describe.each(STORES)('decisions on %s', (_name, startStore) => {
  const service = serviceOn(startStore, { BRAIN_MASK: '/params/card,/environment/secret' });
  beforeAll(() => service.post('/api/policy/policies', effects).expect(201));

  let agents = 0;
  /** A new agent, so that all its events belong to this test. */
  const someone = (): string => `agent-${++agents}`;
  const evaluate = async (body: object, query = ''): Promise<Decision> =>
    (await service.post(`/api/policy/evaluate${query}`, body).expect(200)).body as Decision;
  const eventsOf = (agent: string): Promise<Event[]> => service.events({ subject: agent });
  const changesOf = (policyId: string): Promise<Event[]> => service.events({ subject: policyId });
  const stats = async (of: Service): Promise<Record<string, number>> =>
    (await of.get('/api/policy/stats').expect(200)).body as Record<string, number>;

  describe('events', () => {
    it('policy_evaluated_event_on_allow', async () => {
      const agent_id = someone();
      const request = { agent_id, agent_role: 'writer', action: 'doc.read', resource: 'doc:1' };
      const decision = await evaluate(request);
      expect(decision).toEqual({
        decision_id: expect.stringMatching(/^[0-9a-z]{20}$/),
        allowed: true,
        effect: 'allow',
        matched_rule: 'allow_read',
        matched_policy: 'effects',
        reason: "Allowed by rule 'May read'",
        warnings: [],
        requires_audit: false,
        policy_revision: expect.any(Number),
      });
      const [event, ...others] = await eventsOf(agent_id);
      expect(others).toEqual([]);
      expect(event).toMatchObject({ type: 'policy.rule_evaluated', source: 'policy_service' });
      expect(event?.payload).toEqual({
        ...request,
        result: {
          allowed: true,
          effect: 'allow',
          matched_policy: 'effects',
          matched_rule: 'allow_read',
          reason: decision.reason,
        },
        decision_id: decision.decision_id,
        policy_revision: decision.policy_revision,
        evaluation_time_ms: expect.any(Number),
        evaluated_at: expect.any(Number),
      });
    });

    it('policy_evaluated_event_on_deny', async () => {
      const agent_id = someone();
      const decision = await evaluate({ agent_id, action: 'doc.drop', environment: production });
      expect(decision).toMatchObject({
        allowed: false,
        effect: 'deny',
        reason: "Denied by rule 'May not drop'",
      });
      const [event] = await eventsOf(agent_id);
      expect(event?.type).toBe('policy.rule_evaluated');
      expect(event?.payload).toMatchObject({
        agent_id,
        action: 'doc.drop',
        resource: null,
        result: { allowed: false, effect: 'deny', matched_rule: 'deny_drop' },
        decision_id: decision.decision_id,
      });
    });

    it('policy_denied_event', async () => {
      const agent_id = someone();
      const byRule = await evaluate({ agent_id, action: 'doc.drop', environment: production });
      const byDefault = await evaluate({ agent_id, action: 'never.heard.of' });
      const events = await eventsOf(agent_id);
      expect(events.map(({ type }) => type)).toEqual([
        'policy.rule_evaluated',
        'policy.action_denied',
        'policy.rule_evaluated',
        'policy.action_denied',
      ]);
      expect(events[1]?.payload).toEqual({
        agent_id,
        action: 'doc.drop',
        resource: null,
        matched_policy: 'effects',
        matched_rule: 'deny_drop',
        reason: "Denied by rule 'May not drop'",
        decision_id: byRule.decision_id,
        denied_at: expect.any(Number),
      });
      expect(events[3]?.payload).toMatchObject({
        matched_policy: null,
        matched_rule: null,
        reason: 'No matching rules - applied default effect: deny',
        decision_id: byDefault.decision_id,
      });
    });

    it('policy_warning_event', async () => {
      const agent_id = someone();
      const decision = await evaluate({ agent_id, action: 'doc.copy' });
      expect(decision).toMatchObject({
        allowed: true,
        effect: 'warn',
        warnings: ['Copies grow old.'],
        reason: "Allowed with warning by rule 'Copying'",
      });
      const [, event, ...others] = await eventsOf(agent_id);
      expect(others).toEqual([]);
      expect(event?.type).toBe('policy.warning_triggered');
      expect(event?.payload).toEqual({
        agent_id,
        action: 'doc.copy',
        matched_policy: 'effects',
        matched_rule: 'warn_copy',
        warnings: ['Copies grow old.'],
        decision_id: decision.decision_id,
        triggered_at: expect.any(Number),
      });
    });

    it('policy_audit_event', async () => {
      const agent_id = someone();
      const decision = await evaluate({ agent_id, action: 'doc.send' });
      expect(decision).toMatchObject({
        allowed: true,
        effect: 'audit',
        requires_audit: true,
        reason: "Allowed with audit requirement by rule 'Sending'",
      });
      const [, event, ...others] = await eventsOf(agent_id);
      expect(others).toEqual([]);
      expect(event?.type).toBe('policy.audit_required');
      expect(event?.payload).toEqual({
        agent_id,
        action: 'doc.send',
        matched_policy: 'effects',
        matched_rule: 'audit_send',
        requires_audit: true,
        decision_id: decision.decision_id,
        audit_at: expect.any(Number),
      });
    });

    it('policy_created_event', async () => {
      const made = await service
        .post(
          '/api/policy/policies',
          policyOf({ policy_id: 'made', rules: [{ rule_id: 'r', priority: 3, conditions: [never] }] }),
        )
        .expect(201);
      const [event, rule, ...others] = await changesOf('made');
      expect(others).toEqual([]);
      expect(event?.type).toBe('policy.created');
      expect(event?.payload).toEqual({
        policy_id: 'made',
        name: 'Policy',
        version: '1.0.0',
        rules_count: 1,
        enabled: true,
        created_by: made.body.created_by,
        created_at: made.body.created_at,
      });
      expect(rule?.type).toBe('policy.rule_created');
      expect(rule?.payload).toEqual({
        policy_id: 'made',
        rule_id: 'r',
        name: 'r',
        effect: 'allow',
        priority: 3,
        enabled: true,
        created_at: made.body.created_at,
      });
    });

    it('policy_updated_event', async () => {
      await service.post('/api/policy/policies', policyOf({ policy_id: 'changed' })).expect(201);
      const rules = [{ rule_id: 'r', name: 'R', effect: 'deny' }];
      const changed = await service
        .put('/api/policy/policies/changed', { enabled: false, rules })
        .expect(200);
      const [, event, rule, ...others] = await changesOf('changed');
      expect(others).toEqual([]);
      expect(event?.type).toBe('policy.updated');
      expect(event?.payload).toEqual({
        policy_id: 'changed',
        changes: { enabled: { old: true, new: false }, rules: { old_count: 0, new_count: 1 } },
        revision: 2,
        updated_by: changed.body.created_by,
        updated_at: changed.body.updated_at,
      });
      expect(rule?.type).toBe('policy.rule_created');
    });

    it('policy_deleted_event', async () => {
      await service
        .post(
          '/api/policy/policies',
          policyOf({ policy_id: 'gone', rules: [{ rule_id: 'r', conditions: [never] }] }),
        )
        .expect(201);
      await service.delete('/api/policy/policies/gone').expect(204);
      const [, , event, rule, ...others] = await changesOf('gone');
      expect(others).toEqual([]);
      expect(event?.type).toBe('policy.deleted');
      expect(event?.payload).toEqual({
        policy_id: 'gone',
        name: 'Policy',
        deleted_by: 'bootstrap',
        deleted_at: expect.any(Number),
      });
      expect(rule?.type).toBe('policy.rule_deleted');
    });

    it('event_lifecycle_full', async () => {
      const agent_id = someone();
      const ask = () => evaluate({ agent_id, action: 'life.cycle' });
      const path = '/api/policy/policies/life';
      expect((await ask()).allowed).toBe(false);
      await service.post('/api/policy/policies', policyOf({ policy_id: 'life' })).expect(201);
      const condition = { field: 'action', operator: '==', value: 'life.cycle' };
      await service
        .post(`${path}/rules`, { rule_id: 'r', name: 'R', effect: 'allow', conditions: [condition] })
        .expect(201);
      expect(await ask()).toMatchObject({ allowed: true, matched_rule: 'r' });
      await service.put(`${path}/rules/r`, { effect: 'audit' }).expect(200);
      expect(await ask()).toMatchObject({ allowed: true, requires_audit: true });
      await service.post(`${path}/rules/r/disable`).expect(200);
      expect((await ask()).allowed).toBe(false);
      await service.post(`${path}/rules/r/enable`).expect(200);
      await service.delete(`${path}/rules/r`).expect(204);
      await service.delete(path).expect(204);
      expect((await changesOf('life')).map(({ type }) => type)).toEqual([
        'policy.created',
        'policy.updated',
        'policy.rule_created',
        'policy.updated',
        'policy.rule_updated',
        'policy.updated',
        'policy.rule_disabled',
        'policy.updated',
        'policy.rule_enabled',
        'policy.updated',
        'policy.rule_deleted',
        'policy.deleted',
      ]);
      expect((await eventsOf(agent_id)).map(({ type }) => type)).toEqual([
        'policy.rule_evaluated',
        'policy.action_denied',
        'policy.rule_evaluated',
        'policy.rule_evaluated',
        'policy.audit_required',
        'policy.rule_evaluated',
        'policy.action_denied',
      ]);
    });

    it('policy_works_without_eventstream', async () => {
      const [loud, quiet] = await Promise.all([startStore(), startStore()]);
      const services = await Promise.all([
        startService(loud.env),
        startService({ ...quiet.env, BRAIN_EVENTS: 'off' }),
      ]);
      try {
        const [withEvents, without] = await Promise.all(services.map(everything));
        expect(without).toEqual(withEvents);
        const events = await services[1].get('/api/events').expect(404);
        expect(events.body.code).toBe('events_off');
      } finally {
        await Promise.all(services.map((one) => one.stop()));
        await Promise.all([loud.stop(), quiet.stop()]);
      }
    });

    it('event_envelope_charter_compliance', async () => {
      const correlation = 'charter-check';
      const agent_id = someone();
      await service
        .post('/api/policy/evaluate', { agent_id, action: 'doc.drop', environment: production })
        .set('X-Correlation-ID', correlation)
        .expect(200);
      const mine = await service.events({ correlation_id: correlation });
      expect(mine.map(({ type }) => type)).toEqual(['policy.rule_evaluated', 'policy.action_denied']);
      const all = await service.events({ source: 'policy_service' });
      for (const event of all) expectCharter(event);
      expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
      // All twelve have occurred by now.
      expect([...new Set(all.map(({ type }) => type))].sort()).toEqual([
        'policy.action_denied',
        'policy.audit_required',
        'policy.created',
        'policy.deleted',
        'policy.rule_created',
        'policy.rule_deleted',
        'policy.rule_disabled',
        'policy.rule_enabled',
        'policy.rule_evaluated',
        'policy.rule_updated',
        'policy.updated',
        'policy.warning_triggered',
      ]);
    });
  });

  describe('answers', () => {
    it('a denial with 200, and with 403 if the caller asks for it', async () => {
      const body = { agent_id: someone(), action: 'doc.drop', environment: production };
      await service.post('/api/policy/evaluate', body).expect(200);
      const refused = await service.post('/api/policy/evaluate?enforce=true', body).expect(403);
      expect(refused.headers['content-type']).toContain('application/problem+json');
      expect(refused.body).toMatchObject({
        code: 'denied_by_policy',
        decision: { allowed: false, matched_rule: 'deny_drop', decision_id: expect.any(String) },
      });
      expect(await evaluate({ ...body, action: 'doc.read' }, '?enforce=true')).toMatchObject({
        allowed: true,
      });
    });

    it('an explanation, with every rule, each condition and the near miss', async () => {
      const body = { agent_id: someone(), action: 'doc.drop', environment: { stage: 'test' } };
      const { explain, ...decision } = await evaluate(body, '?explain=true');
      expect(decision).toMatchObject({ allowed: false, matched_rule: null });
      expect(explain?.why).toContain('No rule matches');
      expect(explain?.near_miss).toMatchObject({
        rule_id: 'deny_drop',
        conditions: [
          { field: 'action', expected: 'doc.drop', actual: 'doc.drop', verdict: 'holds' },
          { field: 'environment.stage', expected: 'production', actual: 'test', verdict: 'fails' },
        ],
      });
      expect(explain?.rules.map(({ rule_id }) => rule_id)).toEqual(
        expect.arrayContaining(['admin_allow_all', 'allow_read', 'deny_drop', 'warn_copy', 'audit_send']),
      );
      expect((await evaluate(body)).explain).toBeUndefined();
    });

    it('a thousand requests, in order and by one revision', async () => {
      const agent_id = someone();
      const actions = ['doc.read', 'doc.copy', 'doc.send', 'doc.unknown'];
      const evaluations = Array.from({ length: 1000 }, (_, i) => ({ agent_id, action: actions[i % 4] }));
      const before = await stats(service);
      const answer = await service.post('/api/policy/evaluate/batch', { evaluations }).expect(200);
      const { decisions } = answer.body as { decisions: Decision[] };
      expect(decisions.map(({ effect }) => effect)).toEqual(
        evaluations.map((_, i) => ['allow', 'warn', 'audit', 'deny'][i % 4]),
      );
      expect(new Set(decisions.map(({ policy_revision }) => policy_revision)).size).toBe(1);
      expect(new Set(decisions.map(({ decision_id }) => decision_id)).size).toBe(1000);
      expect(await eventsOf(agent_id)).toHaveLength(1750);
      const after = await stats(service);
      expect(after.total_evaluations - before.total_evaluations).toBe(1000);
      expect(after.total_denies - before.total_denies).toBe(250);
      expect(after.total_warnings - before.total_warnings).toBe(250);
      expect(after.total_audits - before.total_audits).toBe(250);
      const none = await service.post('/api/policy/evaluate/batch', { evaluations: [] }).expect(422);
      expect(none.body.errors).toEqual([expect.objectContaining({ pointer: '/evaluations' })]);
      await service
        .post('/api/policy/evaluate/batch', { evaluations: [...evaluations, evaluations[0]] })
        .expect(422);
    });

    it('every fault of a batch at once, and decides none of it', async () => {
      const before = await stats(service);
      const evaluations = [{ agent_id: 'a', action: 'b' }, { agent_id: 1, extra: true }, 'text'];
      const answer = await service.post('/api/policy/evaluate/batch', { evaluations }).expect(422);
      expect((answer.body.errors as { pointer: string }[]).map(({ pointer }) => pointer).sort()).toEqual([
        '/evaluations/1/action',
        '/evaluations/1/agent_id',
        '/evaluations/1/extra',
        '/evaluations/2',
      ]);
      expect(await stats(service)).toEqual(before);
    });

    it('by a required revision, or 503 if it does not arrive', async () => {
      const body = { agent_id: someone(), action: 'doc.read' };
      const { policy_revision } = await evaluate(body);
      await evaluate(body, `?min_revision=${policy_revision}`);
      const waiting = evaluate(body, `?min_revision=${policy_revision + 1}`);
      await service.put('/api/policy/policies/effects', { description: 'Described anew' }).expect(200);
      expect((await waiting).policy_revision).toBe(policy_revision + 1);
      const never = await service.post('/api/policy/evaluate?min_revision=1000000', body).expect(503);
      expect(never.body.code).toBe('revision_not_reached');
      expect(never.headers['retry-after']).toBe('1');
      await service.post('/api/policy/evaluate?min_revision=many', body).expect(422);
    });

    it('a trial of drafts, without counts and events', async () => {
      const agent_id = someone();
      const before = await stats(service);
      const request = { agent_id, action: 'doc.read' };
      const live = await service.post('/api/policy/test-rule', request).expect(200);
      expect(live.body).toMatchObject({ allowed: true, matched_rule: 'allow_read' });
      expect(live.body.explain).toBeUndefined();
      const draft = { name: 'Draft', rules: [{ name: 'Never', effect: 'deny', conditions: [] }] };
      const tried = await service
        .post('/api/policy/test-rule', { ...request, policies: [draft], explain: true })
        .expect(200);
      expect(tried.body).toMatchObject({
        allowed: false,
        matched_policy: 'draft',
        matched_rule: 'never',
        explain: { why: expect.stringContaining("Rule 'Never'") },
      });
      const none = await service.post('/api/policy/test-rule', { ...request, policies: [] }).expect(200);
      expect(none.body.reason).toBe('No policies configured - default deny');
      const wrong = await service
        .post('/api/policy/test-rule', { ...request, policies: [draft, draft, { name: 7 }] })
        .expect(422);
      expect(wrong.body.errors).toEqual([expect.objectContaining({ pointer: '/policies/2/name' })]);
      const twice = await service
        .post('/api/policy/test-rule', { ...request, policies: [draft, draft] })
        .expect(422);
      expect(twice.body.errors).toEqual([
        expect.objectContaining({ pointer: '/policies/1/policy_id', code: 'duplicate_id' }),
      ]);
      expect(await eventsOf(agent_id)).toEqual([]);
      expect(await stats(service)).toEqual(before);
      await service.get('/api/policy/policies/draft').expect(404);
    });

    it('no masked value, in explanations, events and logs', async () => {
      const agent_id = someone();
      const secrets = ['4111-secret-card', 'environment-secret'];
      const policies = [
        policyOf({
          rules: [
            {
              rule_id: 'r',
              effect: 'deny',
              conditions: [
                { field: 'params.card', operator: 'exists', value: true },
                { field: 'params.card.number', operator: '==', value: 'another' },
                { field: 'environment.secret', operator: 'starts_with', value: 'env' },
              ],
            },
          ],
        }),
      ];
      const body = {
        agent_id,
        action: 'pay',
        params: { card: { number: secrets[0] } },
        environment: { secret: secrets[1] },
      };
      const tested = await service
        .post('/api/policy/test-rule', { ...body, policies, explain: true })
        .expect(200);
      const { conditions } = tested.body.explain.near_miss as { conditions: object[] };
      expect(conditions).toMatchObject([
        { actual: '[masked]', verdict: 'holds' },
        { actual: '[masked]', verdict: 'fails' },
        { actual: '[masked]', verdict: 'holds' },
      ]);
      const explained = await evaluate(body, '?explain=true');
      const said = JSON.stringify([tested.body, explained, await eventsOf(agent_id), service.logs]);
      for (const secret of secrets) expect(said).not.toContain(secret);
    });
  });

  describe('bad input', () => {
    const send = (path: string, body: string) =>
      service.post(path).set('Content-Type', 'application/json').send(body);

    it('is refused clearly, of any kind', async () => {
      const before = await stats(service);
      const deep = `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`;
      const cases: [body: string, status: number, pointer?: string][] = [
        [`{"agent_id":"a","action":"b","params":${deep}}`, 422, '/params'],
        [`{"agent_id":"a","action":"b","environment":${deep}}`, 422, '/environment'],
        ['{"agent_id":"a","action":"b","params":{"__proto__":{"x":1}}}', 400],
        ['{"agent_id":"a","action":"b","params":{"\\u005f_proto__":{"x":1}}}', 400],
        ['{"agent_id":7,"action":"b"}', 422, '/agent_id'],
        ['{"agent_id":"a","action":NaN}', 400],
        ['{"agent_id":"a","action":"b","params":{"n":1e999}}', 422, '/params'],
        ['{"agent_id":"a","action":"\\ud800"}', 422, '/action'],
        ['{"agent_id":"a","action":"b","params":{"\\udc00":1}}', 422, '/params'],
        ['{"agent_id":"a","action":"b","params":[]}', 422, '/params'],
        ['{"agent_id":"a","action":"b","agent_role":null}', 422, '/agent_role'],
        ['{"agent_id":"a","action":"b","extra":1}', 422, '/extra'],
        [`{"agent_id":"a","action":"b","params":{"text":"${'x'.repeat(300_000)}"}}`, 413],
        ['[]', 422, ''],
        ['"text"', 422, ''],
      ];
      for (const [body, status, pointer] of cases) {
        const answer = await send('/api/policy/evaluate', body);
        expect([body.slice(0, 80), answer.status]).toEqual([body.slice(0, 80), status]);
        if (pointer !== undefined) expect(answer.body.errors).toEqual([expect.objectContaining({ pointer })]);
        const batch = await send('/api/policy/evaluate/batch', `{"evaluations":[${body}]}`);
        expect([body.slice(0, 80), batch.status]).toEqual([body.slice(0, 80), status === 413 ? 200 : status]);
      }
      const after = await stats(service);
      expect(after.total_evaluations - before.total_evaluations).toBe(1);
    });

    it('does not reach a prototype through a field', async () => {
      const value = { rule_id: 'r', name: 'R', effect: 'allow' };
      for (const field of ['params.__proto__.x', 'params.constructor.name', '__proto__', 'environment']) {
        const conditions = [{ field, operator: '==', value: 'x' }];
        const answer = await service
          .post('/api/policy/test-rule', {
            agent_id: 'a',
            action: 'b',
            policies: [{ name: 'P', rules: [{ ...value, conditions }] }],
          })
          .expect(422);
        expect(answer.body.errors).toEqual([
          expect.objectContaining({ pointer: '/policies/0/rules/0/conditions/0/field' }),
        ]);
      }
    });
  });

  it('have public health and settings that can be read', async () => {
    expect((await service.get('/api/policy/health', '').expect(200)).body.status).toBe('ok');
    expect((await service.get('/api/policy/info').expect(200)).body).toMatchObject({
      name: 'policy',
      config: { decisions: 'buffered', max_rules: 10_000 },
    });
    expect((await service.get('/api/policy/default-policies').expect(200)).body).toEqual([
      'admin_full_access',
      'guest_read_only',
    ]);
  });
});

/** Uses all routes, and returns the answers without ids and times. */
async function everything(service: Service): Promise<unknown[]> {
  const said: unknown[] = [];
  const path = '/api/policy/policies/effects';
  const steps: (() => ReturnType<Service['get']>)[] = [
    () => service.post('/api/policy/policies', effects),
    ...['doc.read', 'doc.drop', 'doc.copy', 'doc.send', 'other'].map(
      (action) => () =>
        service.post('/api/policy/evaluate', { agent_id: 'a', action, environment: production }),
    ),
    () => service.post('/api/policy/evaluate?enforce=true', { agent_id: 'a', action: 'other' }),
    () => service.put(path, { description: 'other' }),
    () => service.post(`${path}/rules`, { name: 'Added', effect: 'deny' }),
    () => service.post('/api/policy/evaluate', { agent_id: 'a', action: 'doc.read' }),
    () => service.post(`${path}/rules/added/disable`),
    () => service.get(`${path}/revisions`),
    () => service.post(`${path}/rollback`, { revision: 1 }),
    () => service.delete(path),
    () => service.post(`${path}/rollback`, { revision: 1 }),
    () => service.get('/api/policy/policies'),
    () => service.get('/api/policy/stats'),
    () => service.get('/api/policy/export'),
  ];
  for (const step of steps) {
    const { status, body, text } = await step();
    said.push([status, Object.keys(body as object).length > 0 ? lasting(body) : text]);
  }
  return said;
}

function lasting(value: unknown): unknown {
  const fleeting = /^(decision_id|request_id|at|created_at|updated_at)$/;
  return JSON.parse(JSON.stringify(value), (key, member: unknown) => (fleeting.test(key) ? '…' : member));
}
