/** The operators. Each condition becomes one test function when it is compiled. */

import type { Pattern, Patterns } from './patterns.js';
import type { Operator } from './policy.dto.js';

/** @param actual the value of the field; `undefined` when the request does not have the field */
export type Test = (actual: unknown) => boolean;

export type Scalar = string | number | boolean | null;

type MakeTest = (value: unknown, patterns: Patterns) => Test;

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
