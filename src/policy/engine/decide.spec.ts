/** Compares the engine with the simplest program that follows the contract, on random policies and requests. */
import fc from 'fast-check';
import { LONG } from '../../../test/support/effort.js';
import { decideNaively } from '../../../test/support/naive-policy.js';
import { policyOf, type RuleSketch, requestOf } from '../../../test/support/policies.js';
import { type CompileOptions, compile, compileInSlices } from './compile.js';
import { decide } from './decide.js';
import { EFFECTS } from './effects.js';
import { explain } from './explain.js';
import { PAIR_OPERATORS } from './operators.js';
import type { Condition, EvaluateRequest, PolicyContent, Verdict } from './policy.dto.js';
import type { Compilable } from './snapshot.js';

const RUNS = LONG ? 100_000 : 3000;
const FEWER_RUNS = RUNS / 10;

// Few words, so that rules often match requests; some words start with others or contain them.
const WORDS = ['read', 'read.all', 'write', 'deploy', 'deploy.web', 'deploy.web.eu', '', 'toString'];
const PATTERNS = [
  'read',
  'read$',
  'deploy\\.',
  '(deploy|write)',
  '.*web',
  '[a-r]+$',
  '^write',
  'deploy.*',
  '.*',
  'x?read',
  'deploy\\.[a-z]+',
  'read(\\.all)?$',
  '[a-z.]*w[a-z]{4}',
];
const word = fc.constantFrom(...WORDS);
const scalar = fc.oneof(word, fc.integer({ min: -3, max: 3 }), fc.boolean(), fc.constant(null));
const value = fc.oneof(
  { weight: 6, arbitrary: scalar },
  fc.array(scalar, { maxLength: 3 }),
  fc.dictionary(fc.constantFrom('a', 'b', 'toString'), scalar, { maxKeys: 2 }),
);
const field = fc.constantFrom(
  ...['action', 'action', 'agent_role', 'agent.role', 'agent_id', 'resource'],
  ...['params.a', 'params.a', 'params.b', 'params.a.b', 'params.toString', 'environment.a', 'context.a'],
);
const withValue = fc
  .tuple(field, fc.nat(), value, word, fc.constantFrom(...PATTERNS), fc.array(value, { maxLength: 4 }))
  .map(([name, pick, any, text, pattern, list]): Condition => {
    const forms: [Condition['operator'], unknown][] = [
      ...(['==', '==', '!=', '>', '<', '>=', '<=', 'contains'] as const).map((one): [typeof one, unknown] => [
        one,
        any,
      ]),
      ...(['contains', 'starts_with'] as const).map((one): [typeof one, unknown] => [one, text]),
      ['matches', pattern],
      ['search', pattern],
      ['in', list],
      ['not_in', list],
      ['exists', pick % 2 === 0],
    ];
    const [operator, wanted] = forms[pick % forms.length];
    return { field: name, operator, value: wanted };
  });
const withField: fc.Arbitrary<Condition> = fc.record({
  field,
  operator: fc.constantFrom(...(PAIR_OPERATORS as Condition['operator'][])),
  value_from: field,
});
const condition = fc.oneof({ weight: 3, arbitrary: withValue }, { weight: 1, arbitrary: withField });
const rule = (maxConditions: number): fc.Arbitrary<Omit<RuleSketch, 'rule_id'>> =>
  fc.record({
    effect: fc.constantFrom(...EFFECTS),
    priority: fc.integer({ min: 0, max: 4 }),
    enabled: fc.integer({ max: 9, min: 0 }).map((n) => n > 0),
    description: fc.constantFrom('', 'Mind the gap'),
    conditions: fc.array(condition, { maxLength: maxConditions }),
  });

