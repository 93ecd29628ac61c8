/**
 * Checks policies before they are stored, so that a stored policy can always be evaluated. It reports all faults at once,
 * up to `MAX_FAULTS`. It checks sizes first, so that it rejects a hostile body before the body costs time.
 */

import type { Fault } from '../../shared/errors.js';
import { MAX_FAULTS, membersOf, shapeFaults, shapeOf } from '../../shared/shapes.js';
import { atOnce } from '../../shared/time-slices.js';
import { cachedPatterns } from './compile.js';
import { fieldOf } from './fields.js';
import { PAIR_OPERATORS, testOf } from './operators.js';
import { invalidPattern } from './pattern-faults.js';
import { PATTERNS, type Patterns, weightOf } from './patterns.js';
import { Condition, type Operator, PolicyBody, Rule } from './policy.dto.js';

/** The limits that an operator can set; their defaults are in the settings. */
export interface PolicyLimits {
  rules: number;
  rulesPerPolicy: number;
  conditionsPerRule: number;
  patternCharacters: number;
}

export interface CheckOptions {
  limits: PolicyLimits;
  /** The number of stored rules that this write does not replace. */
  otherRules?: number;
  /** The place of the checked value in the body. */
  pointer?: string;
  /** False if the patterns are compiled later, in another thread. */
  compiles?: boolean;
}

/** For the whole set: a replica reads all policies when it starts. */
export const MAX_POLICIES = 2000;
/** The number of policies that are checked before the next yield; a policy without rules yields nowhere else. */
const POLICIES_PER_SLICE = 32;
/** A pattern of this weight takes a few milliseconds to compile. */
const MAX_PATTERN_WEIGHT = 2000;
/** The different patterns of one body are compiled several times, and kept in memory. */
const MAX_BODY_WEIGHT = 500_000;

/** A caller may omit fields that have a default, and may send back the fields that the service adds. */
const POLICY = shapeOf(PolicyBody, { others: ['rules'] });
const RULE = shapeOf(Rule, { others: ['conditions'] });
const CONDITION = shapeOf(Condition);
const FIELDS =
  'must be agent_id, agent_role, action, resource, environment.<path> or params.<path>; a path must not contain __proto__, constructor or prototype';

/** The faults found so far, and the limits. */
class Check {
  readonly faults: Fault[] = [];

  readonly limits: PolicyLimits;
  readonly compiles: boolean;
  readonly compiled = cachedPatterns();
  private readonly patterns = new Set<string>();
  private bodyWeight = 0;

  constructor({ limits, compiles = true }: CheckOptions) {
    this.limits = limits;
    this.compiles = compiles;
  }

  /** Counts a pattern. A repeated one costs nothing. @returns whether there is still room for it */
  takes(operator: string, pattern: string, weight: number): boolean {
    const key = `${operator} ${pattern}`;
    if (this.patterns.has(key)) return true;
    this.patterns.add(key);
    this.bodyWeight += weight;
    return this.bodyWeight <= MAX_BODY_WEIGHT;
  }

  get isFull(): boolean {
    return this.faults.length >= MAX_FAULTS;
  }

  add(pointer: string, code: string, detail: string): void {
    if (!this.isFull) this.faults.push({ pointer, detail, code });
  }
}

export function checkPolicy(policy: unknown, options: CheckOptions): Fault[] {
  return atOnce(checkPolicyInSlices(policy, options));
}

/** Checks one policy in slices, so that a large one does not block the event loop. */
export function* checkPolicyInSlices(policy: unknown, options: CheckOptions): Generator<void, Fault[], void> {
  const { limits, otherRules = 0, pointer = '' } = options;
  const check = new Check(options);
  yield* policyFaults(check, policy, pointer);
  const rules = rulesOf(policy).length + otherRules;
  if (rules > limits.rules && !check.isFull)
    check.faults.push(tooManyRules(`${pointer}/rules`, rules, limits.rules));
  return check.faults;
}

export function checkRule(rule: unknown, options: CheckOptions): Fault[] {
  return atOnce(checkRuleInSlices(rule, options));
}

