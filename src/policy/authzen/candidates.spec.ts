/** What a search finds is compared with decisions about every id, on random policies. */
import fc from 'fast-check';
import { LONG } from '../../../test/support/effort.js';
import { decideNaively } from '../../../test/support/naive-policy.js';
import {
  comparisonOf,
  conditionOf,
  policyOf,
  type RuleSketch,
  requestOf,
} from '../../../test/support/policies.js';
import { atOnce } from '../../shared/time-slices.js';
import { compile } from '../engine/compile.js';
import { EFFECTS } from '../engine/effects.js';
import type { Condition, EvaluateRequest, PolicyContent } from '../engine/policy.dto.js';
import { type Finding, findIds, type Searched } from './candidates.js';

const IDS = ['ada', 'bob', 'bob.2', 'doc', 'x:y', 'toString'];
const TYPE = 'doc';

const template: EvaluateRequest = requestOf({
  agent_id: 'any',
  agent_role: 'guest',
  action: 'any',
  resource: `${TYPE}:any`,
  environment: {
    subject: { type: 'agent', id: 'any', properties: {} },
    resource: { type: TYPE, id: 'any', properties: { owner: 'ada', team: ['bob', 'bob.2'] } },
    owner: 'doc:ada',
  },
  params: { names: ['bob', 'doc:x:y', 7], one: 'ada' },
});

/** The request about one id. */
function about(searched: Searched, id: string): EvaluateRequest {
  const environment = structuredClone(template.environment) as Record<string, Record<string, unknown>>;
  if (searched === 'action') return { ...template, action: id };
  environment[searched].id = id;
  if (searched === 'subject') return { ...template, environment, agent_id: id };
  return { ...template, environment, resource: `${TYPE}:${id}` };
}

function find(
  policies: PolicyContent[],
  searched: Searched,
  more: Partial<Finding> = {},
): { ids: string[]; reasons: string[] } {
  return atOnce(
    findIds({
      snapshot: compile(policies),
      ...{ template, searched, known: new Set<string>(), mayName: () => true },
      ...{ knowsAll: false, maxIds: 1000, isLate: () => false },
      ...more,
    }),
  );
}

const id = fc.constantFrom(...IDS, ...IDS.map((one) => `${TYPE}:${one}`), 'other:ada');
const field = fc.constantFrom(
  ...['agent_id', 'agent_id', 'environment.subject.id', 'resource', 'resource', 'environment.resource.id'],
  ...[
    'action',
    'action',
    'agent_role',
    'environment.subject',
    'environment.resource',
    'params.one',
    'params.none',
  ],
  ...[
    'params.names',
    'environment.owner',
    'environment.resource.properties.team',
    'environment.subject.type',
  ],
);
const literal = fc
  .tuple(field, fc.nat(), id, fc.array(fc.oneof(id, fc.integer()), { maxLength: 3 }), fc.boolean())
  .map(([name, pick, text, list, flag]): Condition => {
    const forms: [Condition['operator'], unknown][] = [
      ...(['==', '==', '!=', '>', '<=', 'contains', 'starts_with'] as const).map(
        (one): [typeof one, unknown] => [one, text],
      ),
      ...[['in', list] as const, ['not_in', list] as const, ['exists', flag] as const],
      ...[['matches', '(ada|doc:a)'] as const, ['search', 'b'] as const, ['starts_with', 'do'] as const],
    ].map(([operator, value]): [Condition['operator'], unknown] => [operator, value]);
    const [operator, value] = forms[pick % forms.length];
    return { field: name, operator, value };
  });
const pair = fc
  .tuple(field, fc.constantFrom('==', '!=', 'in', 'not_in', 'contains', '<', 'starts_with'), field)
  .map(([one, operator, other]) => comparisonOf([one, operator as Condition['operator'], other]));
const rules = fc.array(
  fc.record({
    effect: fc.constantFrom(...EFFECTS),
    priority: fc.integer({ min: 0, max: 3 }),
    conditions: fc.array(fc.oneof({ weight: 3, arbitrary: literal }, pair), { maxLength: 3 }),
  }),
  { maxLength: 5 },
);
const set = fc
  .tuple(rules, fc.constantFrom(...EFFECTS))
  .map(([list, default_effect]) => [
    policyOf({ default_effect, rules: list.map((one, i) => ({ ...one, rule_id: `r${i}` })) }),
  ]);

describe('a search', () => {
  it('finds only what is allowed, and misses nothing when it says that it is complete', () => {
    const searched = fc.constantFrom<Searched>('subject', 'resource', 'action');
    let complete = 0;
    fc.assert(
      fc.property(set, searched, (policies, what) => {
        const { ids, reasons } = find(policies, what);
        for (const one of ids) expect(decideNaively(policies, about(what, one)).allowed).toBe(true);
        if (reasons.length > 0) return;
        complete += 1;
        for (const one of [...IDS, 'doc:ada', 'somebody', 'zzz', 'd', 'other:ada']) {
          const { allowed } = decideNaively(policies, about(what, one));
          expect([what, one, allowed]).toEqual([what, one, ids.includes(one)]);
        }
      }),
      { numRuns: LONG ? 50_000 : 3000 },
    );
    expect(complete).toBeGreaterThan(300);
  });

  it('finds the owner whom the request names', () => {
    const own = [comparisonOf(['agent_id', '==', 'environment.resource.properties.owner'])];
    expect(find([policyOf({ rules: [{ rule_id: 'r', conditions: own }] })], 'subject')).toEqual({
      ids: ['ada'],
      reasons: [],
    });
  });

  it('says which rule may allow others', () => {
    const conditions = [conditionOf(['agent_id', 'starts_with', 'b'])];
    const policies = [policyOf({ rules: [{ rule_id: 'r', conditions }] })];
    const reasons = ["Rule 'r' of policy 'p' may allow others: it does not name them"];
    expect(find(policies, 'subject', { known: new Set(['bob', 'ada']) })).toEqual({ ids: ['bob'], reasons });
    const known = { known: new Set(['bob', 'ada']), knowsAll: true };
    expect(find(policies, 'subject', known)).toEqual({ ids: ['bob'], reasons: [] });
  });

  it('is complete when a rule denies all others first', () => {
    const conditions = [conditionOf(['agent_id', '!=', 'ada'])];
    const rules: RuleSketch[] = [
      { rule_id: 'all', priority: 1 },
      { rule_id: 'others', priority: 2, effect: 'deny', conditions },
    ];
    expect(find([policyOf({ rules })], 'subject')).toEqual({ ids: ['ada'], reasons: [] });
  });

  it('ends at its limits, and says so', () => {
    const conditions = [conditionOf(['action', 'in', ['a', 'b', 'c']])];
    const policies = [policyOf({ rules: [{ rule_id: 'r', conditions }] })];
    expect(find(policies, 'action', { maxIds: 2 })).toEqual({
      ids: ['a', 'b'],
      reasons: ['There are more than 2 ids to look at'],
    });
    let asked = 0;
    expect(find(policies, 'action', { isLate: () => ++asked > 1 })).toEqual({
      ids: ['a'],
      reasons: ['The search took too long and ended early'],
    });
    expect(find(policies, 'action', { mayName: (one) => one !== 'b' }).ids).toEqual(['a', 'c']);
  });
});
