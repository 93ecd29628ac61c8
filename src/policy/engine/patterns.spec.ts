/** The cost of patterns is bounded: no pair of a pattern and a text may block the service. */
import { RE2JS } from 're2js';
import { type PolicySketch, policyOf, type RuleSketch, requestOf } from '../../../test/support/policies.js';
import { compile } from './compile.js';
import { decide } from './decide.js';
import { explain } from './explain.js';
import { MAX_COST, PATTERNS } from './patterns.js';
import type { Verdict } from './policy.dto.js';
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
        "Rule 'r' of policy 'p' could not be evaluated: a text of 20000 characters is too long for its pattern, which takes at most 1483; send less, or use a simpler pattern",
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
    expect(decide(snapshot, request).errors).toHaveLength(60);
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
    const { matches } = PATTERNS.search(heavy(700));
    expect(matches('ab'.repeat(700))).toBe(false);
    expect(() => matches(long)).toThrow('too long for its pattern');
  });

  it('does not stop the check of rules', () => {
    const both = policyOf({ rules: [rule('r', heavy(700))] });
    both.rules[0].conditions.push({ field: 'params.t', operator: '==', value: long });
    expect(unreachableRules([both])).toEqual([]);
  });
});

it('a text of 256 characters, such as an action, is in the bound for the largest pattern', () => {
  const largest = PATTERNS.matches(`${'[ab]'.repeat(10)}(?:a|b){990}[ab]{990}$`);
  expect(largest.matches('ab'.repeat(128))).toBe(false);
});