export function* checkRuleInSlices(rule: unknown, options: CheckOptions): Generator<void, Fault[], void> {
  const check = new Check(options);
  yield* ruleFaults(check, rule, options.pointer ?? '');
  return check.faults;
}

/** Checks many policies as one set, in slices. */
export function* checkInSlices(
  policies: readonly unknown[],
  options: CheckOptions,
): Generator<void, Fault[], void> {
  const { limits, otherRules = 0, pointer = '' } = options;
  const check = new Check(options);
  const rules = policies.reduce<number>((sum, policy) => sum + rulesOf(policy).length, otherRules);
  if (rules > limits.rules) check.faults.push(tooManyRules(pointer, rules, limits.rules));
  if (policies.length > MAX_POLICIES) {
    const detail = `must be at most ${MAX_POLICIES} policies; there are ${policies.length}`;
    check.add(pointer, 'too_many_policies', detail);
    return check.faults;
  }
  const ids = new Set<unknown>();
  for (const [i, policy] of policies.entries()) {
    if (i % POLICIES_PER_SLICE === 0) yield;
    if (check.isFull || rules > limits.rules) break;
    const at = `${pointer}/${i}`;
    const id = membersOf(policy)?.policy_id;
    if (id !== undefined && ids.has(id)) duplicate(check, `${at}/policy_id`, 'policy');
    ids.add(id);
    yield* policyFaults(check, policy, at);
  }
  return check.faults;
}

/** The fault of a write after which all policies together would have too many rules. */
export function tooManyRules(pointer: string, count: number, most: number): Fault {
  const detail = `must leave at most ${most} rules in all policies together; there would be ${count}`;
  return { pointer, detail, code: 'too_many_rules_in_all' };
}

function* policyFaults(check: Check, policy: unknown, pointer: string): Generator<void, void, void> {
  if (!shapeFaults(POLICY, policy, pointer, check.faults)) return;
  const { rules = [] } = policy;
  if (!Array.isArray(rules)) {
    check.add(`${pointer}/rules`, 'list', 'must be a list of rules');
    return;
  }
  const { rulesPerPolicy } = check.limits;
  if (rules.length > rulesPerPolicy) {
    const detail = `must be at most ${rulesPerPolicy} rules; there are ${rules.length}`;
    check.add(`${pointer}/rules`, 'too_many_rules', detail);
    return;
  }
  const ids = new Set<unknown>();
  for (const [i, rule] of rules.entries()) {
    if (check.isFull) return;
    const at = `${pointer}/rules/${i}`;
    const id = membersOf(rule)?.rule_id;
    if (id !== undefined && ids.has(id)) duplicate(check, `${at}/rule_id`, 'rule');
    ids.add(id);
    yield* ruleFaults(check, rule, at);
  }
}

function* ruleFaults(check: Check, rule: unknown, pointer: string): Generator<void, void, void> {
  yield;
  if (!shapeFaults(RULE, rule, pointer, check.faults)) return;
  const { conditions = [] } = rule;
  const { conditionsPerRule } = check.limits;
  const at = `${pointer}/conditions`;
  if (!Array.isArray(conditions)) {
    check.add(at, 'list', 'must be a list of conditions');
    return;
  }
  if (conditions.length > conditionsPerRule) {
    const detail = `must be at most ${conditionsPerRule} conditions; there are ${conditions.length}`;
    check.add(at, 'too_many_conditions', detail);
    return;
  }
  for (const [i, condition] of conditions.entries()) {
    yield;
    conditionFaults(check, condition, `${at}/${i}`);
  }
}

