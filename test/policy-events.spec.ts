/** The events of policies and decisions, on both stores, read from the log. */
import { decisionsOn, effects, production } from './support/decisions.js';
import { expectEnvelope } from './support/envelope.js';
import { policyOf } from './support/policies.js';
import { type Service, startService } from './support/service.js';
import { STORES } from './support/stores.js';

const never = { field: 'action', operator: '==', value: 'never' } as const;

describe.each(STORES)('events of policies on %s', (_name, startStore) => {
  const { service, newAgent, evaluate, eventsOf } = decisionsOn(startStore);

  it('an allowed request publishes policy.rule_evaluated', async () => {
    const agent_id = newAgent();
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
      asked_by: 'bootstrap',
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

  it('a denied request publishes policy.rule_evaluated', async () => {
    const agent_id = newAgent();
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

  it('a denied request also publishes policy.action_denied, whether a rule or the default denies it', async () => {
    const agent_id = newAgent();
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
      asked_by: 'bootstrap',
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

  it('a rule that warns publishes policy.warning_triggered', async () => {
    const agent_id = newAgent();
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
      asked_by: 'bootstrap',
      agent_id,
      action: 'doc.copy',
      matched_policy: 'effects',
      matched_rule: 'warn_copy',
      warnings: ['Copies grow old.'],
      decision_id: decision.decision_id,
      triggered_at: expect.any(Number),
    });
  });

  it('a rule that requires an audit publishes policy.audit_required', async () => {
    const agent_id = newAgent();
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
      asked_by: 'bootstrap',
      agent_id,
      action: 'doc.send',
      matched_policy: 'effects',
      matched_rule: 'audit_send',
      requires_audit: true,
      decision_id: decision.decision_id,
      audit_at: expect.any(Number),
    });
  });

  it('a new policy publishes policy.created, and policy.rule_created for each rule', async () => {
    const made = await service
      .post(
        '/api/policy/policies',
        policyOf({ policy_id: 'made', rules: [{ rule_id: 'r', priority: 3, conditions: [never] }] }),
      )
      .expect(201);
    const [event, rule, ...others] = await eventsOf('made');
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

  it('a changed policy publishes policy.updated with the old and the new values', async () => {
    await service.post('/api/policy/policies', policyOf({ policy_id: 'changed' })).expect(201);
    const rules = [{ rule_id: 'r', name: 'R', effect: 'deny' }];
    const changed = await service.put('/api/policy/policies/changed', { enabled: false, rules }).expect(200);
    const [, event, rule, ...others] = await eventsOf('changed');
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

  it('a deleted policy publishes policy.deleted, and policy.rule_deleted for each rule', async () => {
    await service
      .post(
        '/api/policy/policies',
        policyOf({ policy_id: 'gone', rules: [{ rule_id: 'r', conditions: [never] }] }),
      )
      .expect(201);
    await service.delete('/api/policy/policies/gone').expect(204);
    const [, , event, rule, ...others] = await eventsOf('gone');
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

  it('all events in the life of a policy, and of decisions by it, are in the log in order', async () => {
    const agent_id = newAgent();
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
    expect((await eventsOf('life')).map(({ type }) => type)).toEqual([
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

  it('every answer is the same with events off', async () => {
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

  it('all types of policy events have a valid envelope and match their schema', async () => {
    const correlation = 'envelope-check';
    const agent_id = newAgent();
    await service
      .post('/api/policy/evaluate', { agent_id, action: 'doc.drop', environment: production })
      .set('X-Correlation-ID', correlation)
      .expect(200);
    const mine = await service.events({ correlation_id: correlation });
    expect(mine.map(({ type }) => type)).toEqual(['policy.rule_evaluated', 'policy.action_denied']);
    const all = await service.events({ source: 'policy_service' });
    for (const event of all) expectEnvelope(event);
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
