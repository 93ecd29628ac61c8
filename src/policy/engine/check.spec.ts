/** Policies that cannot be evaluated cannot be written, and all their faults are reported at once. */
import { comparisonOf, conditionOf, LIMITS, policyOf } from '../../../test/support/policies.js';
import { checkInSlices, checkPolicy, checkRule } from './check.js';
import { DEFAULT_POLICIES } from './defaults.js';
import { EFFECTS } from './effects.js';
import { contentOf } from './normalize.js';
import { PAIR_OPERATORS } from './operators.js';
import { type Condition, OPERATORS } from './policy.dto.js';
import { unreachableRules } from './unreachable-rules.js';

const GOOD = { name: 'Rule', effect: 'allow' };

function codes(policy: unknown): string[] {
  return checkPolicy(policy, { limits: LIMITS }).map(({ pointer, code }) => `${pointer} ${code}`);
}

function codesOf(field: string, operator: string, value: unknown): string[] {
  return checkRule({ ...GOOD, conditions: [{ field, operator, value }] }, { limits: LIMITS }).map(
    ({ pointer, code }) => `${pointer} ${code}`,
  );
}

function all(policies: unknown[]): string[] {
  const slices = checkInSlices(policies, { limits: LIMITS });
  for (;;) {
    const { done, value } = slices.next();
    if (done) return value.map(({ pointer, code }) => `${pointer} ${code}`);
  }
}

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = { a: value };
  return value;
}

