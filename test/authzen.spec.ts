/** OpenID AuthZEN Authorization API 1.0 over HTTP, used as its specification describes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import request from 'supertest';
import { parse } from 'yaml';
import type { Condition } from '../src/policy/engine/policy.dto.js';
import { conditionOf, type PolicySketch, policyOf } from './support/policies.js';
import { ADMIN, type Service, startService } from './support/service.js';
import { STORES, serviceOn, startEmbedded } from './support/stores.js';

const ONE = '/access/v1/evaluation';
const MANY = '/access/v1/evaluations';
const DISCOVERY = '/.well-known/authzen-configuration';

type Triple = [string, Condition['operator'], unknown];
interface Case {
  it: string;
  body: Record<string, unknown>;
  decision?: boolean;
  decisions?: (boolean | null)[];
  at?: string;
}
interface Answer {
  decision: boolean;
  context: Record<string, unknown>;
}

const read = (file: string): unknown => parse(readFileSync(join(__dirname, 'authzen', file), 'utf8'));
const certification = read('certification.yaml') as Record<
  'evaluation' | 'malformed' | 'evaluations',
  Case[]
> & {
  policy: Omit<PolicySketch, 'rules'> & { rules: { rule_id: string; conditions: Triple[] }[] };
};
const todo = read('todo.yaml') as {
  users: Record<string, { id: string; email: string }>;
  todos: Record<string, string>;
  evaluation: [who: string, action: string, whose: string | null, permitted: boolean][];
  evaluations: [who: string, whose: string[], permitted: boolean[]][];
};

const fixture = policyOf({
  ...certification.policy,
  rules: certification.policy.rules.map((rule) => ({
    ...rule,
    conditions: rule.conditions.map(conditionOf),
  })),
});

/** The roles of the scenario; the request has the owner of a todo. */
const todoPolicy = policyOf({
  policy_id: 'authzen_todo',
  rules: [
    { rule_id: 'viewers', conditions: [conditionOf(['action', 'in', ['can_read_user', 'can_read_todos']])] },
    {
      rule_id: 'evil_genius_and_admin',
      conditions: [
        conditionOf(['agent_id', '==', todo.users.rick?.id]),
        conditionOf(['action', 'starts_with', 'can_']),
      ],
    },
    ...['morty', 'summer'].flatMap((name) => {
      const isEditor = conditionOf(['agent_id', '==', todo.users[name]?.id]);
      const isOwner = conditionOf(['environment.resource.properties.ownerID', '==', todo.users[name]?.email]);
      const changes = conditionOf(['action', 'in', ['can_update_todo', 'can_delete_todo']]);
      return [
        {
          rule_id: `${name}_creates`,
          conditions: [isEditor, conditionOf(['action', '==', 'can_create_todo'])],
        },
        { rule_id: `${name}_changes`, conditions: [isEditor, isOwner, changes] },
      ];
    }),
  ],
});

const todoOf = (whose: string): object => ({
  type: 'todo',
  id: todo.todos[whose],
  properties: { ownerID: todo.users[whose]?.email },
});
const subjectOf = (who: string): object => ({ type: 'user', id: todo.users[who]?.id });

const GOOD = {
  subject: { type: 'user', id: 'alice' },
  action: { name: 'read' },
  resource: { type: 'record', id: 'record-1' },
};

async function addPolicies(service: Service): Promise<void> {
  for (const policy of [fixture, todoPolicy]) await service.post('/api/policy/policies', policy).expect(201);
}

