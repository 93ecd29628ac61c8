/** Writing policies over HTTP, on both stores, with the events read from the log. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Envelope } from '../src/events/event.js';
import type { ImportAnswer } from '../src/policy/admin/policies.dto.js';
import type { Policy, PolicyContent } from '../src/policy/engine/policy.dto.js';
import { sleep } from '../src/shared/clock.js';
import { policyOf } from './support/policies.js';
import { RawConnection } from './support/raw-http.js';
import { ADMIN, type Service, startService } from './support/service.js';
import { STORES, serviceOn } from './support/stores.js';

const BASE = '/api/policy/policies';
const PACKS = resolve(__dirname, '../policies');
const never = { field: 'action', operator: '==', value: 'never' } as const;
const ruleOf = (rule_id: string, more: object = {}) => ({
  rule_id,
  name: rule_id,
  effect: 'deny',
  conditions: [never],
  ...more,
});

type Fault = { pointer: string; code: string };
type Event = Envelope & { position: string };

describe.each(STORES)('policies on %s', (name, startStore) => {
  const service = serviceOn(startStore);

  const make = async (policy_id: string, over: object = {}) =>
    service.post(BASE, { policy_id, name: policy_id, ...over }).expect(201);
  const revisionOf = ({ headers }: { headers: Record<string, string> }): number =>
    Number(headers['policy-revision']);
  const setRevision = async (): Promise<number> =>
    (await service.post('/api/policy/test-rule', { agent_id: 'a', action: 'b' }).expect(200)).body
      .policy_revision as number;
  const typesOf = async (policyId: string): Promise<string[]> =>
    (await service.events({ subject: policyId })).map(({ type }) => type);
  const yaml = (text: string, query = '') =>
    service.post(`/api/policy/import${query}`).set('Content-Type', 'application/yaml').send(text);
  const faultsOf = ({ body }: { body: { errors?: Fault[] } }): [string, string][] =>
    (body.errors ?? []).map(({ pointer, code }): [string, string] => [pointer, code]).sort();

  describe('a new installation', () => {
    it('starts with two policies', async () => {
      const { body } = await service.get(BASE).expect(200);
      expect(body).toMatchObject({ total: 2, next_cursor: null });
      expect((body.policies as Policy[]).map(({ policy_id }) => policy_id)).toEqual([
        'admin_full_access',
        'guest_read_only',
      ]);
      const ask = async (agent_role: string, action: string): Promise<boolean> =>
        (await service.post('/api/policy/test-rule', { agent_id: 'a', agent_role, action })).body.allowed;
      expect(await ask('admin', 'anything.at.all')).toBe(true);
      expect(await ask('guest', 'doc:read')).toBe(true);
      expect(await ask('guest', 'doc_read-update')).toBe(false);
      expect(await ask('guest', 'doc.spread')).toBe(false);
    });
  });

  describe('a write', () => {
    it('completes missing fields, and makes missing ids from names', async () => {
      const before = await setRevision();
      const rules = [
        { name: 'Déploy on Friday!', effect: 'deny', conditions: [never] },
        { name: 'deploy on friday', effect: 'warn', conditions: [{ ...never, value: 'other' }] },
      ];
      const made = await service.post(BASE, { name: '  Ünsere Regeln 1 ', rules }).expect(201);
      expect(made.body).toMatchObject({
        policy_id: 'unsere_regeln_1',
        version: '1.0.0',
        description: '',
        default_effect: 'deny',
        enabled: true,
        metadata: {},
        revision: 1,
        created_by: 'bootstrap',
        policy_revision: before + 1,
        warnings: [],
      });
      expect((made.body as Policy).rules.map(({ rule_id }) => rule_id)).toEqual([
        'deploy_on_friday',
        'deploy_on_friday_2',
      ]);
      expect((made.body as Policy).rules[0]).toMatchObject({ priority: 0, enabled: true, description: '' });
      expect(revisionOf(made)).toBe(before + 1);
      expect(made.headers.etag).toBe('"1"');
    });

    it('is in effect when it is answered', async () => {
      const conditions = [{ field: 'action', operator: '==', value: 'at.once' }];
      const ask = async (): Promise<boolean> =>
        (await service.post('/api/policy/evaluate', { agent_id: 'a', action: 'at.once' })).body.allowed;
      for (let i = 0; i < 20; i += 1) {
        await make('at-once', { rules: [ruleOf('r', { effect: 'allow', conditions })] });
        expect(await ask()).toBe(true);
        await service.delete(`${BASE}/at-once`).expect(204);
        expect(await ask()).toBe(false);
      }
    });

    it('changes only the fields in the body', async () => {
      const first = (await make('partly', { description: 'old', metadata: { a: 1 }, rules: [ruleOf('r')] }))
        .body as Policy;
      const put = await service.put(`${BASE}/partly`, { name: 'New' }).expect(200);
      expect(put.body).toEqual({
        ...first,
        name: 'New',
        revision: 2,
        updated_at: expect.any(Number),
        policy_revision: expect.any(Number),
      });
      const rule = await service.put(`${BASE}/partly/rules/r`, { priority: 7 }).expect(200);
      expect(rule.body).toMatchObject({ ...ruleOf('r'), priority: 7 });
      const { body } = await service.get(`${BASE}/partly`).expect(200);
      expect(body).toMatchObject({ name: 'New', description: 'old', revision: 3, metadata: { a: 1 } });
      await service.put(`${BASE}/partly`, { policy_id: 'other' }).expect(422);
      await service.put(`${BASE}/partly/rules/r`, { rule_id: 'other' }).expect(422);
    });

    it('accepts a policy as it was read', async () => {
      await make('read-back', { rules: [ruleOf('r')] });
      const { body } = await service.get(`${BASE}/read-back`).expect(200);
      const put = await service.put(`${BASE}/read-back`, body).expect(200);
      expect(put.body.revision).toBe(1);
    });

    it('answers 409 for an existing id, and 404 for an unknown one', async () => {
      await make('twice', { rules: [ruleOf('r')] });
      expect((await service.post(BASE, { policy_id: 'twice', name: 'x' }).expect(409)).body.code).toBe(
        'policy_exists',
      );
      expect((await service.post(`${BASE}/twice/rules`, ruleOf('r')).expect(409)).body.code).toBe(
        'rule_exists',
      );
      await service.put(`${BASE}/nowhere`, { name: 'x' }).expect(404);
      await service.delete(`${BASE}/nowhere`).expect(404);
      await service.get(`${BASE}/nowhere/revisions`).expect(404);
      await service.post(`${BASE}/nowhere/rollback`, { revision: 1 }).expect(404);
      await service.post(`${BASE}/nowhere/rules`, ruleOf('r')).expect(404);
      for (const path of ['rules/nothing', 'rules/nothing/enable', 'rules/nothing/disable']) {
        const answer = path.endsWith('e')
          ? await service.post(`${BASE}/twice/${path}`)
          : await service.put(`${BASE}/twice/${path}`, { name: 'x' });
        expect([path, answer.status, answer.body.code]).toEqual([path, 404, 'rule_not_found']);
      }
      await service.delete(`${BASE}/twice/rules/nothing`).expect(404);
    });

    it('reports every fault at once', async () => {
      const answer = await service
        .post(BASE, {
          policy_id: 'Not An Id',
          default_effect: 'maybe',
          extra: 1,
          rules: [
            ruleOf('same'),
            ruleOf('same', {
              effect: 'ALLOW',
              conditions: [
                { field: 'actions', operator: '==', value: 'x' },
                { field: 'action', operator: '=', value: 'x' },
                { field: 'action', operator: 'in', value: 'x' },
                { field: 'action', operator: 'matches', value: '(' },
                { field: 'action', operator: '==' },
              ],
            }),
          ],
        })
        .expect(422);
      expect(faultsOf(answer)).toEqual([
        ['/default_effect', 'one_of'],
        ['/extra', 'unknown_field'],
        ['/name', 'required'],
        ['/policy_id', 'text'],
        ['/rules/1/conditions/0/field', 'unknown_field_name'],
        ['/rules/1/conditions/1/operator', 'one_of'],
        ['/rules/1/conditions/2/value', 'wrong_type'],
        ['/rules/1/conditions/3/value', 'invalid_pattern'],
        ['/rules/1/conditions/4/value', 'required'],
        ['/rules/1/effect', 'one_of'],
        ['/rules/1/rule_id', 'duplicate_id'],
      ]);
    });

    it('warns of a rule that can never decide', async () => {
      const made = await make('shadowed', { rules: [ruleOf('a', { conditions: [] }), ruleOf('b')] });
      expect(made.body.warnings).toEqual([
        expect.objectContaining({ pointer: '/rules/1', code: 'unreachable_rule' }),
      ]);
      await service.delete(`${BASE}/shadowed`).expect(204);
    });

    it('that changes nothing makes no revision and no event', async () => {
      const made = await make('still', { rules: [ruleOf('r')] });
      const revision = revisionOf(made);
      const before = await typesOf('still');
      for (const answer of [
        await service.put(`${BASE}/still`, { name: 'still' }).expect(200),
        await service.put(`${BASE}/still/rules/r`, { enabled: true }).expect(200),
        await service.post(`${BASE}/still/rules/r/enable`).expect(200),
        await service.post(`${BASE}/still/rollback`, { revision: 1 }).expect(200),
      ]) {
        expect(revisionOf(answer)).toBe(revision);
        expect(answer.headers.etag).toBe('"1"');
      }
      expect(await typesOf('still')).toEqual(before);
      expect((await service.get(`${BASE}/still/revisions`)).body.revisions).toHaveLength(1);
    });

    it('honours If-Match on every route', async () => {
      const path = `${BASE}/matched`;
      await make('matched', { rules: [ruleOf('r')] });
      expect((await service.get(path).expect(200)).headers.etag).toBe('"1"');
      const wishes = [
        () => service.put(path, { name: 'other' }),
        () => service.post(`${path}/rules`, ruleOf('s')),
        () => service.put(`${path}/rules/r`, { priority: 9 }),
        () => service.post(`${path}/rules/r/disable`),
        () => service.post(`${path}/rules/r/enable`),
        () => service.delete(`${path}/rules/s`),
        () => service.post(`${path}/rollback`, { revision: 1 }),
        () => service.delete(path),
      ];
      for (const [i, wish] of wishes.entries()) {
        const late = await wish().set('If-Match', '"99"').expect(412);
        expect(late.body.code).toBe('version_mismatch');
        await wish().set('If-Match', 'rubbish').expect(412);
        const done = await wish().set('If-Match', `"${i + 1}"`);
        expect([i, done.status < 300]).toEqual([i, true]);
        // A deleted policy has no ETag.
        if (done.status !== 204) expect([i, done.headers.etag]).toEqual([i, `"${i + 2}"`]);
      }
      await service.post(`${path}/rollback`, { revision: 1 }).set('If-Match', '"8"').expect(412);
    });

    it('happens once for each Idempotency-Key and policy', async () => {
      const once = () => service.post(BASE, { name: 'Only once' }).set('Idempotency-Key', 'policy');
      const first = await once().expect(201);
      const second = await once().expect(201);
      expect([second.body, revisionOf(second)]).toEqual([first.body, revisionOf(first)]);
      const other = await service.post(BASE, { name: 'Other' }).set('Idempotency-Key', 'policy').expect(422);
      expect(other.body.code).toBe('idempotency_key_reused');
      await make('once-more');
      for (const policy of ['only_once', 'once-more', 'only_once']) {
        await service.post(`${BASE}/${policy}/rules`, ruleOf('r')).set('Idempotency-Key', 'rule').expect(201);
        expect((await service.get(`${BASE}/${policy}`)).body.rules).toHaveLength(1);
      }
    });

    it('publishes one event for each changed rule, after the event of the policy', async () => {
      await make('differing', { rules: ['a', 'b', 'c', 'd', 'e'].map((id) => ruleOf(id)) });
      const before = (await typesOf('differing')).length;
      await service
        .put(`${BASE}/differing`, {
          rules: [
            ruleOf('new'),
            ruleOf('e', { enabled: false, priority: 3 }),
            ruleOf('d', { enabled: false }),
            ruleOf('c', { effect: 'warn' }),
            ruleOf('a'),
          ],
        })
        .expect(200);
      const events = (await service.events({ subject: 'differing' })).slice(before) as Event[];
      const told = events.map(({ type, payload }) => [type, (payload as { rule_id?: string }).rule_id]);
      expect(told).toEqual([
        ['policy.updated', undefined],
        ['policy.rule_created', 'new'],
        ['policy.rule_updated', 'e'],
        ['policy.rule_disabled', 'd'],
        ['policy.rule_updated', 'c'],
        ['policy.rule_deleted', 'b'],
      ]);
      expect(events[4]?.payload).toMatchObject({ changes: { effect: { old: 'deny', new: 'warn' } } });
    });

    it('with hostile content is refused at once, and nothing is stored', async () => {
      const before = await setRevision();
      const withValue = (operator: string, value: string) =>
        `{"name":"Hostile","rules":[{"name":"r","effect":"deny","conditions":[{"field":"params.x","operator":"${operator}","value":${value}}]}]}`;
      const deep = `${'['.repeat(10_000)}${']'.repeat(10_000)}`;
      const cases: [body: string, status: number, pointer?: string][] = [
        [withValue('matches', `"${'(?:a{1,50}){1,50}'.repeat(4)}"`), 422, '/rules/0/conditions/0/value'],
        [withValue('matches', `"${'('.repeat(300)}${')'.repeat(300)}"`), 422, '/rules/0/conditions/0/value'],
        [withValue('==', deep), 422, '/rules/0/conditions/0/value'],
        [withValue('==', '1e999'), 422, '/rules/0/conditions/0/value'],
        [withValue('==', '"\\ud800"'), 422, '/rules/0/conditions/0/value'],
        [withValue('==', 'NaN'), 400],
        [withValue('==', '{"__proto__":1}'), 400],
        [`{"name":"Hostile","metadata":{"a":${deep}}}`, 422, '/metadata'],
        ['{"name":"Hostile","enabled":"true"}', 422, '/enabled'],
        [
          '{"name":"Hostile","rules":[{"name":"r","effect":"deny","priority":"7"}]}',
          422,
          '/rules/0/priority',
        ],
        ['{"name":"Hostile","rules":{}}', 422, '/rules'],
        ['{"name":"\\ud800"}', 422, '/name'],
        [`{"name":"Hostile","description":"${'x'.repeat(5 * 1024 * 1024)}"}`, 413],
      ];
      for (const [body, status, pointer] of cases) {
        const answer = await service.post(BASE).set('Content-Type', 'application/json').send(body);
        expect([body.slice(0, 200), answer.status]).toEqual([body.slice(0, 200), status]);
        if (pointer !== undefined) expect(faultsOf(answer).map(([at]) => at)).toEqual([pointer]);
      }
      expect(await setRevision()).toBe(before);
      await service.get(`${BASE}/hostile`).expect(404);
    });

    it.each(['application/json', 'application/yaml'])(
      'of a hundred megabytes of %s is refused before they are sent',
      async (type) => {
        const { port } = service.server.address() as { port: number };
        const connection = await RawConnection.to(port);
        const head = [
          'POST /api/policy/import HTTP/1.1',
          'Host: brain.test',
          `Authorization: Bearer ${ADMIN}`,
          `Content-Type: ${type}`,
          `Content-Length: ${100 * 1024 * 1024}`,
        ];
        connection.send(`${head.join('\r\n')}\r\n\r\n`);
        expect((await connection.answer())?.status).toBe(413);
        connection.close();
      },
    );
  });

  describe('revisions', () => {
    it('report who changed what and when, the latest first', async () => {
      const key = await service.post('/api/keys', { name: 'ops', role: 'operator' }).expect(201);
      const made = (await make('history', { rules: [ruleOf('r')] })).body as Policy;
      await service.put(`${BASE}/history`, { name: 'Changed' }, key.body.key as string).expect(200);
      await service.post(`${BASE}/history/rules/r/disable`).expect(200);
      await service.delete(`${BASE}/history`).expect(204);
      const { body } = await service.get(`${BASE}/history/revisions`).expect(200);
      expect(body.next_cursor).toBeNull();
      expect(body.revisions).toMatchObject([
        {
          revision: 4,
          by: 'bootstrap',
          policy: null,
          changes: { rules: [{ rule_id: 'r', fact: 'deleted' }] },
        },
        { revision: 3, policy: { revision: 3 }, changes: { rules: [{ rule_id: 'r', fact: 'disabled' }] } },
        {
          revision: 2,
          by: expect.not.stringMatching(/^bootstrap$/),
          policy: { name: 'Changed' },
          changes: { fields: { name: { old: 'history', new: 'Changed' } }, rules: [] },
        },
        { revision: 1, at: made.created_at, changes: { rules: [{ rule_id: 'r', fact: 'created' }] } },
      ]);
      const page = await service.get(`${BASE}/history/revisions?limit=3`).expect(200);
      const rest = await service.get(`${BASE}/history/revisions?limit=3&cursor=${page.body.next_cursor}`);
      expect([...page.body.revisions, ...rest.body.revisions]).toEqual(body.revisions);
    });

    it('can be restored, also for a deleted policy', async () => {
      const path = `${BASE}/back`;
      await make('back', { description: 'first', rules: [ruleOf('r')] });
      await service.put(path, { description: 'second', rules: [] }).expect(200);
      const back = await service.post(`${path}/rollback`, { revision: 1 }).expect(200);
      expect(back.body).toMatchObject({ revision: 3, description: 'first', rules: [ruleOf('r')] });
      await service.delete(path).expect(204);
      expect((await service.post(`${path}/rollback`, { revision: 4 }).expect(404)).body.code).toBe(
        'revision_not_found',
      );
      const again = await service.post(`${path}/rollback`, { revision: 2 }).expect(200);
      expect(again.body).toMatchObject({ revision: 5, description: 'second', rules: [] });
      await service.post(`${path}/rollback`, { revision: 99 }).expect(404);
      expect((await typesOf('back')).filter((type) => !type.includes('rule'))).toEqual([
        'policy.created',
        'policy.updated',
        'policy.updated',
        'policy.deleted',
        'policy.created',
      ]);
    });
  });

  describe('an import', () => {
    const two = [
      policyOf({ policy_id: 'im-a', rules: [ruleOf('r') as never] }),
      policyOf({ policy_id: 'im-b' }),
    ];

    it('merges in one commit, and reports its plan', async () => {
      const before = await setRevision();
      const tried = await service.post('/api/policy/import?dry_run=true', { policies: two }).expect(200);
      const plan = { create: ['im-a', 'im-b'], update: [], delete: [], unchanged: [] };
      expect(tried.body).toEqual({ applied: false, ...plan, policy_revision: before, warnings: [] });
      await service.get(`${BASE}/im-a`).expect(404);
      const done = await service.post('/api/policy/import', { policies: two }).expect(200);
      expect(done.body).toEqual({ applied: true, ...plan, policy_revision: before + 1, warnings: [] });
      expect(revisionOf(done)).toBe(before + 1);
      const again = await service.post('/api/policy/import', { policies: two }).expect(200);
      expect(again.body).toMatchObject({
        create: [],
        unchanged: ['im-a', 'im-b'],
        policy_revision: before + 1,
      });
      const changed = [{ ...two[0], enabled: false }, two[1]];
      const third = await service.post('/api/policy/import', { policies: changed }).expect(200);
      expect(third.body).toMatchObject({ update: ['im-a'], unchanged: ['im-b'] });
    });

    it('reports every fault at its place, and then writes nothing', async () => {
      const before = await setRevision();
      const policies = [policyOf({ policy_id: 'fine' }), { name: '' }, { name: 'Fine' }, { name: 'fine' }];
      const answer = await service.post('/api/policy/import', { policies }).expect(422);
      expect(faultsOf(answer)).toEqual([['/policies/1/name', 'text']]);
      policies.splice(1, 1);
      const same = await service.post('/api/policy/import', { policies }).expect(422);
      expect(faultsOf(same)).toEqual([
        ['/policies/1/policy_id', 'duplicate_id'],
        ['/policies/2/policy_id', 'duplicate_id'],
      ]);
      const unknown = await service.post('/api/policy/import', { policies: [], polices: [] }).expect(422);
      expect(faultsOf(unknown)).toEqual([['/polices', 'unknown_field']]);
      expect(faultsOf(await service.post('/api/policy/import', {}).expect(422))).toEqual([
        ['/policies', 'required'],
      ]);
      await service.post('/api/policy/import', []).expect(422);
      await service.post('/api/policy/import?mode=both', { policies: [] }).expect(422);
      const many = { policies: Array.from({ length: 2001 }, (_, i) => ({ name: `p${i}` })) };
      expect(faultsOf(await service.post('/api/policy/import', many).expect(422))).toEqual([
        ['/policies', 'too_many_policies'],
      ]);
      expect(await setRevision()).toBe(before);
    });

    it('of the starter packs works as docs/policy.md says', async () => {
      for (const file of readdirSync(PACKS)) {
        const done = await yaml(readFileSync(join(PACKS, file), 'utf8')).expect(200);
        expect([file, done.body.create, done.body.warnings]).toEqual([
          file,
          [file.replace('.yaml', '').replaceAll('-', '_')],
          [],
        ]);
      }
      const asked = await service.post('/api/policy/test-rule', {
        agent_id: 'a',
        action: 'deploy.web',
        environment: { stage: 'production', change_freeze: true },
      });
      expect(asked.body.matched_rule).toBe('no_deploy_in_freeze');
    });

    it('of an export changes nothing', async () => {
      await make('no', {
        name: 'no',
        version: '1.10',
        description: 'a: b # c\n"quoted" \u2028 😀',
        metadata: { n: null },
      });
      const exported = await service.get('/api/policy/export').expect(200);
      expect(exported.headers['content-type']).toBe('application/yaml; charset=utf-8');
      const before = await setRevision();
      const back = await yaml(exported.text, '?mode=replace').expect(200);
      const { total } = (await service.get(BASE)).body as { total: number };
      expect(back.body).toMatchObject({ create: [], update: [], delete: [], policy_revision: before });
      expect((back.body as ImportAnswer).unchanged).toHaveLength(total);
    });

    it('replaces all policies, and restores them', async () => {
      const all = (await service.get('/api/policy/export').expect(200)).text;
      const done = await service
        .post('/api/policy/import?mode=replace', { policies: [policyOf({ policy_id: 'alone' })] })
        .expect(200);
      expect(done.body.delete).toContain('admin_full_access');
      const listed = await service.get(BASE).expect(200);
      expect((listed.body.policies as Policy[]).map(({ policy_id }) => policy_id)).toEqual(['alone']);
      const none = await service.post('/api/policy/import?mode=replace', { policies: [] }).expect(200);
      expect(none.body.delete).toEqual(['alone']);
      expect((await service.get('/api/policy/export').expect(200)).text).toBe('policies: []\n');
      const asked = await service.post('/api/policy/test-rule', { agent_id: 'a', action: 'b' });
      expect(asked.body.reason).toBe('No policies configured - default deny');
      await yaml(all, '?mode=replace').expect(200);
      expect((await service.get('/api/policy/export').expect(200)).text).toBe(all);
      await expectTrueCounts(service);
    }, 60_000);

    it('of malformed or hostile YAML is a 400', async () => {
      const before = await setRevision();
      const levels = Array.from({ length: 12 }, (_, i) => `l${i + 1}: &l${i + 1} [${`*l${i},`.repeat(9)}]`);
      const large = `a: &a "${'x'.repeat(500_000)}"\nb: [${'*a,'.repeat(90)}]`;
      const cases = [
        'policies: [',
        'policies: []\n---\npolicies: []',
        'policies: []\npolicies: []',
        'policies:\n  - name: x\n    name: y',
        'policies:\n  - name: x\n    metadata: {__proto__: {a: 1}}',
        'policies:\n  - name: x\n    metadata: {a: .nan}',
        'policies:\n  - name: x\n    metadata: {? [a]: 1}',
        `l0: &l0 [x]\n${levels.join('\n')}`,
        large,
        `policies: ${'['.repeat(10_000)}`,
        `policies: ${'['.repeat(10_000)}${']'.repeat(10_000)}`,
      ];
      for (const text of cases) {
        const answer = await yaml(text);
        expect([text.slice(0, 60), answer.status, answer.body.code]).toEqual([
          text.slice(0, 60),
          400,
          'malformed_yaml',
        ]);
      }
      for (const text of ['just text', '7', '- a', '# nothing', 'policies: {}'])
        expect([text, (await yaml(text)).status]).toEqual([text, 422]);
      await service.post(BASE).set('Content-Type', 'application/yaml').send('name: x').expect(415);
      expect(await setRevision()).toBe(before);
    }, 60_000);

    it('of thousands of rules delays no other request', async () => {
      const policies = Array.from({ length: 4 }, (_, p) =>
        policyOf({
          policy_id: `large-${p}`,
          rules: Array.from({ length: 500 }, (_unused, r) => ruleOf(`r${r}`, { priority: r }) as never),
        }),
      );
      const text = `policies:\n${policies.map(yamlOf).join('')}`;
      const delay = monitorEventLoopDelay({ resolution: 5 });
      delay.enable();
      const done = await yaml(text).expect(200);
      delay.disable();
      expect(done.body.create).toHaveLength(4);
      // On the event loop, reading it would take seconds.
      process.stderr.write(`${name}: event loop delay at most ${Math.round(delay.max / 1e6)} ms\n`);
      expect(delay.max / 1e6).toBeLessThan(1000);
      const back = await service.post('/api/policy/import', { policies }).expect(200);
      expect(back.body.unchanged).toHaveLength(4);
      for (const { policy_id } of policies) await service.delete(`${BASE}/${policy_id}`).expect(204);
    }, 60_000);
  });

  describe('at once', () => {
    it('fifty writers of one policy leave a complete history', async () => {
      const made = await make('raced');
      const start = revisionOf(made);
      const wishes = Array.from({ length: 50 }, (_, i) => {
        const wish =
          i % 2 === 0
            ? service.put(`${BASE}/raced`, { description: `by ${i}` })
            : service.post(`${BASE}/raced/rules`, ruleOf(`r${i}`));
        return i % 5 === 0 ? wish.set('If-Match', '"1"') : wish;
      });
      const answers = await Promise.all(wishes);
      const done = answers.filter(({ status }) => status < 300);
      expect(answers.filter(({ status }) => ![200, 201, 412].includes(status))).toEqual([]);
      expect(done.length).toBeGreaterThanOrEqual(40);
      const numbers = done.map(revisionOf).sort((a, b) => a - b);
      expect(numbers).toEqual(done.map((_, i) => start + 1 + i));
      const { body } = await service.get(`${BASE}/raced/revisions?limit=100`).expect(200);
      expect((body.revisions as { revision: number }[]).map(({ revision }) => revision)).toEqual(
        Array.from({ length: done.length + 1 }, (_, i) => done.length + 1 - i),
      );
      const last = (await service.get(`${BASE}/raced`)).body as Policy;
      expect(last.rules).toHaveLength(answers.filter(({ status }) => status === 201).length);
      await expectTrueCounts(service);
    }, 60_000);

    it('two imports with replace leave one of them, complete', async () => {
      const all = (await service.get('/api/policy/export').expect(200)).text;
      const setOf = (prefix: string): PolicyContent[] =>
        Array.from({ length: 5 }, (_, i) => policyOf({ policy_id: `${prefix}-${i}`, name: prefix }));
      const answers = await Promise.all(
        ['one', 'two'].map((prefix) =>
          service.post('/api/policy/import?mode=replace', { policies: setOf(prefix) }),
        ),
      );
      expect(answers.map(({ status }) => status)).toEqual([200, 200]);
      const { policies } = (await service.get(BASE).expect(200)).body as { policies: Policy[] };
      const last = answers.reduce((a, b) => (revisionOf(a) > revisionOf(b) ? a : b)).body as ImportAnswer;
      expect(policies.map(({ policy_id }) => policy_id)).toEqual(last.create);
      await yaml(all, '?mode=replace').expect(200);
      await expectTrueCounts(service);
    }, 60_000);

    it('decisions are by the old revision or the new one, and always by one', async () => {
      const conditions = [{ field: 'action', operator: '==', value: 'while.written' }];
      await make('while-written', { rules: [ruleOf('v0', { effect: 'allow', conditions })] });
      let writing = true;
      let written = 0;
      const wrong: unknown[] = [];
      let asked = 0;
      const asking = Array.from({ length: 4 }, async () => {
        while (writing) {
          const from = written;
          const { status, body } = await service.post('/api/policy/evaluate', {
            agent_id: 'a',
            action: 'while.written',
          });
          asked += 1;
          const version = Number(/^v(\d+)$/.exec(body.matched_rule as string)?.[1]);
          if (status !== 200 || body.allowed !== true || !(version >= from)) wrong.push([status, from, body]);
        }
      });
      for (let i = 1; i <= 30; i += 1) {
        const rules = [ruleOf(`v${i}`, { effect: 'allow', conditions })];
        await service.put(`${BASE}/while-written`, { rules }).expect(200);
        written = i;
        await sleep(2);
      }
      writing = false;
      await Promise.all(asking);
      expect(wrong).toEqual([]);
      expect(asked).toBeGreaterThan(30);
    }, 60_000);
  });

  it('lists refuse unknown parameters, and their pages are complete', async () => {
    await service.get(`${BASE}?limit=0`).expect(422);
    await service.get(`${BASE}?cursor=rubbish`).expect(422);
    await service.get(`${BASE}?colour=red`).expect(422);
    const all = (await service.get(`${BASE}?limit=500`).expect(200)).body as {
      total: number;
      policies: Policy[];
    };
    expect(all.policies).toHaveLength(all.total);
    const walked: string[] = [];
    let cursor = '';
    do {
      const { body } = await service.get(`${BASE}?limit=4${cursor && `&cursor=${cursor}`}`).expect(200);
      walked.push(...(body.policies as Policy[]).map(({ policy_id }) => policy_id));
      cursor = body.next_cursor as string;
    } while (cursor);
    expect(walked).toEqual(all.policies.map(({ policy_id }) => policy_id));
  });
});

describe('the limits of policies', () => {
  it('are settings', async () => {
    const service = await startService({
      BRAIN_POLICY_MAX_RULES: '6',
      BRAIN_POLICY_MAX_RULES_PER_POLICY: '2',
      BRAIN_POLICY_MAX_CONDITIONS: '1',
      BRAIN_POLICY_MAX_PATTERN: '5',
    });
    const codes = async (rules: object[], status: number): Promise<string[]> => {
      const answer = await service.post(BASE, { name: 'Limited', rules }).expect(status);
      return ((answer.body.errors ?? []) as Fault[]).map(({ code }) => code);
    };
    const pattern = (value: string) => [{ field: 'action', operator: 'matches', value }];
    try {
      expect(await codes([ruleOf('a'), ruleOf('b'), ruleOf('c')], 422)).toEqual(['too_many_rules']);
      expect(await codes([ruleOf('a', { conditions: [never, never] })], 422)).toEqual([
        'too_many_conditions',
      ]);
      expect(await codes([ruleOf('a', { conditions: pattern('abcdef') })], 422)).toEqual([
        'pattern_too_long',
      ]);
      expect(await codes([ruleOf('a', { conditions: pattern('abcde') }), ruleOf('b')], 201)).toEqual([]);
      const third = await service.post(`${BASE}/limited/rules`, ruleOf('c')).expect(422);
      expect(third.body.errors[0].code).toBe('too_many_rules');
      // Three are default rules and two are ours, so one more is allowed.
      const more = { name: 'More', rules: [ruleOf('a'), ruleOf('b')] };
      expect((await service.post(BASE, more).expect(422)).body.errors[0].code).toBe('too_many_rules_in_all');
      const policies = [more];
      const imported = await service.post('/api/policy/import', { policies }).expect(422);
      expect(imported.body.errors[0].code).toBe('too_many_rules_in_all');
      await service.post('/api/policy/import?mode=replace', { policies }).expect(200);
    } finally {
      await service.stop();
    }
  });
});

function yamlOf({ policy_id, name, rules }: PolicyContent): string {
  const lines = rules.map((rule) => `      - ${JSON.stringify(rule)}\n`);
  return `  - policy_id: ${policy_id}\n    name: ${name}\n    rules:\n${lines.join('')}`;
}

/** Counts every policy over HTTP and compares the count with the statistics. */
async function expectTrueCounts(service: Service): Promise<void> {
  const { policies, total } = (await service.get(`${BASE}?limit=500`).expect(200)).body as {
    policies: Policy[];
    total: number;
  };
  expect(policies).toHaveLength(total);
  expect((await service.get('/api/policy/stats').expect(200)).body).toMatchObject({
    total_policies: total,
    active_policies: policies.filter(({ enabled }) => enabled).length,
    total_rules: policies.reduce((sum, { rules }) => sum + rules.length, 0),
  });
}
