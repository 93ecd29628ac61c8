/**
 * Policies are checked when they are written, so that none has to fail when it is asked. Every fault is named at once, up to
 * a number that nobody reads to the end; what is hostile is refused before it is looked into.
 */
import type { Fault } from '../../shared/errors.js';
import { checksOf, type FieldCheck } from '../../shared/fields.js';
import { fieldFaults, MAX_FAULTS, type Members, membersOf, unknownFaults } from '../../shared/shapes.js';
import { atOnce } from '../../shared/time-slices.js';
import { fieldOf } from './fields.js';
import { testOf } from './operators.js';
import { patternOf, weightOf } from './patterns.js';
import { Condition, type Operator, Policy, PolicyContent, Rule } from './policy.dto.js';

export interface Limits {
  rules: number;
  rulesPerPolicy: number;
  conditionsPerRule: number;
  patternCharacters: number;
}

export interface CheckOptions {
  limits?: Partial<Limits>;
  /** How many rules there are already, in the policies that these do not replace. */
  otherRules?: number;
  /** Where what is checked stands in the body. */
  pointer?: string;
}

const LIMITS: Limits = { rules: 10_000, rulesPerPolicy: 1000, conditionsPerRule: 64, patternCharacters: 512 };
/** Of all together: a replica reads them when it starts. */
export const MAX_POLICIES = 2000;
/** Policies without rules are checked so many at once. */
const POLICIES_PER_SLICE = 32;
/** As a machine a pattern is as large as all that it repeats; one of this size takes a millisecond to make. */
const MAX_PATTERN_WEIGHT = 2000;

type Class = abstract new (...args: never[]) => object;

/** What every fault was found in, and how many there may still be. */
class Check {
  readonly faults: Fault[] = [];
  readonly limits: Limits;

  constructor({ limits = {} }: CheckOptions) {
    this.limits = { ...LIMITS, ...limits };
  }

  get isFull(): boolean {
    return this.faults.length >= MAX_FAULTS;
  }

  add(pointer: string, code: string, detail: string): void {
    if (!this.isFull) this.faults.push({ pointer, detail, code });
  }
}

const SHAPES = {
  policy: shapeOf(PolicyContent, ['name'], [...checksOf(Policy).map(({ name }) => name), 'rules']),
  rule: shapeOf(Rule, ['name', 'effect'], ['conditions']),
  condition: shapeOf(Condition, ['field', 'operator', 'value'], []),
};

/** @returns all that is wrong with a policy as somebody sent it */
export function checkPolicy(policy: unknown, options: CheckOptions = {}): Fault[] {
  return atOnce(checkPolicyInSlices(policy, options));
}

/** The same in steps, for who has other things to do meanwhile. */
export function* checkPolicyInSlices(
  policy: unknown,
  options: CheckOptions = {},
): Generator<void, Fault[], void> {
  const check = new Check(options);
  yield* policyFaults(check, policy, options.pointer ?? '');
  const rules = rulesOf(policy).length + (options.otherRules ?? 0);
  if (rules > check.limits.rules) tooManyRules(check, `${options.pointer ?? ''}/rules`, rules);
  return check.faults;
}

export function checkRule(rule: unknown, options: CheckOptions = {}): Fault[] {
  const check = new Check(options);
  ruleFaults(check, rule, options.pointer ?? '');
  return check.faults;
}

/** Of many policies at once, in steps as well. */
export function* checkInSlices(
  policies: readonly unknown[],
  options: CheckOptions = {},
): Generator<void, Fault[], void> {
  const check = new Check(options);
  const pointer = options.pointer ?? '';
  const rules = policies.reduce<number>(
    (sum, policy) => sum + rulesOf(policy).length,
    options.otherRules ?? 0,
  );
  if (rules > check.limits.rules) tooManyRules(check, pointer, rules);
  if (policies.length > MAX_POLICIES) {
    const detail = `must be at most ${MAX_POLICIES} policies; there are ${policies.length}`;
    check.add(pointer, 'too_many_policies', detail);
    return check.faults;
  }
  const ids = new Set<unknown>();
  for (const [i, policy] of policies.entries()) {
    if (i % POLICIES_PER_SLICE === 0) yield;
    if (check.isFull || rules > check.limits.rules) break;
    const at = `${pointer}/${i}`;
    const id = membersOf(policy)?.policy_id;
    if (id !== undefined && ids.has(id)) duplicate(check, `${at}/policy_id`, 'policy');
    ids.add(id);
    yield* policyFaults(check, policy, at);
  }
  return check.faults;
}

