/** Compiles rules: each condition becomes a test function. Defines the order of precedence. */
import { isJson } from '../../shared/json.js';
import { type Cost, costOf, pairCostOf } from './costs.js';
import { EFFECTS, type Effect } from './effects.js';
import { type Field, fieldOf, type Read } from './fields.js';
import { isScalar, pairTestOf, type Scalar, type Test, testOf, Unusable } from './operators.js';
import type { Patterns } from './patterns.js';
import type { Condition, EvaluateRequest, PolicyContent, Rule, Verdict } from './policy.dto.js';
import { ruleVerdict } from './verdicts.js';

export interface CompiledCondition {
  field: string;
  /** What `test` judges: the value of the field. If the condition compares two fields, it is the whole request. */
  read: Read;
  test: Test;
  source: Condition;
  /** The two fields that the condition compares. Undefined if it compares a field with a value. */
  pair: readonly [one: Field, other: Field] | undefined;
  /**
   * Conditions with the same key hold for the same values. Set only where `ValueClasses` needs it: for conditions on `action`
   * and `agent_role` that do not compare with fixed values.
   */
  testKey: string | undefined;
  hint: Hint | undefined;
  /** Undefined if the test costs next to nothing. */
  cost: Cost | undefined;
  /** Counts the cost for an index that tests the condition in its own way. Only in a snapshot. */
  spend?: (actual: unknown) => void;
}

/** Helps an index to find the rules that can match. */
export type Hint =
  /** The condition holds for exactly these values. */
  | { by: 'values'; values: readonly Scalar[] }
  /** The condition holds only for texts with this prefix; with `exact`, for all of them. */
  | { by: 'prefix'; prefix: string; exact: boolean }
  /** The condition holds for numbers on one side of the threshold. */
  | { by: 'threshold'; operator: string; threshold: number }
  /** The condition holds for exactly the texts and lists that contain this part. */
  | { by: 'part'; part: string };

export interface CompiledRule {
  policyId: string;
  ruleId: string;
  effect: Effect;
  priority: number;
  onAction: readonly CompiledCondition[];
  onRole: readonly CompiledCondition[];
  /** The conditions on other fields, and those that compare two fields. */
  others: readonly CompiledCondition[];
  /** Why the rule cannot be evaluated. If one of its valid conditions is false, the rule still does not match. */
  brokenReason: string | undefined;
  source: Rule;
  verdict: Verdict;
}

/** An index has one entry for each value of a rule; more values would make it too large. */
const MAX_VALUES = 64;
/** They treat all values alike, except a missing field and the values that the condition names. */
const FIXED_VALUE_OPERATORS = new Set(['==', '!=', 'in', 'not_in', 'exists']);
const NONE: readonly CompiledCondition[] = [];

export function compileRule(policy: PolicyContent, rule: Rule, patterns: Patterns): CompiledRule {
  const faults: string[] = [];
  const valid: CompiledCondition[] = [];
  const conditions: unknown = rule.conditions;
  if (!Array.isArray(conditions)) faults.push('its conditions are not a list');
  for (const condition of Array.isArray(conditions) ? (conditions as Condition[]) : []) {
    try {
      valid.push(compileCondition(condition, patterns));
    } catch (error) {
      faults.push(error instanceof Error ? error.message : String(error));
    }
  }
  if (!EFFECTS.includes(rule.effect)) faults.push(`the effect '${rule.effect}' does not exist`);
  if (!Number.isFinite(rule.priority)) faults.push('its priority is not a number');
  // An unknown effect may have been meant to deny, so it denies.
  const effect = EFFECTS.includes(rule.effect) ? rule.effect : 'deny';
  return {
    policyId: policy.policy_id,
    ruleId: rule.rule_id,
    effect,
    priority: Number.isFinite(rule.priority) ? rule.priority : Number.MAX_SAFE_INTEGER,
    onAction: those(valid, ({ field, pair }) => field === 'action' && !pair),
    onRole: those(valid, ({ field, pair }) => field === 'agent_role' && !pair),
    others: those(valid, ({ field, pair }) => !isWord(field) || pair !== undefined),
    brokenReason: faults[0],
    source: rule,
    verdict: ruleVerdict(policy.policy_id, rule, effect),
  };
}