describe.each(STORES)('the published cases on %s', (_name, startStore) => {
  const service = serviceOn(startStore);
  beforeAll(() => addPolicies(service));

  it.each(certification.evaluation)('$it', async ({ body, decision }) => {
    for (const path of [ONE, ONE, MANY]) {
      const answer = await service.post(path, body).expect(200);
      expect(answer.headers['content-type']).toMatch(/^application\/json/);
      expect(answer.body).toMatchObject({ decision, context: { decision_id: expect.any(String) } });
    }
  });

  it.each(certification.malformed)('$it: 400', async ({ body, at }) => {
    for (const path of [ONE, MANY]) {
      const answer = await service.post(path, body).expect(400);
      expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
      expect(answer.body).toMatchObject({ status: 400, code: 'invalid_request', errors: [{ pointer: at }] });
    }
  });

  it.each(certification.evaluations)('$it', async ({ body, decision, decisions }) => {
    const answer = (await service.post(MANY, body).expect(200)).body as { evaluations?: Answer[] };
    if (decision !== undefined) {
      expect(answer).toMatchObject({ decision });
      expect(answer).not.toHaveProperty('evaluations');
      return;
    }
    expect(answer).not.toHaveProperty('decision');
    const wanted = decisions?.map((one) => one ?? expect.any(Boolean));
    expect(answer.evaluations?.map((one) => one.decision)).toEqual(wanted);
  });

  it('decides the whole Todo scenario', async () => {
    for (const [who, name, whose, permitted] of todo.evaluation) {
      const resource =
        whose === null
          ? { type: 'todo', id: 'todo-1' }
          : name === 'can_read_user'
            ? { type: 'user', id: todo.users[whose]?.email }
            : todoOf(whose);
      const body = { subject: subjectOf(who), action: { name }, resource, context: {} };
      const answer = await service.post(ONE, body).expect(200);
      expect([who, name, whose, (answer.body as Answer).decision]).toEqual([who, name, whose, permitted]);
    }
    for (const [who, whose, permitted] of todo.evaluations) {
      const answer = await service.post(MANY, {
        subject: subjectOf(who),
        action: { name: 'can_update_todo' },
        // The scenario sends this default, which every evaluation overrides.
        resource: {},
        context: {},
        evaluations: whose.map((one) => ({ resource: todoOf(one) })),
      });
      const { evaluations } = answer.body as { evaluations: Answer[] };
      expect([who, evaluations.map(({ decision }) => decision)]).toEqual([who, permitted]);
    }
  });
});

