/** The threads for heavy work: what they answer, how many run, and what ends them. */
import { policyOf, type RuleSketch, requestOf } from '../../../test/support/policies.js';
import { until } from '../../../test/support/until.js';
import { compile } from '../engine/compile.js';
import { decide } from '../engine/decide.js';
import { explain } from '../engine/explain.js';
import { HeavyWork, JobFault } from './heavy-work.js';
import type { Draft } from './try-draft.js';

const rules = (count: number, pattern: (i: number) => string): RuleSketch[] =>
  Array.from({ length: count }, (_, i) => ({
    rule_id: `r${i}`,
    conditions: [{ field: 'params.t', operator: 'matches', value: pattern(i) }],
  }));
const draftOf = (sketches: RuleSketch[], t = 'text'): Draft => ({
  policies: [policyOf({ rules: sketches })],
  pointer: '/policies',
  request: requestOf({ params: { t } }),
  explain: {},
});
const small = draftOf(rules(1, () => 'te?xt'));
/** The check of bodies refuses so many: compiling them takes minutes, and gigabytes. */
const endless = draftOf(rules(50_000, (i) => `[ab]*a[ab]{700}${i}`));

describe('heavy work', () => {
  let work: HeavyWork;
  beforeEach(() => {
    work = new HeavyWork();
  });
  afterEach(() => work.onApplicationShutdown());

  it('decides by drafts as the service does', async () => {
    const { verdict, explanation, faults } = await work.run('draft', small);
    const snapshot = compile(small.policies);
    expect(verdict).toEqual(decide(snapshot, small.request));
    expect(explanation).toEqual(explain(snapshot, small.request));
    expect(faults).toEqual([]);
  });

  it('reports patterns that do not compile, with their pointers', async () => {
    const { verdict, faults } = await work.run('draft', draftOf(rules(3, (i) => (i === 1 ? '(' : 'x'))));
    expect(verdict).toBeUndefined();
    expect(faults).toEqual([
      expect.objectContaining({
        pointer: '/policies/0/rules/1/conditions/0/value',
        code: 'invalid_pattern',
      }),
    ]);
  });

  it('reads YAML, and says what is wrong with it', async () => {
    expect(await work.run('yaml', 'a: [1, b]')).toBe('{"a":[1,"b"]}');
    await expect(work.run('yaml', 'a: [')).rejects.toBeInstanceOf(JobFault);
  });

  it('ends what takes too long, and says so', async () => {
    work.limits.draft.seconds = 0.5;
    await expect(work.run('draft', endless)).rejects.toMatchObject({ kind: 'invalid', code: 'too_costly' });
    work.limits.draft.seconds = 60;
    expect((await work.run('draft', small)).verdict?.allowed).toBe(true);
  });

  it('ends what needs too much memory, and says so', async () => {
    work.limits.draft = { seconds: 600, mib: 32 };
    await expect(work.run('draft', endless)).rejects.toMatchObject({
      code: 'too_costly',
      detail: expect.stringContaining('memory'),
    });
  });

  it('runs two at once, lets eight wait, and refuses the next', async () => {
    work.limits.draft.seconds = 600;
    const callers = Array.from({ length: 10 }, () => new AbortController());
    const results = callers.map(({ signal }) =>
      work.run('draft', endless, signal).catch((error: unknown) => error),
    );
    await until(() => work.running === 2, 60_000, 'the start of two threads');
    await expect(work.run('draft', small)).rejects.toMatchObject({
      kind: 'too_many',
      code: 'busy',
      more: { retryAfterSeconds: 1 },
    });
    // Those that wait leave at once, and those that run are ended.
    for (const caller of callers.reverse()) caller.abort();
    for (const result of await Promise.all(results)) expect(result).toMatchObject({ code: 'caller_gone' });
    expect(work.running).toBe(0);
    expect((await work.run('draft', small)).verdict?.allowed).toBe(true);
  });

  it('starts nothing for a caller who has left', async () => {
    await expect(work.run('draft', small, AbortSignal.abort())).rejects.toMatchObject({
      code: 'caller_gone',
    });
    expect(work.running).toBe(0);
  });

  it('runs all that wait', async () => {
    const results = await Promise.all(Array.from({ length: 6 }, () => work.run('draft', small)));
    expect(results.map(({ verdict }) => verdict?.allowed)).toEqual(Array(6).fill(true));
  });
});