function* policyFaults(check: Check, policy: unknown, pointer: string): Generator<void, void, void> {
  if (!shapeFaults(check, SHAPES.policy, policy, pointer)) return;
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
    ruleFaults(check, rule, at);
    yield;
  }
}

function ruleFaults(check: Check, rule: unknown, pointer: string): void {
  if (!shapeFaults(check, SHAPES.rule, rule, pointer)) return;
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
  for (const [i, condition] of conditions.entries()) conditionFaults(check, condition, `${at}/${i}`);
}

function conditionFaults(check: Check, condition: unknown, pointer: string): void {
  const before = check.faults.length;
  if (!shapeFaults(check, SHAPES.condition, condition, pointer)) return;
  const { field, operator, value } = condition as unknown as Condition;
  if (typeof field === 'string' && !fieldOf(field)) {
    const detail =
      'must be agent_id, agent_role, action, resource, environment.<path> or params.<path>, and no path into a prototype';
    check.add(`${pointer}/field`, 'unknown_field_name', detail);
  }
  if (check.faults.length > before) return;
  const at = `${pointer}/value`;
  if (operator === 'matches' && typeof value === 'string') {
    patternFaults(check, value, at);
    return;
  }
  try {
    testOf(operator, value, patternOf);
  } catch (error) {
    check.add(at, 'wrong_type', `can never match: ${(error as Error).message}`);
    return;
  }
  const useless = uselessFor(operator, value, fieldOf(field)?.name.includes('.') === false);
  if (useless !== undefined) check.add(at, 'wrong_type', `can never match: ${useless}`);
}

function patternFaults(check: Check, pattern: string, pointer: string): void {
  const { patternCharacters } = check.limits;
  if (pattern.length > patternCharacters) {
    const detail = `must be a pattern of at most ${patternCharacters} characters; it has ${pattern.length}`;
    check.add(pointer, 'pattern_too_long', detail);
    return;
  }
  if (weightOf(pattern) > MAX_PATTERN_WEIGHT) {
    check.add(pointer, 'pattern_too_large', 'must repeat less: all repetitions together are too many');
    return;
  }
  try {
    patternOf(pattern);
  } catch (error) {
    check.add(pointer, 'invalid_pattern', `must be a regular expression of RE2: ${(error as Error).message}`);
  }
}

/** Why no field of the request can ever fit the value, or undefined. Agent, role, action and resource are always text. */
function uselessFor(operator: Operator, value: unknown, isText: boolean): string | undefined {
  if (['>', '<', '>=', '<='].includes(operator)) {
    if (isText && typeof value !== 'string') return 'this field is text and can only be compared with text';
    if (typeof value !== 'string' && typeof value !== 'number') return 'only numbers and texts have an order';
  }
  if (!isText) return undefined;
  if ((operator === '==' || operator === 'contains') && typeof value !== 'string')
    return 'this field is text and its value must be, too';
  const members: unknown[] = Array.isArray(value) ? value : [''];
  if (operator === 'in' && members.length > 0 && !members.some((member) => typeof member === 'string'))
    return 'this field is text, and no member of the list is';
  return undefined;
}

interface Shape {
  fields: readonly FieldCheck[];
  known: ReadonlySet<string>;
}

/** Who writes may leave out more than who reads will find. */
function shapeOf(type: Class, required: string[], more: string[]): Shape {
  const fields = checksOf(type).map((field) => ({ ...field, required: required.includes(field.name) }));
  return { fields, known: new Set([...fields.map(({ name }) => name), ...more]) };
}

/** @returns whether it is an object at all, whatever is wrong with its members */
function shapeFaults(check: Check, { fields, known }: Shape, value: unknown, at: string): value is Members {
  const members = membersOf(value);
  if (!members) {
    check.add(at, 'object', 'must be a JSON object');
    return false;
  }
  unknownFaults(members, known, at, check.faults);
  fieldFaults(members, fields, at, check.faults);
  return true;
}

function rulesOf(policy: unknown): readonly unknown[] {
  const rules = membersOf(policy)?.rules;
  return Array.isArray(rules) ? rules : [];
}

function duplicate(check: Check, pointer: string, what: string): void {
  check.add(pointer, 'duplicate_id', `must be another: this is also the id of an earlier ${what}`);
}

function tooManyRules(check: Check, pointer: string, count: number): void {
  const detail = `must be at most ${check.limits.rules} rules in all policies together; there would be ${count}`;
  check.add(pointer, 'too_many_rules_in_all', detail);
}