describe('AuthZEN', () => {
  const service = serviceOn(startEmbedded);
  beforeAll(() => addPolicies(service));

  const raw = (path: string, body: string | Buffer, type = 'application/json'): request.Test =>
    request(service.server)
      .post(path)
      .set('Authorization', `Bearer ${ADMIN}`)
      .set('Content-Type', type)
      // Sent as text: for this type supertest would encode it as JSON again.
      .serialize((text: unknown) => text as string)
      .send(body as string);

  it('reports in the context what decided, with the field names of the native answer', async () => {
    const allowed = (await service.post(ONE, GOOD).expect(200)).body as Answer;
    expect(allowed).toEqual({
      decision: true,
      context: {
        decision_id: expect.any(String),
        policy_revision: expect.any(Number),
        effect: 'allow',
        reason: "Allowed by rule 'alice_reads_and_writes'",
        matched_policy: 'authzen_certification',
        matched_rule: 'alice_reads_and_writes',
        warnings: [],
        requires_audit: false,
      },
    });
    const denied = (await service.post(ONE, { ...GOOD, action: { name: 'fly' } }).expect(200)).body as Answer;
    expect(denied).toMatchObject({ decision: false, context: { effect: 'deny' } });
    expect(denied.context).not.toHaveProperty('matched_rule');
  });

  it('publishes and counts a decision like any other', async () => {
    const { total_evaluations: before } = (await service.get('/api/policy/stats')).body as Record<
      string,
      number
    >;
    const subject = { type: 'agent', id: 'told-1', properties: { role: 'guest', team: 'x' } };
    const { context } = (await service.post(ONE, { ...GOOD, subject }).expect(200)).body as Answer;
    const told = await service.events({ type: 'policy.rule_evaluated' });
    expect(told.at(-1)?.payload).toMatchObject({
      agent_id: 'told-1',
      agent_role: 'guest',
      action: 'read',
      resource: 'record:record-1',
      decision_id: context.decision_id,
    });
    const { total_evaluations: after } = (await service.get('/api/policy/stats')).body as Record<
      string,
      number
    >;
    expect(after - before).toBe(1);
  });

  it('never takes the entities from the context', async () => {
    const archived = { type: 'record', id: 'record-1', properties: { status: 'archived' } };
    const context = { resource: { properties: { status: 'active' } }, subject: { type: 'admin' } };
    const body = { ...GOOD, action: { name: 'write' }, resource: archived, context };
    expect((await service.post(ONE, body).expect(200)).body).toMatchObject({
      decision: false,
      context: { matched_rule: 'nobody_writes_archives' },
    });
  });

  it('answers with bare decisions where no context is wanted', async () => {
    const evaluations = [{}, { action: { name: 'fly' } }, { action: {} }];
    const bare = await service.post(`${MANY}?context=none`, { ...GOOD, evaluations }).expect(200);
    expect(bare.body).toEqual({
      evaluations: [{ decision: true }, { decision: false }, { decision: false }],
    });
    for (const path of [ONE, MANY])
      expect((await service.post(`${path}?context=none`, GOOD).expect(200)).body).toEqual({ decision: true });
    const full = (await service.post(`${ONE}?context=full`, GOOD).expect(200)).body as Answer;
    expect(full.context).toHaveProperty('decision_id');
    await service.post(`${ONE}?context=half`, GOOD).expect(400);
  });

  describe('several evaluations', () => {
    const read = { action: { name: 'read' } };
    const fly = { action: { name: 'fly' } };
    const faulty = { action: { name: 7 } };

    it.each([
      ['execute_all', [read, fly, faulty, read], [true, false, false, true], 3],
      ['deny_on_first_deny', [read, read], [true, true], 2],
      ['deny_on_first_deny', [read, fly, read, faulty], [true, false], 2],
      ['deny_on_first_deny', [read, faulty, read], [true, false], 1],
      ['permit_on_first_permit', [fly, faulty, read, read, fly], [false, false, true], 2],
      ['permit_on_first_permit', [read, faulty], [true], 1],
      ['permit_on_first_permit', [fly, faulty], [false, false], 1],
      [undefined, [fly, read], [false, true], 2],
    ])(
      'with %s answer, publish and count only what is decided',
      async (semantic, evaluations, wanted, count) => {
        const total = async (): Promise<number> =>
          ((await service.get('/api/policy/stats')).body as { total_evaluations: number }).total_evaluations;
        const before = await total();
        const options = { evaluations_semantic: semantic, another_option: 'value' };
        const { body } = await service.post(MANY, { ...GOOD, evaluations, options }).expect(200);
        const answers = (body as { evaluations: Answer[] }).evaluations;
        expect(answers.map(({ decision }) => decision)).toEqual(wanted);
        expect((await total()) - before).toBe(count);
        const told = await service.events({ type: 'policy.rule_evaluated' });
        const ids = answers.map(({ context }) => context.decision_id).filter((id) => id !== undefined);
        expect(
          told.slice(-count).map(({ payload }) => (payload as { decision_id: string }).decision_id),
        ).toEqual(ids);
      },
    );

    it('report the fault of one evaluation in the context of its answer', async () => {
      const evaluations = [{}, faulty, 'read', { subject: null, resource: { type: 'record' } }];
      const { body } = await service.post(MANY, { ...GOOD, evaluations }).expect(200);
      const [first, ...others] = (body as { evaluations: Answer[] }).evaluations;
      expect(first?.decision).toBe(true);
      expect(others).toEqual(
        [
          '/evaluations/1/action/name must be text of 1 to 256 characters',
          '/evaluations/2 must be a JSON object',
          '/evaluations/3/subject must be a JSON object; /evaluations/3/resource/id is required and must be text of 1 to 767 characters',
        ].map((message) => ({ decision: false, context: { error: { status: 400, message } } })),
      );
    });

    it('inherit members as a whole: a resource without properties gets none', async () => {
      const archived = { type: 'record', id: 'record-1', properties: { status: 'archived' } };
      const body = { ...GOOD, action: { name: 'write' }, resource: archived };
      const evaluations = [{}, { resource: { type: 'record', id: 'record-1' } }];
      const answer = await service.post(MANY, { ...body, evaluations }).expect(200);
      expect(answer.body).toMatchObject({ evaluations: [{ decision: false }, { decision: true }] });
    });

    it.each<[string, object, string]>([
      ['a default that is no object', { subject: 'alice', evaluations: [{}] }, '/subject'],
      ['a default that is no object, though all override it', { action: 7, evaluations: [read] }, '/action'],
      [
        'an incomplete default that is needed',
        { resource: { type: 'record' }, evaluations: [{}] },
        '/resource/id',
      ],
      ['evaluations that are no list', { evaluations: 'all' }, '/evaluations'],
      [
        'a large context that all of them share',
        {
          context: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`m${i}`, i])),
          evaluations: [{}],
        },
        '/context',
      ],
      ['null for evaluations', { evaluations: null }, '/evaluations'],
      ['more than a thousand', { evaluations: Array(1001).fill({}) }, '/evaluations'],
      ['options that are no object', { evaluations: [{}], options: 'all' }, '/options'],
      [
        'an unknown semantic',
        { evaluations: [{}], options: { evaluations_semantic: 'any' } },
        '/options/evaluations_semantic',
      ],
    ])('all get 400 with %s', async (_what, more, pointer) => {
      const { body } = await service.post(MANY, { ...GOOD, ...more }).expect(400);
      expect((body as { errors: object[] }).errors).toEqual([expect.objectContaining({ pointer })]);
    });

    it('accept a thousand, and answer them together', async () => {
      const context = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`member_${i}`, i]));
      const resource = { type: 'record', id: 'x'.repeat(767) };
      const body = { ...GOOD, context, evaluations: Array(1000).fill({ resource }) };
      const startedMs = performance.now();
      const answer = await service.post(MANY, body).expect(200);
      expect((answer.body as { evaluations: object[] }).evaluations.length).toBe(1000);
      expect(performance.now() - startedMs).toBeLessThan(1000);
    });
  });

  describe('an invalid body', () => {
    it.each([
      ['text', 'hello', 'application/json'],
      ['half of an object', '{"subject": {"type":', 'application/json'],
      ['nothing', '', 'application/json'],
      ['a list', '[]', 'application/json'],
      ['null', 'null', 'application/json'],
      ['bytes that are not UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), 'application/json'],
      ['another type', JSON.stringify(GOOD), 'text/plain'],
      ['a type that only ends in json', JSON.stringify(GOOD), 'application/vnd.api+json'],
      ['another encoding', JSON.stringify(GOOD), 'application/json; charset=utf-16'],
    ])('gets 400: %s', async (_what, body, type) => {
      for (const path of [ONE, MANY]) {
        const answer = await raw(path, body, type);
        expect([path, answer.status, answer.type]).toEqual([path, 400, 'application/problem+json']);
        expect((answer.body as { detail: string }).detail.length).toBeGreaterThan(10);
      }
    });

    it.each<[string, string]>([
      ['a prototype', '"context": {"__proto__": {"stage": "x"}}'],
      ['a prototype in disguise', '"context": {"\\u005f_proto__": 1}'],
      ['half of a character in an id', '"subject": {"type": "user", "id": "\\ud800"}'],
      ['half of a character in a property', '"action": {"name": "read", "properties": {"a": "\\udc00"}}'],
      ['half of a character in a key', '"context": {"\\ud800": 1}'],
      [
        'ten thousand objects, one in the other',
        `"context": ${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`,
      ],
      ['a number that is none', '"context": {"n": 1e999}'],
      ['a number that was rounded', '"context": {"n": 9007199254740993}'],
      [
        'a rounded number in a property',
        '"action": {"name": "read", "properties": {"n": -9007199254740993}}',
      ],
      ['an empty id', '"resource": {"type": "record", "id": ""}'],
      [
        'a role that is no text',
        '"subject": {"type": "user", "id": "alice", "properties": {"role": ["guest"]}}',
      ],
      ['properties that are no object', '"action": {"name": "read", "properties": []}'],
      ['null for a context', '"context": null'],
    ])('gets 400: %s', async (_what, members) => {
      // If a member occurs twice, the last one counts.
      const body = `${JSON.stringify(GOOD).slice(0, -1)}, ${members}}`;
      expect((await raw(ONE, body)).status).toBe(400);
      expect((await raw(MANY, body)).status).toBe(400);
    });

    it('does not include a null role, or the key `constructor`', async () => {
      const subject = { type: 'user', id: 'alice', properties: { role: null, constructor: 1 } };
      await service.post(ONE, { ...GOOD, subject, context: { constructor: { name: 'x' } } }).expect(200);
    });

    it('gets 413 if it is too large', async () => {
      const padding = 'x'.repeat(300 * 1024);
      expect((await raw(ONE, JSON.stringify({ ...GOOD, padding }))).status).toBe(413);
      expect((await raw(MANY, JSON.stringify({ ...GOOD, padding }))).status).toBe(200);
      expect((await raw(MANY, JSON.stringify({ ...GOOD, padding: padding.repeat(14) }))).status).toBe(413);
    });
  });

  it('requires a key with the permission, and returns the request id of the caller', async () => {
    const roles: [role: string, status: number][] = [
      ['gateway', 200],
      ['viewer', 403],
    ];
    for (const path of [ONE, MANY]) {
      const without = await service.post(path, GOOD, '').set('X-Request-ID', 'asked-1').expect(401);
      expect(without.headers['www-authenticate']).toBe('Bearer');
      expect([without.headers['x-request-id'], without.type]).toEqual([
        'asked-1',
        'application/problem+json',
      ]);
      for (const [role, status] of roles) {
        const { key } = (await service.post('/api/keys', { name: `${role} at ${path}`, role })).body as {
          key: string;
        };
        const answer = await service.post(path, GOOD, key).set('X-Request-ID', 'bfe9eb29 (2)').expect(status);
        expect(answer.headers['x-request-id']).toBe('bfe9eb29 (2)');
      }
    }
  });
});

