/** Decisions over HTTP, on both stores, with the events read from the log. */
import type { Decision } from '../src/policy/decisions/routes.dto.js';
import { decisionStats, decisionsOn, production } from './support/decisions.js';
import { policyOf } from './support/policies.js';
import { STORES } from './support/stores.js';

describe.each(STORES)('decisions on %s', (_name, startStore) => {
  const { service, newAgent, evaluate, eventsOf } = decisionsOn(startStore);

  describe('answers', () => {
    it('have 200 for a denial, and 403 if the caller asks for it', async () => {
      const body = { agent_id: newAgent(), action: 'doc.drop', environment: production };
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

    it('have an explanation on request, with every rule, each condition and the near miss', async () => {
      const body = { agent_id: newAgent(), action: 'doc.drop', environment: { stage: 'test' } };
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

    it('to a thousand requests in a batch are in order and by one revision', async () => {
      const agent_id = newAgent();
      const actions = ['doc.read', 'doc.copy', 'doc.send', 'doc.unknown'];
      const evaluations = Array.from({ length: 1000 }, (_, i) => ({ agent_id, action: actions[i % 4] }));
      const before = await decisionStats(service);
      const answer = await service.post('/api/policy/evaluate/batch', { evaluations }).expect(200);
      const { decisions } = answer.body as { decisions: Decision[] };
      expect(decisions.map(({ effect }) => effect)).toEqual(
        evaluations.map((_, i) => ['allow', 'warn', 'audit', 'deny'][i % 4]),
      );
      expect(new Set(decisions.map(({ policy_revision }) => policy_revision)).size).toBe(1);
      expect(new Set(decisions.map(({ decision_id }) => decision_id)).size).toBe(1000);
      expect(await eventsOf(agent_id)).toHaveLength(1750);
      const after = await decisionStats(service);
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

    it('to a faulty batch have every fault at once, and no decision', async () => {
      const before = await decisionStats(service);
      const evaluations = [{ agent_id: 'a', action: 'b' }, { agent_id: 1, extra: true }, 'text'];
      const answer = await service.post('/api/policy/evaluate/batch', { evaluations }).expect(422);
      expect((answer.body.errors as { pointer: string }[]).map(({ pointer }) => pointer).sort()).toEqual([
        '/evaluations/1/action',
        '/evaluations/1/agent_id',
        '/evaluations/1/extra',
        '/evaluations/2',
      ]);
      expect(await decisionStats(service)).toEqual(before);
    });

    it('are by the required revision, or 503 if it does not arrive', async () => {
      const body = { agent_id: newAgent(), action: 'doc.read' };
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

    it('to a test of drafts cause no counts and no events, and to one of the stored policies only a trace', async () => {
      const agent_id = newAgent();
      const before = await decisionStats(service);
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
      const [tested, ...others] = await eventsOf(agent_id);
      expect(tested).toMatchObject({
        type: 'policy.tested',
        payload: {
          agent_id,
          asked_by: 'bootstrap',
          action: 'doc.read',
          resource: null,
          result: { allowed: true, effect: 'allow', matched_policy: 'effects', matched_rule: 'allow_read' },
          policy_revision: live.body.policy_revision,
        },
      });
      expect(others).toEqual([]);
      expect(await decisionStats(service)).toEqual(before);
      await service.get('/api/policy/policies/draft').expect(404);
    });

    it('have no masked value, nor do events and logs', async () => {
      const agent_id = newAgent();
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

    it('is refused with the right status and pointer', async () => {
      const before = await decisionStats(service);
      const deep = `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`;
      const cases: [body: string, status: number, pointer?: string][] = [
        [`{"agent_id":"a","action":"b","params":${deep}}`, 422, '/params'],
        [`{"agent_id":"a","action":"b","environment":${deep}}`, 422, '/environment'],
        ['{"agent_id":"a","action":"b","params":{"__proto__":{"x":1}}}', 400],
        ['{"agent_id":"a","action":"b","params":{"\\u005f_proto__":{"x":1}}}', 400],
        ['{"agent_id":7,"action":"b"}', 422, '/agent_id'],
        ['{"agent_id":"a","action":NaN}', 400],
        ['{"agent_id":"a","action":"b","params":{"n":1e999}}', 422, '/params'],
        ['{"agent_id":"a","action":"b","params":{"n":[9007199254740993]}}', 422, '/params'],
        ['{"agent_id":"a","action":"b","environment":{"n":-9007199254740992}}', 422, '/environment'],
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
      const after = await decisionStats(service);
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

  it('have a public health route, and settings that can be read', async () => {
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
