/** The explanation of a decision, in words and condition by condition. */
import {
  comparisonOf,
  conditionOf,
  type PolicySketch,
  policyOf,
  type RuleSketch,
  requestOf,
} from '../../../test/support/policies.js';

import { MASKED } from '../../shared/mask.js';

import { compile } from './compile.js';
import { explain } from './explain.js';
import type { Explanation } from './explanation.dto.js';
import type { EvaluateRequest } from './policy.dto.js';

function explained(policies: PolicySketch[], request: Partial<EvaluateRequest> = {}): Explanation {
  return explain(compile(policies.map(policyOf)), requestOf(request));
}

const readers = {
  rule_id: 'readers',
  name: 'Readers may read a little',
  conditions: [
    conditionOf(['action', '==', 'read']),
    conditionOf(['agent.role', 'in', ['reader']]),
    conditionOf(['params.rows', '<', 100]),
  ],
};

describe('an explanation', () => {
  it('shows each condition with the value of the request', () => {
    const { rules } = explained([{ rules: [readers] }], { agent_role: 'writer' });
    expect(rules).toEqual([
      {
        policy_id: 'p',
        rule_id: 'readers',
        name: 'Readers may read a little',
        effect: 'allow',
        priority: 0,
        verdict: 'fails',
        decided: false,
        conditions: [
          { field: 'action', operator: '==', expected: 'read', actual: 'read', verdict: 'holds' },
          { field: 'agent.role', operator: 'in', expected: ['reader'], actual: 'writer', verdict: 'fails' },
          { field: 'params.rows', operator: '<', expected: 100, verdict: 'fails' },
        ],
      },
    ]);
  });

  it('shows both fields of a comparison, as far as the request has them', () => {
    const conditions = [
      comparisonOf(['agent_id', '==', 'params.owner']),
      comparisonOf(['params.list', '!=', 'params.owner']),
      comparisonOf(['params.none', '==', 'params.owner']),
      comparisonOf(['params.owner', 'in', 'params.none']),
    ];
    const request = { params: { owner: null, list: [1] } };
    expect(explained([{ rules: [{ rule_id: 'r', conditions }] }], request).rules[0]?.conditions).toEqual([
      {
        field: 'agent_id',
        operator: '==',
        expected_from: 'params.owner',
        expected: null,
        actual: 'agent-1',
        verdict: 'fails',
      },
      {
        field: 'params.list',
        operator: '!=',
        expected_from: 'params.owner',
        expected: null,
        actual: [1],
        verdict: 'holds',
      },
      {
        field: 'params.none',
        operator: '==',
        expected_from: 'params.owner',
        expected: null,
        verdict: 'fails',
      },
      { field: 'params.owner', operator: 'in', expected_from: 'params.none', actual: null, verdict: 'fails' },
    ]);
  });

  it('masks both fields of a comparison', () => {
    const rules = [
      { rule_id: 'r', conditions: [comparisonOf(['params.card.number', '==', 'environment.secret'])] },
    ];
    const request = requestOf({ params: { card: { number: 's3cret' } }, environment: { secret: 's3cret' } });
    const shown = requestOf({ params: { card: MASKED }, environment: { secret: MASKED } });
    const { rules: shownRules } = explain(compile([policyOf({ rules })]), request, { shown });
    expect(shownRules[0]?.conditions).toMatchObject([{ actual: MASKED, expected: MASKED, verdict: 'holds' }]);
  });

  it('lists the rules in order of precedence and marks the one that decided', () => {
    const { rules } = explained([
      { rules: [{ rule_id: 'a' }, { rule_id: 'b', effect: 'deny' }, { ...readers, priority: 9 }] },
    ]);
    expect(rules.map(({ rule_id, verdict, decided }) => [rule_id, verdict, decided])).toEqual([
      ['readers', 'fails', false],
      ['b', 'matches', true],
      ['a', 'matches', false],
    ]);
  });

  it('finds the near miss: the rule that fails by one condition and has the most conditions that hold', () => {
    const admin = { rule_id: 'admin', priority: 9, conditions: [conditionOf(['agent_role', '==', 'admin'])] };
    const request = { agent_role: 'reader', params: { rows: 100 } };
    expect(explained([{ rules: [admin, readers] }], request).near_miss).toMatchObject({
      rule_id: 'readers',
      conditions: [{}, {}, { field: 'params.rows', expected: 100, actual: 100, verdict: 'fails' }],
    });
    expect(explained([{ rules: [readers] }], { action: 'write' }).near_miss).toBeNull();
  });

  it.each<[string, PolicySketch[]]>([
    [
      "Rule 'a' of policy 'p' decided: it has no conditions, and no other rule matches.",
      [{ rules: [{ rule_id: 'a' }] }],
    ],
    [
      "Rule 'b' of policy 'p' decided: its condition holds, and it comes before rule 'a' of policy 'p', which matches too: its priority is higher, 2 against 1.",
      [
        {
          rules: [
            { rule_id: 'a', priority: 1 },
            { rule_id: 'b', priority: 2, conditions: [conditionOf(['action', '==', 'read'])] },
          ],
        },
      ],
    ],
    [
      "Rule 'b' of policy 'p' decided: it has no conditions, and it comes before rule 'a' of policy 'p', which matches too: at the same priority deny comes before allow (deny, audit, warn, allow).",
      [{ rules: [{ rule_id: 'a' }, { rule_id: 'b', effect: 'deny' }] }],
    ],
    [
      "Rule 'a' of policy 'p' decided: it has no conditions, and it comes before rule 'b' of policy 'p', which matches too: at the same priority and effect the rule_id that sorts first decides.",
      [{ rules: [{ rule_id: 'b' }, { rule_id: 'a' }] }],
    ],
    [
      "Rule 'z' of policy 'o' decided: it has no conditions, and it comes before rule 'a' of policy 'p', which matches too: at the same priority and effect the policy_id that sorts first decides.",
      [{ rules: [{ rule_id: 'a' }] }, { policy_id: 'o', rules: [{ rule_id: 'z' }] }],
    ],
    [
      "Rule 'd' of policy 'p' decided: it cannot be evaluated, and a deny rule that cannot be evaluated denies (the field 'x' does not exist), and no other rule matches.",
      [{ rules: [{ rule_id: 'd', effect: 'deny', conditions: [conditionOf(['x', '==', 1])] }] }],
    ],
    ['No policy is enabled, and without an enabled policy everything is denied.', [{ enabled: false }]],
    [
      "No policy has an enabled rule, so the most cautious default effect applies: warn, of policy 'p'.",
      [{ default_effect: 'warn' }, { policy_id: 'q', default_effect: 'allow' }],
    ],
    [
      "No rule matches, so the most cautious default effect applies: deny, of policy 'p'.",
      [{ rules: [{ ...readers, conditions: [conditionOf(['action', '==', 'write'])] }] }],
    ],
  ])('gives the reason: %s', (why, policies) => {
    expect(explained(policies).why).toBe(why);
  });

  it('shows which condition cannot be evaluated', () => {
    const [rule] = explained([
      { rules: [{ rule_id: 'r', conditions: [conditionOf(['x', '==', 1])] }] },
    ]).rules;
    expect(rule).toMatchObject({
      verdict: 'error',
      decided: false,
      conditions: [{ field: 'x', verdict: 'error', error: "the field 'x' does not exist" }],
    });
  });

  it('lists a limited number of rules, and reports their total', () => {
    const snapshot = compile([policyOf({ rules: [{ rule_id: 'a' }, { rule_id: 'b' }, readers] })]);
    const { rules, total_rules, left_out } = explain(snapshot, requestOf(), { maxRules: 2 });
    expect([rules.length, total_rules]).toEqual([2, 3]);
    expect(left_out).toBe('All rules but the first 2: the answer would be too large.');
  });

  it('stays small for large values and many conditions', () => {
    const large = (rule_id: string): RuleSketch => ({
      rule_id,
      conditions: Array.from({ length: 60 }, (_, i) => conditionOf(['params.t', '!=', `${i}`])),
    });
    const policies = [{ rules: Array.from({ length: 200 }, (_, i) => large(`r${i}`)) }];
    for (const t of ['x'.repeat(200_000), Array(100_000).fill(1)]) {
      const explanation = explained(policies, { params: { t } });
      expect(JSON.stringify(explanation).length).toBeLessThan(8_000_000);
      expect(explanation.rules.length).toBeLessThan(explanation.total_rules);
    }
  });

  it('says that a rule could not be evaluated because the text is too long', () => {
    const deny = { rule_id: 'd', conditions: [conditionOf(['params.t', 'search', '[ab]{100}c'])] };
    const { why, rules } = explained([{ rules: [{ ...deny, effect: 'deny' }] }], {
      params: { t: 'ab'.repeat(5000) },
    });
    expect(why).toMatch(
      /^Rule 'd' of policy 'p' decided: it cannot be evaluated.*a text of 10000 characters/,
    );
    expect(rules[0]).toMatchObject({
      verdict: 'error',
      decided: true,
      conditions: [{ verdict: 'error', error: expect.stringContaining('budget') }],
    });
  });
});