describe('the check of a policy', () => {
  it('accepts the default policies, and the shortest policy', () => {
    expect(DEFAULT_POLICIES.flatMap((policy) => checkPolicy(policy, { limits: LIMITS }))).toEqual([]);
    expect(unreachableRules(DEFAULT_POLICIES)).toEqual([]);
    expect(checkPolicy({ name: 'Empty' }, { limits: LIMITS })).toEqual([]);
    expect(checkPolicy(policyOf({ rules: [{ rule_id: 'r' }] }), { limits: LIMITS })).toEqual([]);
  });

  it('reports every fault at once, each with its pointer', () => {
    const policy = {
      policy_id: 'Not an id',
      default_effect: 'maybe',
      enabled: 'yes',
      'a/b': 1,
      rules: [
        {
          rule_id: 'r',
          name: 'One',
          effect: 'permit',
          conditions: [{ field: 'actions', operator: '=', value: 1 }],
        },
        { rule_id: 'r', name: '', effect: 'deny', priority: 1.5, conditions: 'none' },
        null,
        { effect: 'deny', conditions: [{ field: 'action' }, 5] },
      ],
    };
    expect(codes(policy)).toEqual([
      '/a~1b unknown_field',
      '/policy_id text',
      '/name required',
      '/default_effect one_of',
      '/enabled boolean',
      '/rules/0/effect one_of',
      '/rules/0/conditions/0/operator one_of',
      '/rules/0/conditions/0/field unknown_field_name',
      '/rules/1/rule_id duplicate_id',
      '/rules/1/name text',
      '/rules/1/priority number',
      '/rules/1/conditions list',
      '/rules/2 object',
      '/rules/3/name required',
      '/rules/3/conditions/0/operator required',
      '/rules/3/conditions/0/value required',
      '/rules/3/conditions/1 object',
    ]);
  });

  it.each<[object, string]>([
    [{ operator: '==', value: 1, value_from: 'params.b' }, 'value_from value_twice'],
    [{ operator: '==', value: null, value_from: 'params.b' }, 'value_from value_twice'],
    [{ operator: '==' }, 'value required'],
    [{ operator: '==', value_from: 'nothing' }, 'value_from unknown_field_name'],
    [{ operator: '==', value_from: 'params.__proto__' }, 'value_from unknown_field_name'],
    [{ operator: '==', value_from: 7 }, 'value_from text'],
    [{ operator: '==', value_from: null }, 'value_from text'],
    [{ operator: 'matches', value_from: 'params.b' }, 'operator wrong_operator'],
    [{ operator: 'search', value_from: 'params.b' }, 'operator wrong_operator'],
    [{ operator: 'exists', value_from: 'params.b' }, 'operator wrong_operator'],
    [{ operator: '==', value_from: 'params.a' }, 'value_from same_field'],
    [{ operator: 'in', value_from: 'agent_id' }, 'value_from wrong_type'],
    [{ operator: 'not_in', value_from: 'agent.role' }, 'value_from wrong_type'],
  ])('refuses %j as a comparison', (condition, fault) => {
    const faults = checkRule(
      { ...GOOD, conditions: [{ field: 'params.a', ...condition }] },
      { limits: LIMITS },
    );
    expect(faults.map(({ pointer, code }) => `${pointer} ${code}`)).toEqual([`/conditions/0/${fault}`]);
  });

  it('refuses to compare a field with itself under another name', () => {
    const conditions = [comparisonOf(['agent.id', '==', 'agent_id'])];
    expect(checkRule({ ...GOOD, conditions }, { limits: LIMITS })).toMatchObject([{ code: 'same_field' }]);
  });

  it('accepts each operator that can compare two fields', () => {
    expect(PAIR_OPERATORS).toHaveLength(10);
    const conditions = PAIR_OPERATORS.map((operator) => ({
      field: 'action',
      operator,
      value_from: 'params.b',
    }));
    expect(checkRule({ ...GOOD, conditions }, { limits: LIMITS })).toEqual([]);
  });

  it('says what to do about a fault', () => {
    expect(checkRule({ ...GOOD, effect: 'permit' }, { limits: LIMITS, pointer: '/rule' })).toEqual([
      { pointer: '/rule/effect', code: 'one_of', detail: `must be one of ${EFFECTS.join(', ')}` },
    ]);
  });

  it.each([null, [], 5, 'policy', undefined])('refuses %p as a policy', (policy) => {
    expect(codes(policy)).toEqual([' object']);
  });

  it.each(['', 'a b', 'Ä', 'A', 'a'.repeat(65), 'a.b', 5, null])('refuses %p as an id', (id) => {
    expect(codes({ name: 'P', policy_id: id, rules: [{ ...GOOD, rule_id: id }] })).toEqual([
      '/policy_id text',
      '/rules/0/rule_id text',
    ]);
  });

  it.each([
    ...[
      '__proto__',
      'params.__proto__',
      'params.__proto__.x',
      'environment.constructor',
      'params.a.prototype.b',
    ],
    ...[
      'params',
      'environment',
      'context',
      'params.',
      'params..a',
      'agent',
      'agent.name',
      'Action',
      'toString',
    ],
  ])('refuses the field %p', (field) => {
    expect(codesOf(field, '==', 'x')).toEqual(['/conditions/0/field unknown_field_name']);
  });

  it.each<[string, string, unknown]>([
    ['params.x', 'in', 'a'],
    ['params.x', 'not_in', { a: 1 }],
    ['params.x', 'exists', 'true'],
    ['params.x', 'exists', null],
    ['params.x', 'matches', 5],
    ['params.x', 'starts_with', null],
    ['params.x', '>', true],
    ['params.x', '<', null],
    ['params.x', '>=', [1]],
    ['params.x', '<=', {}],
    ['action', '==', 5],
    ['action', '>', 5],
    ['agent.role', 'contains', true],
    ['resource', 'in', [1, null]],
    ['agent_id', '==', null],
  ])('refuses a value that can never match: %s %s %p', (field, operator, value) => {
    expect(codesOf(field, operator, value)).toEqual(['/conditions/0/value wrong_type']);
  });

  it.each(OPERATORS)('accepts a value that can match: %s', (operator) => {
    const values: Partial<Record<string, unknown>> = {
      in: ['a'],
      not_in: ['a'],
      exists: true,
      '>': 5,
      '<=': 5,
    };
    expect(codesOf('params.x', operator, values[operator] ?? 'a')).toEqual([]);
  });

  it.each(['(', 'a)|(b', '[a', '*', 'a**', '(?=a)', '\\1', 'a{2,1}', '(?P<n'])(
    'refuses the pattern %p',
    (pattern) => {
      expect(codesOf('action', 'matches', pattern)).toEqual(['/conditions/0/value invalid_pattern']);
    },
  );

  it.each(['((a{30}){30}){30}', '.{1000}.{1000}.{1000}', '\\pL{1000}', '(?:[a-z]{0,100}-){50}'])(
    'refuses the pattern %p, which is short and expensive',
    (pattern) => {
      expect(codesOf('action', 'matches', pattern)).toEqual(['/conditions/0/value pattern_too_large']);
    },
  );

  it('refuses lone surrogates, deep nesting, and numbers that are not finite', () => {
    expect(codesOf('params.x', '==', '\ud800')).toEqual(['/conditions/0/value json_value']);
    expect(codesOf('params.x', 'matches', 'a\udc00')).toEqual(['/conditions/0/value json_value']);
    expect(codesOf('params.\ud800', '==', 1)).toEqual(['/conditions/0/field text']);
    expect(codesOf('params.x', '==', NaN)).toEqual(['/conditions/0/value json_value']);
    expect(codesOf('params.x', '==', nested(33))).toEqual(['/conditions/0/value json_value']);
    expect(codes({ name: 'a\ud800', metadata: nested(40) })).toEqual(['/name text', '/metadata json_object']);
  });

  it('refuses numbers that were rounded when they were parsed', () => {
    expect(codesOf('params.x', '<=', 2 ** 53)).toEqual(['/conditions/0/value json_value']);
    expect(codesOf('params.x', 'in', [1, -(2 ** 53)])).toEqual(['/conditions/0/value json_value']);
    expect(codesOf('params.x', '<=', 2 ** 53 - 1)).toEqual([]);
    expect(codes({ name: 'P', metadata: { serial: 2 ** 60 } })).toEqual([]);
  });

  it('applies the limits that it is given', () => {
    const condition = conditionOf(['action', '==', 'read']);
    const rule = (conditions: Condition[]): object => ({ ...GOOD, conditions });
    expect(codes({ name: 'P', rules: Array.from({ length: 1001 }, () => GOOD) })).toEqual([
      '/rules too_many_rules',
    ]);
    expect(codes({ name: 'P', rules: [rule(Array.from({ length: 65 }, () => condition))] })).toEqual([
      '/rules/0/conditions too_many_conditions',
    ]);
    expect(codesOf('action', 'matches', 'a'.repeat(513))).toEqual(['/conditions/0/value pattern_too_long']);
    expect(codesOf('action', 'matches', 'a'.repeat(512))).toEqual([]);
    const limits = { rules: 2, rulesPerPolicy: 1, conditionsPerRule: 0, patternCharacters: 1 };
    const found = (policy: unknown, otherRules = 0): string[] =>
      checkPolicy(policy, { limits, otherRules }).map(({ code }) => code);
    expect(found({ name: 'P', rules: [GOOD, GOOD] })).toEqual(['too_many_rules']);
    expect(found({ name: 'P', rules: [rule([condition])] })).toEqual(['too_many_conditions']);
    expect(found({ name: 'P', rules: [GOOD] }, 2)).toEqual(['too_many_rules_in_all']);
    expect(found({ name: 'P', rules: [GOOD] }, 1)).toEqual([]);
  });

  it('checks many policies as one set', () => {
    const full = { name: 'P', rules: Array.from({ length: 1000 }, () => GOOD) };
    expect(all(Array.from({ length: 10 }, () => full))).toEqual([]);
    expect(all(Array.from({ length: 11 }, () => full))).toEqual([' too_many_rules_in_all']);
    expect(all([{ name: 'P', policy_id: 'p' }, { policy_id: 'p' }])).toEqual([
      '/1/policy_id duplicate_id',
      '/1/name required',
    ]);
  });

  it('reports a limited number of faults', () => {
    expect(all(Array.from({ length: 2000 }, () => ({ '': 1 })))).toHaveLength(50);
    expect(all(Array.from({ length: 10_000 }, () => ({ '': 1 })))).toEqual([' too_many_policies']);
  });

  it.each<[string, unknown]>([
    [
      '10,000 nested objects',
      { name: 'P', rules: [{ ...GOOD, conditions: [conditionOf(['params.x', '==', nested(10_000)])] }] },
    ],
    ['10,000 nested rules', { name: 'P', rules: nested(10_000) }],
    [
      'a thousand patterns built to explode',
      {
        name: 'P',
        rules: Array.from({ length: 1000 }, () => ({
          ...GOOD,
          conditions: [conditionOf(['action', 'matches', '(x+x+)+y{1000}'.repeat(9)])],
        })),
      },
    ],
    ['a million rules', { name: 'P', rules: Array.from({ length: 1_000_000 }, () => null) }],
    [
      '100,000 unknown fields',
      Object.fromEntries(Array.from({ length: 100_000 }, (_one, i) => [`f${i}`, i])),
    ],
    [
      'a field with 100,000 steps',
      {
        name: 'P',
        rules: [{ ...GOOD, conditions: [conditionOf([`params${'.a'.repeat(100_000)}`, '==', 1])] }],
      },
    ],
  ])('refuses %s without reading it', (_what, policy) => {
    expect(checkPolicy(policy, { limits: LIMITS })).not.toEqual([]);
  });
});

