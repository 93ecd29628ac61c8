/** The cost of a decision is bounded: no policies and no text may block the service. */
import { RE2JS } from 're2js';
import { type PolicySketch, policyOf, type RuleSketch, requestOf } from '../../../test/support/policies.js';
import { countCost } from '../../../test/support/re2-cost.js';
import { compile } from './compile.js';
import { MAX_COST } from './costs.js';
import { decide, MAX_ERRORS } from './decide.js';
import { explain } from './explain.js';
import { PATTERNS } from './patterns.js';
import type { Condition, Verdict } from './policy.dto.js';
import { unreachableRules } from './unreachable-rules.js';

/** For some texts RE2 needs the size of this pattern for each character. */
const heavy = (count: number): string => `[ab]*a[ab]{${count}}[cd]`;
const rule = (rule_id: string, pattern: string, more: Partial<RuleSketch> = {}): RuleSketch => ({
  rule_id,
  conditions: [{ field: 'params.t', operator: 'matches', value: pattern }],
  ...more,
});
const decided = (policy: PolicySketch, t: string): Verdict =>
  decide(compile([policyOf(policy)]), requestOf({ params: { t } }));

describe('a text that is too long for its pattern', () => {
  const long = 'ab'.repeat(10_000);

  it('makes a deny rule deny, and no other rule match', () => {
    const denies: PolicySketch = {
      default_effect: 'allow',
      rules: [rule('r', heavy(700), { effect: 'deny' })],
    };
    expect(decided(denies, long)).toMatchObject({
      allowed: false,
      matched_rule: 'r',
      errors: [
        "Rule 'r' of policy 'p' could not be evaluated: a text of 20000 characters costs more than is left of the budget of a decision; send less, or use fewer and simpler patterns",
      ],
    });
    const allows = { rules: [rule('r', heavy(700))] };
    expect(decided(allows, long)).toMatchObject({
      allowed: false,
      matched_rule: null,
      errors: [expect.any(String)],
    });
  });

  it('is never given to RE2, by sixty rules either', () => {
    const test = jest.spyOn(RE2JS.prototype, 'test');
    const policy = policyOf({ rules: Array.from({ length: 60 }, (_, i) => rule(`r${i}`, heavy(700 + i))) });
    const snapshot = compile([policy]);
    const request = requestOf({ params: { t: 'ab'.repeat(1000) } });
    const { errors = [] } = decide(snapshot, request);
    // Not all of them: an answer must not grow with the number of rules.
    expect(errors).toHaveLength(MAX_ERRORS + 1);
    expect(errors.at(-1)).toBe('10 more rules could not be evaluated');
    expect(explain(snapshot, request).rules.map(({ verdict }) => verdict)).toEqual(Array(60).fill('error'));
    expect(test).not.toHaveBeenCalled();
    test.mockRestore();
  });

  it('is no error if it does not start as the pattern does, with an index and without', () => {
    for (const count of [1, 20]) {
      const rules = Array.from({ length: count }, (_, i) =>
        rule(`r${i}`, `w${i}:${heavy(900)}`, { effect: 'deny' }),
      );
      const policy: PolicySketch = { default_effect: 'allow', rules };
      expect(decided(policy, long)).toMatchObject({ allowed: true });
      expect(decided(policy, long)).not.toHaveProperty('errors');
      expect(decided(policy, `w0:${long}`)).toMatchObject({
        allowed: false,
        matched_rule: 'r0',
        errors: [expect.stringContaining("Rule 'r0'")],
      });
    }
  });

  it('does not matter for a pattern that is only a prefix', () => {
    expect(PATTERNS.matches('a.*').matches('a'.repeat(MAX_COST + 1))).toBe(true);
  });

  it('is an error for search as well', () => {
    const searches = rule('r', '', {
      conditions: [{ field: 'params.t', operator: 'search', value: heavy(700) }],
    });
    expect(decided({ rules: [searches] }, 'ab'.repeat(350))).not.toHaveProperty('errors');
    expect(decided({ rules: [searches] }, long).errors).toHaveLength(1);
  });

  it('does not stop the check of rules', () => {
    const both = policyOf({ rules: [rule('r', heavy(700))] });
    both.rules[0].conditions.push({ field: 'params.t', operator: '==', value: long });
    expect(unreachableRules([both])).toEqual([]);
  });
});

it('a text of 128 characters, such as an action, is in the budget for the largest pattern', () => {
  const largest = `${'[ab]'.repeat(10)}(?:a|b){990}[ab]{990}$`;
  expect(decided({ rules: [rule('r', largest)] }, 'ab'.repeat(64))).not.toHaveProperty('errors');
});

/** What the patterns that the work runs cost. */
function costOfWork(work: () => void): number {
  const counter = countCost();
  work();
  counter.stop();
  return counter.count;
}