describe('discovery', () => {
  const at = (base: string): object => ({
    policy_decision_point: base,
    access_evaluation_endpoint: `${base}${ONE}`,
    access_evaluations_endpoint: `${base}${MANY}`,
    search_subject_endpoint: `${base}/access/v1/search/subject`,
    search_action_endpoint: `${base}/access/v1/search/action`,
    search_resource_endpoint: `${base}/access/v1/search/resource`,
  });
  const forwarded = { 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'pdp.example.com' };

  it('needs no key, and answers with the host of the request', async () => {
    const service = await startService();
    const ask = (host: string): request.Test => service.get(DISCOVERY, '').set('Host', host);
    const answer = await ask('localhost:8080').set(forwarded).expect(200);
    expect(answer.headers['content-type']).toMatch(/^application\/json/);
    expect(answer.headers['cache-control']).toBe('private, max-age=3600');
    expect(answer.body).toEqual(at('http://localhost:8080'));
    expect((await ask('[::1]:80').expect(200)).body).toEqual(at('http://[::1]:80'));
    for (const host of ['a b', 'user@example.com', 'example.com/x?y', 'ex"ample'])
      expect([host, (await ask(host)).status]).toEqual([host, 400]);
    await service.stop();
  });

  it('uses the host of a trusted proxy', async () => {
    const service = await startService({ BRAIN_TRUST_PROXY: '1' });
    const answer = await service.get(DISCOVERY, '').set(forwarded).expect(200);
    expect(answer.body).toEqual(at('https://pdp.example.com'));
    await service
      .get(DISCOVERY, '')
      .set({ ...forwarded, 'X-Forwarded-Proto': 'javascript' })
      .expect(400);
    await service.stop();
  });
});
