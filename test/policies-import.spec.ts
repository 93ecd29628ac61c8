/** Imports and exports of policies over HTTP, on both stores. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { ImportAnswer } from '../src/policy/admin/policies.dto.js';
import type { Policy, PolicyContent } from '../src/policy/engine/policy.dto.js';
import { policyOf } from './support/policies.js';
import {
  BASE,
  expectTrueCounts,
  faultsIn,
  policiesOn,
  revisionOf,
  ruleBody,
} from './support/policy-admin.js';
import { STORES } from './support/stores.js';

const PACKS = resolve(__dirname, '../policies');

describe.each(STORES)('an import of policies on %s', (name, startStore) => {
  const { service, make, setRevision, importYaml } = policiesOn(startStore);
  const two = [
    policyOf({ policy_id: 'im-a', rules: [ruleBody('r') as never] }),
    policyOf({ policy_id: 'im-b' }),
  ];

  it('merges policies in one commit, and reports its plan', async () => {
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

  it('reports every fault with its pointer, and writes nothing', async () => {
    const before = await setRevision();
    const policies = [policyOf({ policy_id: 'fine' }), { name: '' }, { name: 'Fine' }, { name: 'fine' }];
    const answer = await service.post('/api/policy/import', { policies }).expect(422);
    expect(faultsIn(answer)).toEqual([['/policies/1/name', 'text']]);
    policies.splice(1, 1);
    const same = await service.post('/api/policy/import', { policies }).expect(422);
    expect(faultsIn(same)).toEqual([
      ['/policies/1/policy_id', 'duplicate_id'],
      ['/policies/2/policy_id', 'duplicate_id'],
    ]);
    const unknown = await service.post('/api/policy/import', { policies: [], polices: [] }).expect(422);
    expect(faultsIn(unknown)).toEqual([['/polices', 'unknown_field']]);
    expect(faultsIn(await service.post('/api/policy/import', {}).expect(422))).toEqual([
      ['/policies', 'required'],
    ]);
    await service.post('/api/policy/import', []).expect(422);
    await service.post('/api/policy/import?mode=both', { policies: [] }).expect(422);
    const many = { policies: Array.from({ length: 2001 }, (_, i) => ({ name: `p${i}` })) };
    expect(faultsIn(await service.post('/api/policy/import', many).expect(422))).toEqual([
      ['/policies', 'too_many_policies'],
    ]);
    expect(await setRevision()).toBe(before);
  });

  it('accepts the starter packs, as docs/policy.md describes', async () => {
    for (const file of readdirSync(PACKS)) {
      const done = await importYaml(readFileSync(join(PACKS, file), 'utf8')).expect(200);
      // A new installation has the policy for guests already.
      const { create, unchanged, warnings } = done.body as ImportAnswer;
      expect([file, [...create, ...unchanged], warnings]).toEqual([
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

  it('keeps conditions that compare two fields, as do revisions', async () => {
    const own = { field: 'agent_id', operator: '==', value_from: 'environment.owner' };
    const rules = [{ rule_id: 'own', name: 'Own', effect: 'allow', conditions: [own] }];
    await make('owned', { name: 'Owned', rules });
    const ask = async (owner: string): Promise<boolean> => {
      const body = { agent_id: 'ada', action: 'edit', environment: { owner } };
      return ((await service.post('/api/policy/evaluate', body).expect(200)).body as { allowed: boolean })
        .allowed;
    };
    expect([await ask('ada'), await ask('bob')]).toEqual([true, false]);
    const exported = await service.get('/api/policy/export').expect(200);
    const back = await importYaml(exported.text).expect(200);
    expect((back.body as ImportAnswer).unchanged).toContain('owned');
    const other = { ...own, value_from: 'params.owner' };
    await service.put(`${BASE}/owned/rules/own`, { conditions: [other] }).expect(200);
    expect(await ask('ada')).toBe(false);
    const { body } = await service.get(`${BASE}/owned/revisions`).expect(200);
    expect((body as { revisions: { changes: object }[] }).revisions[0]?.changes).toMatchObject({
      rules: [{ fact: 'updated', changes: { conditions: { old: [own], new: [other] } } }],
    });
    await service.post(`${BASE}/owned/rollback`, { revision: 1 }).expect(200);
    expect(await ask('ada')).toBe(true);
    await service.delete(`${BASE}/owned`).expect(204);
  });

  it('changes nothing if it is an unchanged export', async () => {
    await make('no', {
      name: 'no',
      version: '1.10',
      description: 'a: b # c\n"quoted" \u2028 😀',
      metadata: { n: null },
    });
    const exported = await service.get('/api/policy/export').expect(200);
    expect(exported.headers['content-type']).toBe('application/yaml; charset=utf-8');
    const before = await setRevision();
    const back = await importYaml(exported.text, '?mode=replace').expect(200);
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
    await importYaml(all, '?mode=replace').expect(200);
    expect((await service.get('/api/policy/export').expect(200)).text).toBe(all);
    await expectTrueCounts(service);
  }, 60_000);

  it('refuses malformed or hostile YAML with 400', async () => {
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
      const answer = await importYaml(text);
      expect([text.slice(0, 60), answer.status, answer.body.code]).toEqual([
        text.slice(0, 60),
        400,
        'malformed_yaml',
      ]);
    }
    for (const text of ['just text', '7', '- a', '# nothing', 'policies: {}'])
      expect([text, (await importYaml(text)).status]).toEqual([text, 422]);
    await service.post(BASE).set('Content-Type', 'application/yaml').send('name: x').expect(415);
    expect(await setRevision()).toBe(before);
  }, 60_000);

  it('does not delay other requests, with thousands of rules', async () => {
    const policies = Array.from({ length: 4 }, (_, p) =>
      policyOf({
        policy_id: `large-${p}`,
        rules: Array.from({ length: 500 }, (_unused, r) => ruleBody(`r${r}`, { priority: r }) as never),
      }),
    );
    const text = `policies:\n${policies.map(yamlOf).join('')}`;
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    const done = await importYaml(text).expect(200);
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

function yamlOf({ policy_id, name, rules }: PolicyContent): string {
  const lines = rules.map((rule) => `      - ${JSON.stringify(rule)}\n`);
  return `  - policy_id: ${policy_id}\n    name: ${name}\n    rules:\n${lines.join('')}`;
}