/** By default fast-check makes short lists, whatever `maxLength` is. */
function policies(maxRules: number, maxConditions = 3, minRules = 0): fc.Arbitrary<PolicyContent[]> {
  const policy = fc.record({
    default_effect: fc.constantFrom(...EFFECTS),
    enabled: fc.integer({ max: 9, min: 0 }).map((n) => n > 0),
    rules: fc.array(rule(maxConditions), { minLength: minRules, maxLength: maxRules, size: 'max' }),
  });
  return fc.array(policy, { maxLength: 4 }).map((list) =>
    list.map((sketch, i) =>
      policyOf({
        ...sketch,
        policy_id: `p${i}`,
        rules: sketch.rules.map((one, j) => ({ ...one, rule_id: `r${j}` })),
      }),
    ),
  );
}

/** Many rules with similar conditions on one field, so that each type of index is used. */
const alike: fc.Arbitrary<PolicyContent[]> = fc
  .constantFrom<[Condition['operator'][], fc.Arbitrary<unknown>]>(
    [['==', 'in'], scalar],
    [['starts_with', 'matches', 'search'], fc.constantFrom(...WORDS, ...PATTERNS)],
    [['contains'], fc.oneof(word, fc.string({ unit: fc.constantFrom('e', 'a', 'd', '.'), maxLength: 4 }))],
    [['>'], fc.integer({ min: -3, max: 3 })],
    [['<'], fc.integer({ min: -3, max: 3 })],
    [['>='], fc.integer({ min: -3, max: 3 })],
    [['<='], fc.integer({ min: -3, max: 3 })],
  )
  .chain(([operators, values]) => {
    const asked = fc
      .record({
        field: fc.constantFrom('params.a', 'params.a', 'params.a', 'action'),
        operator: fc.constantFrom(...operators),
        value: values,
      })
      .map((one): Condition => (one.operator === 'in' ? { ...one, value: [one.value, 'read'] } : one));
    const one = fc
      .tuple(rule(1), asked)
      .map(([sketch, first]) => ({ ...sketch, conditions: [first, ...(sketch.conditions ?? [])] }));
    return fc.array(one, { minLength: 15, maxLength: 60, size: 'max' });
  })
  .map((rules) => [policyOf({ rules: rules.map((one, i) => ({ ...one, rule_id: `r${i}` })) })]);

/** Policies that another program wrote or damaged. */
const damage = fc.constantFrom<Partial<Condition>>(
  { operator: 'equals' as never },
  { field: 'nothing' },
  { operator: 'matches', value: '(' },
  { operator: 'search', value: '(' },
  { field: 'params.__proto__.a' },
  { value_from: 'nothing' },
  { value_from: 'params.__proto__.a', value: undefined },
  { value_from: 'params.b', value: undefined },
  { value_from: 'params.b', value: 'read' },
);
const damaged = fc
  .tuple(policies(20), fc.array(fc.tuple(fc.nat(), damage), { maxLength: 5 }))
  .map(([set, faults]) => {
    const conditions = set.flatMap(({ rules }) => rules.flatMap((one) => one.conditions));
    for (const [at, fault] of faults) Object.assign(conditions[at % conditions.length] ?? {}, fault);
    return set;
  });

const members = fc.dictionary(fc.constantFrom('a', 'b', 'toString'), value, { maxKeys: 3 });
const request: fc.Arbitrary<EvaluateRequest> = fc
  .record(
    { action: word, agent_role: word, agent_id: word, resource: word, params: members, environment: members },
    { requiredKeys: ['action', 'agent_id'] },
  )
  .map(requestOf);
const requests = fc.array(request, { minLength: 1, maxLength: 6 });

/** Which rules have errors, without the texts of the errors. */
function comparable({ errors, ...verdict }: Verdict): object {
  return { ...verdict, errors: errors?.map((text) => /^Rule '([^']*)'/.exec(text)?.[1]) };
}

function agrees(set: PolicyContent[], asked: EvaluateRequest[], options: CompileOptions = {}): void {
  const snapshot = compile(set, options);
  // Twice: the second time the caches answer.
  for (const one of [...asked, ...asked])
    expect(comparable(decide(snapshot, one))).toEqual(comparable(decideNaively(set, one, options.budget)));
}

