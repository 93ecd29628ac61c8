/** Writing policies over HTTP, on both stores, with the events read from the log. */
import type { Envelope } from '../src/events/event.js';
import type { Policy } from '../src/policy/engine/policy.dto.js';
import {
  BASE,
  type Fault,
  faultsIn,
  never,
  policiesOn,
  revisionOf,
  ruleBody,
} from './support/policy-admin.js';
import { RawConnection } from './support/raw-http.js';
import { ADMIN, startService } from './support/service.js';
import { STORES } from './support/stores.js';

type Event = Envelope & { position: string };

describe.each(STORES)('policies on %s', (_name, startStore) => {
  const { service, make, setRevision, typesOf } = policiesOn(startStore);

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
        await make('at-once', { rules: [ruleBody('r', { effect: 'allow', conditions })] });
        expect(await ask()).toBe(true);
        await service.delete(`${BASE}/at-once`).expect(204);
        expect(await ask()).toBe(false);
      }
    });

    it('changes only the fields in the body', async () => {
      const first = (await make('partly', { description: 'old', metadata: { a: 1 }, rules: [ruleBody('r')] }))
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
      expect(rule.body).toMatchObject({ ...ruleBody('r'), priority: 7 });
      const { body } = await service.get(`${BASE}/partly`).expect(200);
      expect(body).toMatchObject({ name: 'New', description: 'old', revision: 3, metadata: { a: 1 } });
      await service.put(`${BASE}/partly`, { policy_id: 'other' }).expect(422);
      await service.put(`${BASE}/partly/rules/r`, { rule_id: 'other' }).expect(422);
    });

    it('accepts a policy in the form in which it was read', async () => {
      await make('read-back', { rules: [ruleBody('r')] });
      const { body } = await service.get(`${BASE}/read-back`).expect(200);
      const put = await service.put(`${BASE}/read-back`, body).expect(200);
      expect(put.body.revision).toBe(1);
    });

    it('answers 409 for an existing id, and 404 for an unknown one', async () => {
      await make('twice', { rules: [ruleBody('r')] });
      expect((await service.post(BASE, { policy_id: 'twice', name: 'x' }).expect(409)).body.code).toBe(
        'policy_exists',
      );
      expect((await service.post(`${BASE}/twice/rules`, ruleBody('r')).expect(409)).body.code).toBe(
        'rule_exists',
      );
      await service.put(`${BASE}/nowhere`, { name: 'x' }).expect(404);
      await service.delete(`${BASE}/nowhere`).expect(404);
      await service.get(`${BASE}/nowhere/revisions`).expect(404);
      await service.post(`${BASE}/nowhere/rollback`, { revision: 1 }).expect(404);
      await service.post(`${BASE}/nowhere/rules`, ruleBody('r')).expect(404);
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
            ruleBody('same'),
            ruleBody('same', {
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
      expect(faultsIn(answer)).toEqual([
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

    it('warns about a rule that can never decide', async () => {
      const made = await make('shadowed', { rules: [ruleBody('a', { conditions: [] }), ruleBody('b')] });
      expect(made.body.warnings).toEqual([
        expect.objectContaining({ pointer: '/rules/1', code: 'unreachable_rule' }),
      ]);
      await service.delete(`${BASE}/shadowed`).expect(204);
    });

    it('warns about a deny rule that matches only at the start, and about what nothing fills in', async () => {
      const conditions = [
        { field: 'action', operator: 'matches', value: 'delete' },
        { field: 'resource', operator: '==', value: `\${agent_id}` },
      ];
      const made = await make('doubtful', { rules: [ruleBody('a', { effect: 'deny', conditions })] });
      expect(made.body.warnings).toEqual([
        expect.objectContaining({ pointer: '/rules/0/conditions/0/value', code: 'anchored_deny' }),
        expect.objectContaining({ pointer: '/rules/0/conditions/1/value', code: 'template_literal' }),
      ]);
      await service.delete(`${BASE}/doubtful`).expect(204);
    });

    it('without a change makes no revision and no event', async () => {
      const made = await make('still', { rules: [ruleBody('r')] });
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

    it('respects If-Match on every route', async () => {
      const path = `${BASE}/matched`;
      await make('matched', { rules: [ruleBody('r')] });
      expect((await service.get(path).expect(200)).headers.etag).toBe('"1"');
      const wishes = [
        () => service.put(path, { name: 'other' }),
        () => service.post(`${path}/rules`, ruleBody('s')),
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

    it('is done once for each Idempotency-Key and policy', async () => {
      const once = () => service.post(BASE, { name: 'Only once' }).set('Idempotency-Key', 'policy');
      const first = await once().expect(201);
      const second = await once().expect(201);
      expect([second.body, revisionOf(second)]).toEqual([first.body, revisionOf(first)]);
      const other = await service.post(BASE, { name: 'Other' }).set('Idempotency-Key', 'policy').expect(422);
      expect(other.body.code).toBe('idempotency_key_reused');
      await make('once-more');
      for (const policy of ['only_once', 'once-more', 'only_once']) {
        await service
          .post(`${BASE}/${policy}/rules`, ruleBody('r'))
          .set('Idempotency-Key', 'rule')
          .expect(201);
        expect((await service.get(`${BASE}/${policy}`)).body.rules).toHaveLength(1);
      }
    });

    it('publishes one event for each changed rule, after the event of the policy', async () => {
      await make('differing', { rules: ['a', 'b', 'c', 'd', 'e'].map((id) => ruleBody(id)) });
      const before = (await typesOf('differing')).length;
      await service
        .put(`${BASE}/differing`, {
          rules: [
            ruleBody('new'),
            ruleBody('e', { enabled: false, priority: 3 }),
            ruleBody('d', { enabled: false }),
            ruleBody('c', { effect: 'warn' }),
            ruleBody('a'),
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

    it('of hostile content is refused at once, and nothing is stored', async () => {
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
        if (pointer !== undefined) expect(faultsIn(answer).map(([at]) => at)).toEqual([pointer]);
      }
      expect(await setRevision()).toBe(before);
      await service.get(`${BASE}/hostile`).expect(404);
    });

    it.each(['application/json', 'application/yaml'])(
      'of a hundred megabytes of %s is refused before the body is sent',
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
      const made = (await make('history', { rules: [ruleBody('r')] })).body as Policy;
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
      await make('back', { description: 'first', rules: [ruleBody('r')] });
      await service.put(path, { description: 'second', rules: [] }).expect(200);
      const back = await service.post(`${path}/rollback`, { revision: 1 }).expect(200);
      expect(back.body).toMatchObject({ revision: 3, description: 'first', rules: [ruleBody('r')] });
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

  it('are listed in complete pages, and unknown parameters are refused', async () => {
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

describe('the settings for the limits of policies', () => {
  it('are applied', async () => {
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
      expect(await codes([ruleBody('a'), ruleBody('b'), ruleBody('c')], 422)).toEqual(['too_many_rules']);
      expect(await codes([ruleBody('a', { conditions: [never, never] })], 422)).toEqual([
        'too_many_conditions',
      ]);
      expect(await codes([ruleBody('a', { conditions: pattern('abcdef') })], 422)).toEqual([
        'pattern_too_long',
      ]);
      expect(await codes([ruleBody('a', { conditions: pattern('abcde') }), ruleBody('b')], 201)).toEqual([]);
      const third = await service.post(`${BASE}/limited/rules`, ruleBody('c')).expect(422);
      expect(third.body.errors[0].code).toBe('too_many_rules');
      // Three are default rules and two are ours, so one more is allowed.
      const more = { name: 'More', rules: [ruleBody('a'), ruleBody('b')] };
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