/** @throws when the condition can never be evaluated */
export function compileCondition(condition: Condition, patterns: Patterns): CompiledCondition {
  const { operator, value, value_from } = condition;
  const field = fieldOf(condition.field);
  if (!field) throw new Unusable(`the field '${condition.field}' does not exist`);
  if (value_from !== undefined) return comparison(condition, field);
  if (!isJson(value))
    throw new Unusable(`the value for '${condition.field}' is missing, nested too deep, or not JSON`);
  const test = testOf(operator, value, patterns);
  return {
    field: field.name,
    read: field.read,
    test,
    source: condition,
    pair: undefined,
    testKey:
      isWord(field.name) && !FIXED_VALUE_OPERATORS.has(operator)
        ? `${operator} ${JSON.stringify(value)}`
        : undefined,
    hint: hintOf(condition, patterns),
    cost: costOf(condition, field.name, patterns),
  };
}

/** Compares two fields. No index has a hint for it, because no value is known before the request. */
function comparison(condition: Condition, field: Field): CompiledCondition {
  const { operator, value, value_from } = condition;
  const other = fieldOf(value_from);
  if (!other) throw new Unusable(`the field '${value_from}' does not exist`);
  if (value !== undefined)
    throw new Unusable(`it compares '${condition.field}' with a value and with a field`);
  const test = pairTestOf(operator);
  return {
    field: field.name,
    read: (request) => request,
    test: (request) => test(field.read(request as EvaluateRequest), other.read(request as EvaluateRequest)),
    source: condition,
    pair: [field, other],
    testKey: undefined,
    hint: undefined,
    cost: pairCostOf(operator, field.read, other.read),
  };
}

/** The conditions that can be evaluated. */
export function conditionsOf({ onAction, onRole, others }: CompiledRule): CompiledCondition[] {
  return [...onAction, ...onRole, ...others];
}

/** In this order conditions are tested: 0 without costs, 1 those whose cost does not count, 2 the others. */
export function costClass({ cost }: CompiledCondition): number {
  if (cost === undefined) return 0;
  return cost.key === undefined && cost.nodes === 0 ? 1 : 2;
}

/** The order in which rules decide. It is total, so the order of creation never matters. */
export function byPrecedence(one: CompiledRule, other: CompiledRule): number {
  if (one.priority !== other.priority) return other.priority - one.priority;
  if (one.effect !== other.effect) return EFFECTS.indexOf(one.effect) - EFFECTS.indexOf(other.effect);
  if (one.policyId !== other.policyId) return one.policyId < other.policyId ? -1 : 1;
  if (one.ruleId !== other.ruleId) return one.ruleId < other.ruleId ? -1 : 1;
  return 0;
}

/** Whether the values of the field come from a small vocabulary, so that results can be cached for each value. */
function isWord(field: string): boolean {
  return field === 'action' || field === 'agent_role';
}

function those(
  conditions: CompiledCondition[],
  fits: (condition: CompiledCondition) => boolean,
): readonly CompiledCondition[] {
  const found = conditions.filter(fits);
  return found.length === 0 ? NONE : found.sort((one, other) => costClass(one) - costClass(other));
}

function hintOf({ operator, value }: Condition, patterns: Patterns): Hint | undefined {
  switch (operator) {
    case '==':
      return isScalar(value) ? { by: 'values', values: [value] } : undefined;
    case 'in': {
      const values: unknown[] = Array.isArray(value) ? value : [];
      return values.length <= MAX_VALUES && values.every(isScalar)
        ? { by: 'values', values: [...new Set(values)] }
        : undefined;
    }
    case '>':
    case '<':
    case '>=':
    case '<=':
      return typeof value === 'number' ? { by: 'threshold', operator, threshold: value } : undefined;
    case 'contains':
      return typeof value === 'string' && value !== '' ? { by: 'part', part: value } : undefined;
    case 'starts_with':
      return prefixHint(String(value), true);
    case 'matches': {
      const { prefix, isPrefix } = patterns.matches(String(value));
      return prefixHint(prefix, isPrefix);
    }
    default:
      return undefined;
  }
}

function prefixHint(prefix: string, exact: boolean): Hint | undefined {
  return prefix === '' ? undefined : { by: 'prefix', prefix, exact };
}