function conditionFaults(check: Check, condition: unknown, pointer: string): void {
  const before = check.faults.length;
  if (!shapeFaults(CONDITION, condition, pointer, check.faults)) return;
  const { field, operator, value, value_from } = condition as unknown as Condition;
  for (const [name, of] of Object.entries({ field, value_from })) {
    if (typeof of === 'string' && !fieldOf(of)) check.add(`${pointer}/${name}`, 'unknown_field_name', FIELDS);
  }
  const at = `${pointer}/value`;
  if (value === undefined && value_from === undefined)
    check.add(at, 'required', 'is required, or value_from: what the field is compared with');
  if (check.faults.length > before) return;
  if (value_from !== undefined) {
    pairFaults(check, condition as unknown as Condition, pointer);
    return;
  }
  if ((operator === 'matches' || operator === 'search') && typeof value === 'string') {
    patternFaults(check, operator, value, at);
    return;
  }
  try {
    testOf(operator, value, PATTERNS);
  } catch (error) {
    check.add(at, 'wrong_type', `can never match; change the value: ${(error as Error).message}`);
    return;
  }
  const reason = whyNeverTrue(operator, value, fieldOf(field)?.name.includes('.') === false);
  if (reason !== undefined) check.add(at, 'wrong_type', `can never match; change the value: ${reason}`);
}

/** The faults of a condition that compares two fields. */
function pairFaults(check: Check, { field, operator, value, value_from }: Condition, pointer: string): void {
  const at = `${pointer}/value_from`;
  const [one, other] = [fieldOf(field)?.name, fieldOf(value_from)?.name];
  if (value !== undefined) {
    check.add(at, 'value_twice', 'must not be there together with value; leave out one of them');
  } else if (!PAIR_OPERATORS.includes(operator)) {
    const detail = `needs a value, and no value_from; ${PAIR_OPERATORS.join(', ')} can compare two fields`;
    check.add(`${pointer}/operator`, 'wrong_operator', detail);
  } else if (one === other) {
    check.add(
      at,
      'same_field',
      'must be another field: a field that is compared with itself decides nothing',
    );
  } else if ((operator === 'in' || operator === 'not_in') && other?.includes('.') === false) {
    const detail = `must be a field that can hold a list: ${operator} needs one, and this field is text`;
    check.add(at, 'wrong_type', detail);
  }
}

function patternFaults(check: Check, operator: keyof Patterns, pattern: string, pointer: string): void {
  const { patternCharacters } = check.limits;
  if (pattern.length > patternCharacters) {
    const detail = `must be a pattern of at most ${patternCharacters} characters; it has ${pattern.length}`;
    check.add(pointer, 'pattern_too_long', detail);
    return;
  }
  const weight = weightOf(pattern);
  if (weight > MAX_PATTERN_WEIGHT) {
    const detail =
      'must be a smaller pattern: its repetitions, multiplied out, are too large; use smaller counts';
    check.add(pointer, 'pattern_too_large', detail);
    return;
  }
  if (!check.takes(operator, pattern, weight)) {
    const detail = `must be left out or smaller: the different patterns of a body may have ${MAX_BODY_WEIGHT} states together`;
    check.add(pointer, 'patterns_too_large', detail);
    return;
  }
  const fault = check.compiles ? invalidPattern(operator, pattern, pointer, check.compiled) : undefined;
  if (fault) check.add(fault.pointer, fault.code, fault.detail);
}

/**
 * Why the condition is false for every possible request; `undefined` where it can be true.
 * @param isText whether the field always holds text, as agent, role, action and resource do
 */
function whyNeverTrue(operator: Operator, value: unknown, isText: boolean): string | undefined {
  if (['>', '<', '>=', '<='].includes(operator)) {
    if (isText && typeof value !== 'string') return 'this field is text and can only be compared with text';
    if (typeof value !== 'string' && typeof value !== 'number')
      return `${operator} can only compare numbers or texts`;
  }
  if (!isText) return undefined;
  if ((operator === '==' || operator === 'contains') && typeof value !== 'string')
    return 'this field is text, so the value must be text';
  const members: unknown[] = Array.isArray(value) ? value : [''];
  if (operator === 'in' && members.length > 0 && !members.some((member) => typeof member === 'string'))
    return 'this field is text, so the list must contain text';
  return undefined;
}

function rulesOf(policy: unknown): readonly unknown[] {
  const rules = membersOf(policy)?.rules;
  return Array.isArray(rules) ? rules : [];
}

function duplicate(check: Check, pointer: string, what: string): void {
  check.add(pointer, 'duplicate_id', `must be unique: an earlier ${what} has the same id`);
}
