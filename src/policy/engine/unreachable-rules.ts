/** Finds rules that can never decide. Such a rule is a mistake, but harmless: the author gets a warning. */
import type { Fault } from '../../shared/errors.js';
import { atOnce } from '../../shared/time-slices.js';
import { cachedPatterns, compilePatterns } from './compile.js';
import { costFor } from './costs.js';
import type { PolicyContent } from './policy.dto.js';
import {
  byPrecedence,
  type CompiledCondition,
  type CompiledRule,
  compileRule,
  conditionsOf,
} from './rules.js';

/** What the check of one rule for contradictions may cost: a few milliseconds. */
const MAX_CONTRADICTION_COST = 2 ** 16;

/** The reachable rules so far, each under its rarest condition, so that few rules share an entry. */
type Reachable = Map<string, { rule: CompiledRule; keys: string[] }[]>;

/**
 * @param policies checked policies; a rule of one policy can shadow a rule of another
 * @param pointerTo the place of a policy in the body
 */
export function unreachableRules(
  policies: readonly PolicyContent[],
  pointerTo?: (policy: number) => string,
): Fault[] {
  return atOnce(unreachableInSlices(policies, pointerTo));
}

/** Does the same in slices, so that many rules do not block the event loop. */
export function* unreachableInSlices(
  policies: readonly PolicyContent[],
  pointerTo: (policy: number) => string = (policy) => `/${policy}`,
): Generator<void, Fault[], void> {
  const pointers = new Map<CompiledRule, string>();
  const patterns = cachedPatterns();
  for (const [i, policy] of policies.entries()) {
    if (!policy.enabled) continue;
    for (const [j, rule] of policy.rules.entries()) {
      yield* compilePatterns(rule, patterns);
      if (rule.enabled) pointers.set(compileRule(policy, rule, patterns), `${pointerTo(i)}/rules/${j}`);
      yield;
    }
  }
  const keys = new Map<CompiledRule, string[]>();
  const counts = new Map<string, number>();
  for (const rule of pointers.keys()) {
    const own = keysOf(rule);
    keys.set(rule, own);
    for (const key of own) counts.set(key, (counts.get(key) ?? 0) + 1);
    yield;
  }
  const rarest = (own: string[]): string =>
    own.reduce((a, b) => ((counts.get(b) ?? 0) < (counts.get(a) ?? 0) ? b : a), own[0] ?? '');
  const warnings: Fault[] = [];
  const reachable: Reachable = new Map();
  for (const rule of [...pointers.keys()].sort(byPrecedence)) {
    yield;
    const own = keys.get(rule) ?? [];
    const detail = contradiction(rule) ?? shadow(reachable, own);
    if (detail !== undefined) {
      warnings.push({ pointer: pointers.get(rule) ?? '', detail, code: 'unreachable_rule' });
      continue;
    }
    // One condition is enough to find the rule again: every rule that it shadows has the same condition.
    const entries = reachable.get(rarest(own)) ?? [];
    entries.push({ rule, keys: own });
    reachable.set(rarest(own), entries);
  }
  return warnings;
}

/** Why the conditions of the rule contradict each other; `undefined` where they do not, or it would take long to find out. */
function contradiction(rule: CompiledRule): string | undefined {
  let left = MAX_CONTRADICTION_COST;
  const canHold = (condition: CompiledCondition, value: unknown): boolean => {
    left -= 1 + (condition.cost ? costFor(condition.cost, value) : 0);
    return left < 0 || holds(condition, value);
  };
  for (const [field, conditions] of byField(rule)) {
    if (possibleValues(conditions)?.some((value) => conditions.every((one) => canHold(one, value))) === false)
      return `can never match: its conditions on ${field} contradict each other`;
    const [low, high] = bounds(conditions);
    if (low !== undefined && high !== undefined && (low.threshold > high.threshold || isEmpty(low, high)))
      return `can never match: its conditions on ${field} leave nothing between ${low.threshold} and ${high.threshold}`;
  }
  return undefined;
}

/** A condition that cannot be evaluated for the value is no contradiction. */
function holds({ test }: CompiledCondition, value: unknown): boolean {
  try {
    return test(value);
  } catch {
    return true;
  }
}

/** Reports an earlier rule that matches whenever this rule does: all its conditions are among these. */
function shadow(reachable: Reachable, keys: string[]): string | undefined {
  const own = new Set(keys);
  for (const key of ['', ...keys]) {
    const found = reachable.get(key)?.find((other) => other.keys.every((one) => own.has(one)));
    if (found)
      return `can never decide: rule '${found.rule.ruleId}' of policy '${found.rule.policyId}' decides first and matches whenever this rule does`;
  }
  return undefined;
}

/** Without conditions that compare two fields: no single value can say whether they hold. */
function byField(rule: CompiledRule): Map<string, CompiledCondition[]> {
  const fields = new Map<string, CompiledCondition[]>();
  for (const condition of conditionsOf(rule)) {
    if (condition.pair) continue;
    fields.set(condition.field, [...(fields.get(condition.field) ?? []), condition]);
  }
  return fields;
}

/** The shortest list of values that a condition allows; `undefined` in it means a missing field. */
function possibleValues(conditions: readonly CompiledCondition[]): unknown[] | undefined {
  const shortest = conditions
    .map(({ source: { operator, value } }) => {
      if (operator === '==') return [value];
      if (operator === 'in') return value as unknown[];
      return operator === 'exists' && value === false ? [undefined] : undefined;
    })
    .filter((values) => values !== undefined)
    .sort((a, b) => a.length - b.length);
  return shortest[0];
}

interface Bound {
  threshold: number;
  inclusive: boolean;
}

/** The highest lower bound and the lowest upper bound. */
function bounds(conditions: readonly CompiledCondition[]): [Bound | undefined, Bound | undefined] {
  let low: Bound | undefined;
  let high: Bound | undefined;
  for (const { hint } of conditions) {
    if (hint?.by !== 'threshold') continue;
    const { operator, threshold } = hint;
    const inclusive = operator.endsWith('=');
    const isStricter = (than: Bound | undefined, sign: number): boolean =>
      than === undefined ||
      sign * threshold > sign * than.threshold ||
      (threshold === than.threshold && !inclusive);
    if (operator.startsWith('>') && isStricter(low, 1)) low = { threshold, inclusive };
    if (operator.startsWith('<') && isStricter(high, -1)) high = { threshold, inclusive };
  }
  return [low, high];
}

function isEmpty(low: Bound, high: Bound): boolean {
  return low.threshold === high.threshold && !(low.inclusive && high.inclusive);
}

function keysOf(rule: CompiledRule): string[] {
  return conditionsOf(rule)
    .map(({ field, pair, source: { operator, value } }) =>
      pair ? `${field} ${operator} from ${pair[1].name}` : `${field} ${operator} ${JSON.stringify(value)}`,
    )
    .sort();
}
