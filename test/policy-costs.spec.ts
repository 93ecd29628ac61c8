/** A low key cannot stop the service by work for the policies, nor learn from it what it may not know. */
import type { AddressInfo } from 'node:net';
import type { Decision } from '../src/policy/decisions/routes.dto.js';
import { MAX_COST } from '../src/policy/engine/costs.js';
import { decisionStats } from './support/decisions.js';
import { policyOf, type RuleSketch } from './support/policies.js';
import { processesWith } from './support/process.js';
import { RawConnection } from './support/raw-http.js';
import { countCost } from './support/re2-cost.js';
import type { Service } from './support/service.js';
import { serviceOn, startEmbedded } from './support/stores.js';
import { until } from './support/until.js';

/** For some texts RE2 needs the size of this pattern for each character. */
const heavy = (count: number): string => `[ab]*a[ab]{${count}}[cd]`;
const heavyRules = (count: number, most: number): RuleSketch[] =>
  Array.from({ length: count }, (_, i) => ({
    rule_id: `r${i}`,
    conditions: [{ field: 'params.t', operator: 'matches', value: heavy(most - i) }],
  }));
/** Different in each request, so that no state of RE2 is there already. */
const textOf = (length: number): string =>
  Array.from({ length }, () => 'ab'[Math.floor(Math.random() * 2)]).join('');
const requestOf = (length: number) => ({ agent_id: 'a', action: 'b', params: { t: textOf(length) } });

async function keyOf(service: Service, role: string): Promise<string> {
  const body = { name: role, role, ...(role === 'agent' && { agents: ['a'], agent_roles: ['agent'] }) };
  return (await service.post('/api/keys', body).expect(201)).body.key as string;
}