describe('the engine', () => {
  it('agrees with a linear evaluator', () => {
    fc.assert(
      fc.property(policies(6), requests, (set, asked) => agrees(set, asked)),
      { numRuns: RUNS },
    );
  });

  it('agrees with a linear evaluator on many rules, found by index', () => {
    fc.assert(
      fc.property(policies(120, 2, 40), requests, (set, asked) => agrees(set, asked)),
      { numRuns: FEWER_RUNS },
    );
  });

  it('agrees with a linear evaluator on many similar rules', () => {
    fc.assert(
      fc.property(alike, requests, (set, asked) => agrees(set, asked)),
      { numRuns: FEWER_RUNS },
    );
  });

  it('agrees with a linear evaluator when rules are broken', () => {
    fc.assert(
      fc.property(damaged, requests, (set, asked) => agrees(set, asked)),
      { numRuns: FEWER_RUNS },
    );
  });

  it('agrees with a linear evaluator on any budget, also when rules are broken', () => {
    const budget = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 5000 }));
    for (const [set, numRuns] of [
      [policies(6), RUNS / 3],
      [policies(60, 3, 20), FEWER_RUNS],
      [alike, FEWER_RUNS],
      [damaged, FEWER_RUNS],
    ] as const)
      fc.assert(
        fc.property(set, requests, budget, (all, asked, most) => agrees(all, asked, { budget: most })),
        { numRuns },
      );
  });

  it('never allows more on a smaller budget than a policy that denies by default', () => {
    const strict = policies(30).map((set) =>
      set.map((one) => ({
        ...one,
        default_effect: 'deny' as const,
        rules: one.rules.map((each) => ({ ...each, priority: each.effect === 'deny' ? 9 : 1 })),
      })),
    );
    fc.assert(
      fc.property(strict, requests, fc.integer({ min: 0, max: 300 }), (set, asked, budget) => {
        const [poor, rich] = [compile(set, { budget }), compile(set)];
        for (const each of asked) {
          if (!decide(rich, each).allowed) expect(decide(poor, each).allowed).toBe(false);
        }
      }),
      { numRuns: FEWER_RUNS },
    );
  });

  it('decides the same with any cache size', () => {
    const cacheSize = fc.integer({ min: 0, max: 4 });
    fc.assert(
      fc.property(
        policies(30),
        fc.array(request, { minLength: 1, maxLength: 20 }),
        cacheSize,
        (set, requests, limit) => agrees(set, requests, { cacheSize: limit }),
      ),
      { numRuns: FEWER_RUNS },
    );
  });

  it('decides the same for any order of creation', () => {
    const shuffled = policies(8).chain((set) =>
      fc.tuple(
        fc.constant(set),
        fc.tuple(fc.shuffledSubarray(set, { minLength: set.length }), fc.nat()).map(([order, turn]) =>
          order.map((one) => {
            const at = turn % (one.rules.length + 1);
            return { ...one, rules: [...one.rules.slice(at), ...one.rules.slice(0, at)].reverse() };
          }),
        ),
      ),
    );
    fc.assert(
      fc.property(shuffled, requests, ([set, other], asked) => {
        const [one, another] = [compile(set), compile(other)];
        for (const each of asked) expect(decide(another, each)).toEqual(decide(one, each));
      }),
      { numRuns: FEWER_RUNS },
    );
  });

  it('never turns a denial into anything else when a deny rule is added', () => {
    fc.assert(
      fc.property(policies(8), rule(3), requests, (set, added, asked) => {
        const deny = policyOf({
          policy_id: 'added',
          default_effect: 'allow',
          rules: [{ ...added, rule_id: 'd', effect: 'deny' }],
        });
        const [before, after] = [compile(set), compile([...set, deny])];
        // With no policy everything is denied. The first policy ends that, and its default effect may be any.
        fc.pre(set.some(({ enabled }) => enabled));
        for (const each of asked) {
          if (!decide(before, each).allowed) expect(decide(after, each).allowed).toBe(false);
        }
      }),
      { numRuns: FEWER_RUNS },
    );
  });

  it('compiles changes to the same snapshot as a complete compilation', () => {
    const stamped = (set: PolicyContent[], revision: number): Compilable[] =>
      set.map((one) => ({ ...one, revision, created_at: 1, updated_at: revision }));
    fc.assert(
      fc.property(policies(8), policies(8), fc.nat(), requests, (old, fresh, keep, asked) => {
        const before = stamped(old, 1);
        const kept = before.filter((_one, i) => (keep >> i) % 2 === 0);
        const changed = stamped(fresh, 2).filter(
          ({ policy_id }) => !kept.some((one) => one.policy_id === policy_id),
        );
        const after = [...structuredClone(kept), ...changed];
        const previous = compile(before);
        const [incremental, full] = [compile(after, { previous }), compile(after)];
        expect(incremental.rules.map(({ verdict }) => verdict)).toEqual(
          full.rules.map(({ verdict }) => verdict),
        );
        for (const each of asked) expect(decide(incremental, each)).toEqual(decide(full, each));
      }),
      { numRuns: FEWER_RUNS },
    );
  });

  it('reuses unchanged policies, and compiles in slices while the old snapshot stays in use', () => {
    const rules = Array.from({ length: 500 }, (_one, i) => ({ rule_id: `r${i}` }));
    const first = [policyOf({ policy_id: 'a', rules }), policyOf({ policy_id: 'b', rules })];
    const previous = compile(first, { revision: 1 });
    const slices = compileInSlices([first[0], policyOf({ policy_id: 'b' })], { previous, revision: 2 });
    let steps = 0;
    let step = slices.next();
    for (; !step.done; step = slices.next()) steps += 1;
    expect(steps).toBeGreaterThan(1);
    expect(step.value.units.get('a')).toBe(previous.units.get('a'));
    expect([previous.revision, step.value.revision]).toEqual([1, 2]);
    expect([previous.rules.length, step.value.rules.length]).toEqual([1000, 500]);
  });

  it('explains what it decides', () => {
    fc.assert(
      fc.property(policies(20), requests, fc.integer({ min: 0, max: 1000 }), (set, asked, budget) => {
        const snapshot = compile(set, { budget });
        for (const each of asked) {
          const { matched_rule, matched_policy } = decide(snapshot, each);
          const { rules, total_rules } = explain(snapshot, each);
          const only = explain(snapshot, each, { onlyDeciding: true });
          expect([only.near_miss, only.rules]).toEqual([null, rules.filter(({ decided }) => decided)]);
          const winner = rules.find(({ decided }) => decided);
          expect([winner?.policy_id ?? null, winner?.rule_id ?? null]).toEqual([
            matched_policy,
            matched_rule,
          ]);
          expect(rules.map(({ rule_id }) => rule_id)).toEqual(snapshot.rules.map(({ ruleId }) => ruleId));
          expect(total_rules).toBe(rules.length);
        }
      }),
      { numRuns: FEWER_RUNS },
    );
  });

  it('never throws and never allows by accident, for any request', () => {
    const set = [
      policyOf({
        rules: [
          {
            rule_id: 'd',
            effect: 'deny',
            priority: 1,
            conditions: [{ field: 'params.a.b', operator: '==', value: 1 }],
          },
          { rule_id: 'a', conditions: [{ field: 'action', operator: '==', value: 'read' }] },
        ],
      }),
    ];
    const snapshot = compile(set);
    const trap = {
      get a(): unknown {
        throw new Error('no');
      },
    };
    expect(decide(snapshot, requestOf({ params: trap }))).toMatchObject({
      allowed: false,
      matched_rule: 'd',
      errors: ["Rule 'd' of policy 'p' could not be evaluated: no"],
    });
    for (const odd of [
      null,
      undefined,
      5,
      'read',
      [],
      { action: {} },
      { action: ['read'] },
      { action: null },
    ])
      expect(decide(snapshot, odd as unknown as EvaluateRequest).allowed).toBe(false);
  });
});