describe('a missing field of a policy', () => {
  it('gets its default, and an id is made from the name', () => {
    const content = contentOf({
      name: 'Über Rules!',
      rules: [
        { name: 'Allow all', effect: 'allow' },
        { name: 'Allow all', effect: 'deny' },
        { name: '日本', effect: 'warn' },
      ],
    });
    expect(content).toMatchObject({
      policy_id: 'uber_rules',
      version: '1.0.0',
      default_effect: 'deny',
      enabled: true,
    });
    expect(content.rules.map(({ rule_id }) => rule_id)).toEqual(['allow_all', 'allow_all_2', 'unnamed']);
    expect(content.rules[0]).toMatchObject({
      description: '',
      conditions: [],
      priority: 0,
      enabled: true,
      metadata: {},
    });
    expect(checkPolicy(content, { limits: LIMITS })).toEqual([]);
  });

  it('gets an id that is unique and not too long', () => {
    const name = 'a'.repeat(100);
    const ids = contentOf({
      name,
      rules: [
        { name, effect: 'allow' },
        { name, effect: 'allow' },
      ],
    }).rules.map(({ rule_id }) => rule_id);
    expect(ids).toEqual(['a'.repeat(64), `${'a'.repeat(62)}_2`]);
  });
});

describe('a rule that can never be reached', () => {
  const unreachable = (...conditions: [string, Condition['operator'], unknown][]): number =>
    unreachableRules([policyOf({ rules: [{ rule_id: 'r', conditions: conditions.map(conditionOf) }] })])
      .length;

  it.each<[string, ...[string, Condition['operator'], unknown][]]>([
    ['two values at once', ['action', '==', 'a'], ['action', '==', 'b']],
    ['a value that a list lacks', ['agent_role', '==', 'a'], ['agent.role', 'in', ['b', 'c']]],
    ['lists with nothing in common', ['params.x', 'in', [1, 2]], ['params.x', 'in', [3]]],
    ['an empty list', ['params.x', 'in', []]],
    ['a value and its opposite', ['action', '==', 'a'], ['action', '!=', 'a']],
    ['a value that the pattern excludes', ['action', '==', 'read'], ['action', 'matches', 'write']],
    ['a value out of bounds', ['params.x', '==', 5], ['params.x', '>', 5]],
    ['no number between the bounds', ['params.x', '>', 5], ['params.x', '<', 5]],
    ['bounds the wrong way round', ['params.x', '>=', 6], ['params.x', '<=', 5], ['params.x', '<=', 9]],
    ['a missing field with a value', ['params.x', 'exists', false], ['params.x', '==', 1]],
    ['a missing field that is compared', ['params.x', 'exists', false], ['params.x', '>', 1]],
  ])('has conditions that contradict each other: %s', (_what, ...conditions) => {
    expect(unreachable(...conditions)).toBe(1);
  });

  it.each<[string, ...[string, Condition['operator'], unknown][]]>([
    ['one number between the bounds', ['params.x', '>=', 5], ['params.x', '<=', 5]],
    ['different fields', ['params.x', '==', 1], ['params.y', '==', 2]],
    ['a missing field that is unlike', ['params.x', 'exists', false], ['params.x', '!=', 1]],
    ['a value in all lists', ['params.x', 'in', [1, 2]], ['params.x', 'in', [2, 3]]],
  ])('can match: %s', (_what, ...conditions) => {
    expect(unreachable(...conditions)).toBe(0);
  });

  it('is found by the fields that it compares, under any of their names', () => {
    const compared = (...others: string[]): string[] =>
      unreachableRules([
        policyOf({
          rules: others.map((other, i) => ({
            rule_id: `r${i}`,
            priority: -i,
            conditions: [comparisonOf(['params.a', '==', other])],
          })),
        }),
      ]).map(({ pointer }) => pointer);
    expect(compared('agent_id', 'agent.id')).toEqual(['/0/rules/1']);
    expect(compared('agent_id', 'agent_role', 'params.b')).toEqual([]);
    const literal = { field: 'params.a', operator: '==', value: 1 } as const;
    const both = [comparisonOf(['params.a', '==', 'agent_id']), literal];
    expect(unreachableRules([policyOf({ rules: [{ rule_id: 'r', conditions: both }] })])).toEqual([]);
  });

  it('is shadowed by a rule without conditions, in any policy', () => {
    const set = [
      policyOf({ policy_id: 'a', rules: [{ rule_id: 'low' }, { rule_id: 'high', priority: 2 }] }),
      policyOf({ policy_id: 'b', rules: [{ rule_id: 'all', effect: 'deny', priority: 1 }] }),
    ];
    expect(unreachableRules(set).map(({ pointer }) => pointer)).toEqual(['/1/rules/0', '/0/rules/0']);
    expect(unreachableRules([set[0]], () => '')).toEqual([
      {
        pointer: '/rules/0',
        code: 'unreachable_rule',
        detail:
          "can never decide: rule 'high' of policy 'a' decides first and matches whenever this rule does",
      },
    ]);
  });

  it('is shadowed by a rule with fewer conditions, but not by a disabled rule or one with more conditions', () => {
    const [one, two] = [conditionOf(['action', '==', 'a']), conditionOf(['agent_role', '==', 'b'])];
    const rules = [
      { rule_id: 'less', priority: 2, conditions: [two] },
      { rule_id: 'more', priority: 1, conditions: [one, two] },
      { rule_id: 'other', priority: 0, conditions: [one] },
    ];
    expect(unreachableRules([policyOf({ rules })]).map(({ pointer }) => pointer)).toEqual(['/0/rules/1']);
    const disabled = rules.map((rule) => ({ ...rule, enabled: rule.rule_id !== 'less' }));
    expect(unreachableRules([policyOf({ rules: disabled })])).toEqual([]);
  });
});