describe('an agent', () => {
  const service = serviceOn(startEmbedded);
  let agent: string;
  let gateway: string;

  beforeAll(async () => {
    agent = await keyOf(service, 'agent');
    gateway = await keyOf(service, 'gateway');
    const costly = policyOf({ policy_id: 'costly', rules: heavyRules(60, 700) });
    await service.post('/api/policy/policies', costly).expect(201);
    const deploy = policyOf({
      policy_id: 'deploy',
      rules: [
        {
          rule_id: 'may_deploy',
          priority: 5,
          conditions: [
            { field: 'action', operator: '==', value: 'deploy' },
            { field: 'params.secret', operator: '==', value: 'open sesame' },
          ],
        },
        {
          rule_id: 'no_deploy',
          effect: 'deny',
          conditions: [{ field: 'action', operator: '==', value: 'deploy' }],
        },
      ],
    });
    await service.post('/api/policy/policies', deploy).expect(201);
  });

  it('cannot make a decision cost more than its budget', async () => {
    const cost = countCost();
    for (const length of [10, 100, 700, 1400, 20_000]) {
      cost.count = 0;
      const { body } = await service.post('/api/policy/evaluate', requestOf(length), agent).expect(200);
      // The index gives up at half of the budget; then the rules have all of it.
      expect(cost.count).toBeLessThanOrEqual(1.5 * MAX_COST);
      expect(((body as Decision).errors ?? []).length).toBeLessThanOrEqual(51);
    }
    cost.stop();
  });

  it('cannot hold the event loop with a batch', async () => {
    const evaluations = Array.from({ length: 20 }, () => requestOf(700));
    const answered: string[] = [];
    const batch = service
      .post('/api/policy/evaluate/batch', { evaluations }, agent)
      .expect(200)
      .then(({ body }) => {
        answered.push('batch');
        return body as { decisions: Decision[] };
      });
    // Asked when the batch has arrived, and answered long before it is decided.
    await new Promise((resolve) => setTimeout(resolve, 20));
    await service.get('/livez', '').expect(200);
    answered.push('livez');
    const { decisions } = await batch;
    expect(answered).toEqual(['livez', 'batch']);
    expect(decisions).toHaveLength(20);
    expect(new Set(decisions.map(({ policy_revision }) => policy_revision)).size).toBe(1);
  });

  it('ends the rest of a batch when it leaves', async () => {
    const evaluations = Array.from({ length: 400 }, () => requestOf(700));
    const before = await decisionStats(service);
    const { port } = service.server.address() as AddressInfo;
    const connection = await RawConnection.to(port);
    const body = JSON.stringify({ evaluations });
    connection.send(
      `POST /api/policy/evaluate/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${agent}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    await until(
      async () => (await decisionStats(service)).total_evaluations > before.total_evaluations,
      20_000,
      'the first decision',
    );
    connection.close();
    let counted = -1;
    await until(
      async () => {
        const { total_evaluations } = await decisionStats(service);
        const isStill = counted === total_evaluations;
        counted = total_evaluations;
        return isStill;
      },
      60_000,
      'the end of the batch',
      1000,
    );
    expect(counted - before.total_evaluations).toBeLessThan(400);
  });

  it('gets no near miss and no other rule, and the answer says so', async () => {
    const body = { agent_id: 'a', action: 'deploy', params: { secret: 'guess' } };
    for (const key of [agent, gateway]) {
      const evaluated = await service.post('/api/policy/evaluate?explain=true', body, key).expect(200);
      const tested = await service.post('/api/policy/test-rule', { ...body, explain: true }, key).expect(200);
      for (const answer of [evaluated, tested]) {
        expect(JSON.stringify(answer.body)).not.toMatch(/sesame|may_deploy/);
        expect(answer.body.explain).toMatchObject({
          why: "Rule 'no_deploy' of policy 'deploy' decided: its condition holds.",
          near_miss: null,
          rules: [{ rule_id: 'no_deploy', decided: true }],
          left_out: expect.stringContaining('near miss'),
        });
      }
    }
    const { body: full } = await service.post('/api/policy/evaluate?explain=true', body).expect(200);
    expect(full.explain.near_miss).toMatchObject({ rule_id: 'may_deploy' });
    expect(full.explain).not.toHaveProperty('left_out');
  });

  it('leaves an event for each test, which names its key', async () => {
    const { body: self } = await service.get('/api/keys/self', agent).expect(200);
    const body = { agent_id: 'a', action: 'probe', explain: true };
    for (let i = 0; i < 3; i += 1) await service.post('/api/policy/test-rule', body, agent).expect(200);
    const events = await service.events({ type: 'policy.tested', subject: 'a' });
    const probes = events.filter(({ payload }) => (payload as { action: string }).action === 'probe');
    expect(probes.map(({ payload }) => (payload as { asked_by: string }).asked_by)).toEqual(
      Array(3).fill(self.id),
    );
  });

  it('may not bring drafts', async () => {
    const policies = [policyOf({ rules: heavyRules(60, 700) })];
    const answer = await service.post('/api/policy/test-rule', { ...requestOf(2000), policies }, agent);
    expect([answer.status, answer.body.code]).toEqual([403, 'forbidden']);
  });
});

describe('a body with policies', () => {
  const service = serviceOn(startEmbedded);

  it('has a limit for all its patterns together', async () => {
    const more = heavyRules(300, 1000).map(({ conditions = [], ...rule }) => ({
      ...rule,
      rule_id: `more_${rule.rule_id}`,
      conditions: conditions.map((one) => ({ ...one, operator: 'search' as const })),
    }));
    const many = policyOf({ rules: [...heavyRules(300, 1000), ...more] });
    for (const [path, body] of [
      ['/api/policy/policies', many],
      ['/api/policy/import', { policies: [many] }],
      ['/api/policy/test-rule', { ...requestOf(10), policies: [many] }],
    ] as const) {
      const answer = await service.post(path, body).expect(422);
      expect([path, answer.body.errors[0].code]).toEqual([path, 'patterns_too_large']);
    }
  });

  it('may have the same pattern in many rules', async () => {
    const rules = Array.from({ length: 900 }, (_, i) => ({
      rule_id: `r${i}`,
      conditions: [{ field: 'params.t', operator: 'matches' as const, value: heavy(900) }],
    }));
    await service.post('/api/policy/policies', policyOf({ policy_id: 'same', rules })).expect(201);
  });
});

describe('the process', () => {
  const start = processesWith({});

  it('answers /livez while the worst drafts run', async () => {
    const service = await start();
    const drafts = [policyOf({ rules: heavyRules(500, 1000) })];
    let running = 2;
    const answers = [1, 2].map(async () => {
      const answer = await service.post('/api/policy/test-rule', { ...requestOf(500), policies: drafts });
      running -= 1;
      return answer;
    });
    let alive = 0;
    while (running > 0) {
      const { status, ms } = await service.get('/livez');
      expect(status).toBe(200);
      // Generous: a draft on the event loop would hold it for many seconds.
      expect(ms).toBeLessThan(5000);
      alive += 1;
    }
    expect(alive).toBeGreaterThan(3);
    for (const { status, body } of await Promise.all(answers))
      expect([200, 422]).toContain(status === 422 ? (body.code === 'too_costly' ? 422 : body) : status);
    expect((await service.post('/api/policy/evaluate', requestOf(10))).status).toBe(200);
  });
});
