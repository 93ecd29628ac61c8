/** The operators. Each condition becomes one test function when it is compiled. */

import { includesText } from './includes-text.js';
import type { Pattern, Patterns } from './patterns.js';
import type { Operator } from './policy.dto.js';

/** @param actual the value of the field; `undefined` when the request does not have the field */
export type Test = (actual: unknown) => boolean;

export type Scalar = string | number | boolean | null;

type MakeTest = (value: unknown, patterns: Patterns) => Test;

/** The test of a condition that compares two fields. Each of them may be missing: `undefined`. */
type PairTest = (one: unknown, other: unknown) => boolean;

/** Thrown when a condition can never be evaluated. */
export class Unusable extends Error {}

const MAKE: Record<Operator, MakeTest> = {
  '==': (value) => equalTo(value),
  '!=': (value) => not(equalTo(value)),
  '>': (value) => comparing(value, (actual, bound) => actual > bound),
  '<': (value) => comparing(value, (actual, bound) => actual < bound),
  '>=': (value) => comparing(value, (actual, bound) => actual >= bound),
  '<=': (value) => comparing(value, (actual, bound) => actual <= bound),
  contains: containing,
  matches: (value, patterns) => matching(value, patterns.matches),
  search: (value, patterns) => matching(value, patterns.search),
  in: (value) => memberOf(value),
  not_in: (value) => not(memberOf(value)),
  exists: (value) => {
    if (typeof value !== 'boolean') throw new Unusable('its value must be true or false');
    return (actual) => (actual !== undefined) === value;
  },
  starts_with: (value) => {
    const start = textOf(value, 'text');
    return (actual) => typeof actual === 'string' && actual.startsWith(start);
  },
};

/** @throws when the operator is unknown or cannot use the value */
export function testOf(operator: string, value: unknown, patterns: Patterns): Test {
  if (!Object.hasOwn(MAKE, operator)) throw new Unusable(`the operator '${operator}' does not exist`);
  return MAKE[operator as Operator](value, patterns);
}

/** `matches`, `search` and `exists` are not here: a caller must not choose a pattern, and `exists` needs no second field. */
const PAIRS: Partial<Record<Operator, PairTest>> = {
  '==': ifBoth(equal),
  '!=': neither(ifBoth(equal)),
  '>': ifBoth((one, other) => comparing(other, (actual, bound) => actual > bound)(one)),
  '<': ifBoth((one, other) => comparing(other, (actual, bound) => actual < bound)(one)),
  '>=': ifBoth((one, other) => comparing(other, (actual, bound) => actual >= bound)(one)),
  '<=': ifBoth((one, other) => comparing(other, (actual, bound) => actual <= bound)(one)),
  contains: ifBoth((one, other) =>
    typeof one === 'string' && typeof other === 'string' ? includesText(one, other) : containing(other)(one),
  ),
  in: ifBoth(isMember),
  not_in: neither(ifBoth(isMember)),
  starts_with: ifBoth(
    (one, other) => typeof one === 'string' && typeof other === 'string' && one.startsWith(other),
  ),
};

/** The operators that can compare two fields. */
export const PAIR_OPERATORS = Object.keys(PAIRS);

/** @throws when the operator cannot compare two fields */
export function pairTestOf(operator: string): PairTest {
  const test = Object.hasOwn(PAIRS, operator) ? PAIRS[operator as Operator] : undefined;
  if (!test) throw new Unusable(`the operator '${operator}' cannot compare two fields`);
  return test;
}

/** Whether a `Map` or `Set` compares the value as `===` does. NaN is excluded: it is not equal to itself, but a map finds it. */
export function isScalar(value: unknown): value is Scalar {
  return value === null || typeof value === 'string' || typeof value === 'boolean' || isNumber(value);
}

function isNumber(value: unknown): boolean {
  return typeof value === 'number' && !Number.isNaN(value);
}

/** Deep equality without coercion. The order of members does not matter. */
export function equal(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false;
  if (Array.isArray(one) || Array.isArray(other)) {
    if (!Array.isArray(one) || !Array.isArray(other) || one.length !== other.length) return false;
    return one.every((member, i) => equal(member, other[i]));
  }
  const keys = Object.keys(one);
  if (keys.length !== Object.keys(other).length) return false;
  return keys.every(
    (key) =>
      Object.hasOwn(other, key) &&
      equal((one as Record<string, unknown>)[key], (other as Record<string, unknown>)[key]),
  );
}

function not(test: Test): Test {
  return (actual) => !test(actual);
}

function neither(test: PairTest): PairTest {
  return (one, other) => !test(one, other);
}

/** Two missing fields are not equal: a request that leaves both out must not satisfy a rule about them. */
function ifBoth(test: PairTest): PairTest {
  return (one, other) => one !== undefined && other !== undefined && test(one, other);
}

function isMember(one: unknown, list: unknown): boolean {
  return Array.isArray(list) && list.some((member) => equal(one, member));
}

function equalTo(value: unknown): Test {
  if (isScalar(value)) return (actual) => actual === value;
  return (actual) => actual !== undefined && equal(actual, value);
}

function comparing(
  value: unknown,
  holds: (actual: number | string, bound: number | string) => boolean,
): Test {
  if (typeof value === 'number') return (actual) => typeof actual === 'number' && holds(actual, value);
  if (typeof value === 'string') return (actual) => typeof actual === 'string' && holds(actual, value);
  return () => false;
}

function containing(value: unknown): Test {
  const listed = (actual: unknown): boolean =>
    Array.isArray(actual) && actual.some((member) => equal(member, value));
  if (typeof value !== 'string') return listed;
  return (actual) => (typeof actual === 'string' ? actual.includes(value) : listed(actual));
}

function matching(value: unknown, patternOf: (source: string) => Pattern): Test {
  const { matches } = patternOf(textOf(value, 'a pattern'));
  return (actual) => typeof actual === 'string' && matches(actual);
}

function memberOf(value: unknown): Test {
  if (!Array.isArray(value)) throw new Unusable('its value must be a list');
  const scalars = new Set<unknown>(value.filter(isScalar));
  const others = value.filter((member) => !isScalar(member));
  if (others.length === 0) return (actual) => scalars.has(actual);
  return (actual) => scalars.has(actual) || others.some((member) => equal(actual, member));
}

function textOf(value: unknown, what: string): string {
  if (typeof value !== 'string') throw new Unusable(`its value must be ${what}`);
  return value;
}