describe('one decision', () => {
  // Just within the bound for each of them, and far beyond it for all.
  const text = 'ab'.repeat(350);
  const many = (effect: RuleSketch['effect'], more: Condition[] = []): RuleSketch[] =>
    Array.from({ length: 60 }, (_, i) => {
      const { conditions = [], ...one } = rule(`r${i}`, heavy(640 + i), { effect });
      return { ...one, conditions: [...conditions, ...more] };
    });

  it('has one budget for all its patterns, with explanation as well', () => {
    const snapshot = compile([policyOf({ default_effect: 'allow', rules: many('allow') })]);
    const request = requestOf({ params: { t: text } });
    let verdict: Verdict | undefined;
    const cost = costOfWork(() => {
      verdict = decide(snapshot, request);
    });
    expect(cost).toBeGreaterThan(0);
    // The index spends half of it before it gives up.
    expect(cost).toBeLessThanOrEqual(1.5 * MAX_COST);
    expect(verdict?.errors).toHaveLength(MAX_ERRORS + 1);
    expect(costOfWork(() => void explain(snapshot, request))).toBeLessThanOrEqual(2 * MAX_COST);
  });

  it('is denied if the budget ends before the deny rules', () => {
    const policy = { default_effect: 'allow' as const, rules: many('deny') };
    const verdict = decided(policy, text);
    expect(verdict).toMatchObject({ allowed: false, matched_rule: expect.any(String) });
    expect(verdict.errors?.at(-1)).toContain(`Rule '${verdict.matched_rule}'`);
  });

  it('pays for a pattern once, however many rules have it', () => {
    const rules = Array.from({ length: 60 }, (_, i) => rule(`r${i}`, heavy(640), { priority: i }));
    expect(decided({ rules }, text)).not.toHaveProperty('errors');
  });

  it('pays only for rules whose other conditions hold', () => {
    const elsewhere: Condition = { field: 'action', operator: '==', value: 'elsewhere' };
    expect(decided({ rules: many('allow', [elsewhere]) }, text)).not.toHaveProperty('errors');
  });

  it('counts patterns on actions and roles, though their results are cached', () => {
    const rules = Array.from({ length: 60 }, (_, i) => ({
      rule_id: `r${i}`,
      conditions: [{ field: 'action', operator: 'matches' as const, value: heavy(640 + i) }],
    }));
    const snapshot = compile([policyOf({ rules })]);
    for (const length of [1, 20, 200, 700]) {
      const request = requestOf({ action: 'ab'.repeat(length) });
      expect(costOfWork(() => void decide(snapshot, request))).toBeLessThanOrEqual(1.5 * MAX_COST);
      // The second time the cached results must not change the decision.
      expect(decide(snapshot, request)).toEqual(decide(compile([policyOf({ rules })]), request));
    }
  });

  it('looks for thousands of parts in one pass, however often they occur', () => {
    const rules = Array.from({ length: 3000 }, (_, i) => ({
      rule_id: `r${i}`,
      conditions: [
        { field: 'params.t', operator: 'contains' as const, value: 'a'.repeat(1 + (i % 200)) },
        { field: 'params.u', operator: 'matches' as const, value: heavy(500) },
      ],
    }));
    const request = requestOf({ params: { t: 'a'.repeat(200_000), u: 'ab'.repeat(500) } });
    const snapshot = compile([policyOf({ rules })]);
    let verdict: Verdict | undefined;
    const cost = costOfWork(() => {
      verdict = decide(snapshot, request);
    });
    expect(cost).toBeLessThanOrEqual(1.5 * MAX_COST);
    expect(verdict).not.toHaveProperty('errors');
  });
});

it('a list that is too long for the conditions on it is an error, not a delay', () => {
  const rules = Array.from({ length: 2000 }, (_, i) => ({
    rule_id: `r${i}`,
    conditions: [{ field: 'params.list', operator: 'contains' as const, value: { i } }],
  }));
  const list = Array.from({ length: 50_000 }, (_, i) => ({ j: i }));
  const verdict = decide(compile([policyOf({ rules })]), requestOf({ params: { list } }));
  expect(verdict.errors?.at(-1)).toMatch(/more rules could not be evaluated/);
});

it.each<[string, Condition['operator'], unknown, unknown]>([
  ['a list and a member', 'contains', Array(150_000).fill([1]), [2]],
  ['a value and a list', 'not_in', [2], Array(150_000).fill([1])],
  ['equal lists', '==', Array(150_000).fill(1), Array(150_000).fill(1)],
  ['two long texts', 'contains', 'a'.repeat(4_000_000), 'ab'.repeat(200_000)],
])('two fields with %s are not compared if that costs too much', (_what, operator, a, b) => {
  const conditions: Condition[] = [{ field: 'params.a', operator, value_from: 'params.b' }];
  const denies = policyOf({ default_effect: 'allow', rules: [{ rule_id: 'r', effect: 'deny', conditions }] });
  expect(decide(compile([denies]), requestOf({ params: { a, b } }))).toMatchObject({
    allowed: false,
    matched_rule: 'r',
    errors: [expect.stringContaining('the comparison of two long values')],
  });
});
