/** Rules that can never decide anything: an honest mistake, of which the author is warned. */
import type { Fault } from '../../shared/errors.js';
import { atOnce } from '../../shared/time-slices.js';
import { patternOf } from './patterns.js';
import type { PolicyContent } from './policy.dto.js';
import {
  byPrecedence,
  type CompiledCondition,
  type CompiledRule,
  compileRule,
  conditionsOf,
} from './rules.js';

/** Rules that can be reached, each filed under the one of its conditions that the fewest others have. */
type Before = Map<string, { rule: CompiledRule; keys: string[] }[]>;

/**
 * @param policies without faults; what one of them overshadows in another counts, too
 * @param pointerTo where a policy stands in the body
 */
export function unreachableRules(
  policies: readonly PolicyContent[],
  pointerTo?: (policy: number) => string,
): Fault[] {
  return atOnce(unreachableInSlices(policies, pointerTo));
}

/** The same in steps, for who has other things to do meanwhile. */
export function* unreachableInSlices(
  policies: readonly PolicyContent[],
  pointerTo: (policy: number) => string = (policy) => `/${policy}`,
): Generator<void, Fault[], void> {
  const pointers = new Map<CompiledRule, string>();
  for (const [i, policy] of policies.entries()) {
    if (!policy.enabled) continue;
    for (const [j, rule] of policy.rules.entries()) {
      if (rule.enabled) pointers.set(compileRule(policy, rule, patternOf), `${pointerTo(i)}/rules/${j}`);
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
  const before: Before = new Map();
  for (const rule of [...pointers.keys()].sort(byPrecedence)) {
    yield;
    const own = keys.get(rule) ?? [];
    const detail = contradiction(rule) ?? shadow(before, own);
    if (detail !== undefined) {
      warnings.push({ pointer: pointers.get(rule) ?? '', detail, code: 'unreachable_rule' });
      continue;
    }
    // One of its conditions is enough to find a rule again, since one that it overshadows has that condition as well.
    const filed = before.get(rarest(own)) ?? [];
    filed.push({ rule, keys: own });
    before.set(rarest(own), filed);
  }
  return warnings;
}

/** Why its conditions can never hold together, or undefined. */
function contradiction(rule: CompiledRule): string | undefined {
  for (const [field, conditions] of byField(rule)) {
    if (possibleValues(conditions)?.some((value) => conditions.every(({ test }) => test(value))) === false)
      return `can never match: its conditions on ${field} contradict each other`;
    const [low, high] = bounds(conditions);
    if (low !== undefined && high !== undefined && (low.bound > high.bound || isEmpty(low, high)))
      return `can never match: its conditions on ${field} leave nothing between ${low.bound} and ${high.bound}`;
  }
  return undefined;
}

/** The rule before that holds whenever these conditions do: its own are among them. */
function shadow(before: Before, keys: string[]): string | undefined {
  const own = new Set(keys);
  for (const key of ['', ...keys]) {
    const found = before.get(key)?.find((other) => other.keys.every((one) => own.has(one)));
    if (found)
      return `can never decide: rule '${found.rule.ruleId}' of policy '${found.rule.policyId}' comes first and matches whenever this one does`;
  }
  return undefined;
}

function byField(rule: CompiledRule): Map<string, CompiledCondition[]> {
  const fields = new Map<string, CompiledCondition[]>();
  for (const condition of conditionsOf(rule))
    fields.set(condition.field, [...(fields.get(condition.field) ?? []), condition]);
  return fields;
}

/** All values that some condition leaves, if one leaves only a few; `undefined` stands for a missing field. */
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
  bound: number;
  inclusive: boolean;
}

/** The highest of the lower bounds and the lowest of the upper ones. */
function bounds(conditions: readonly CompiledCondition[]): [Bound | undefined, Bound | undefined] {
  let low: Bound | undefined;
  let high: Bound | undefined;
  for (const { hint } of conditions) {
    if (hint?.by !== 'bound') continue;
    const { operator, bound } = hint;
    const inclusive = operator.endsWith('=');
    const isStricter = (than: Bound | undefined, sign: number): boolean =>
      than === undefined || sign * bound > sign * than.bound || (bound === than.bound && !inclusive);
    if (operator.startsWith('>') && isStricter(low, 1)) low = { bound, inclusive };
    if (operator.startsWith('<') && isStricter(high, -1)) high = { bound, inclusive };
  }
  return [low, high];
}

function isEmpty(low: Bound, high: Bound): boolean {
  return low.bound === high.bound && !(low.inclusive && high.inclusive);
}

function keysOf(rule: CompiledRule): string[] {
  return conditionsOf(rule)
    .map(({ field, source: { operator, value } }) => `${field} ${operator} ${JSON.stringify(value)}`)
    .sort();
}
