/** Writes of policies and decisions at the same time, on both stores. */
import type { ImportAnswer } from '../src/policy/admin/policies.dto.js';
import type { Policy, PolicyContent } from '../src/policy/engine/policy.dto.js';
import { sleep } from '../src/shared/clock.js';
import { policyOf } from './support/policies.js';
import { BASE, expectTrueCounts, policiesOn, revisionOf, ruleBody } from './support/policy-admin.js';
import { STORES } from './support/stores.js';

describe.each(STORES)('concurrent writes of policies on %s', (_name, startStore) => {
  const { service, make, importYaml } = policiesOn(startStore);

  it('by fifty writers of one policy leave a complete history', async () => {
    const made = await make('raced');
    const start = revisionOf(made);
    const wishes = Array.from({ length: 50 }, (_, i) => {
      const wish =
        i % 2 === 0
          ? service.put(`${BASE}/raced`, { description: `by ${i}` })
          : service.post(`${BASE}/raced/rules`, ruleBody(`r${i}`));
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

  it('by two imports with replace leave one of them, complete', async () => {
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
    await importYaml(all, '?mode=replace').expect(200);
    await expectTrueCounts(service);
  }, 60_000);

  it('each decision is by the old revision or the new one', async () => {
    const conditions = [{ field: 'action', operator: '==', value: 'while.written' }];
    await make('while-written', { rules: [ruleBody('v0', { effect: 'allow', conditions })] });
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
      const rules = [ruleBody(`v${i}`, { effect: 'allow', conditions })];
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
