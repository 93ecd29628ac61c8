/**
 * What the conditions of a decision cost. Nearly all cost next to nothing. Patterns and `contains` read a whole text or list,
 * which the caller sends, so all conditions of one decision together have one budget.
 */
import type { Read } from './fields.js';
import { isScalar } from './operators.js';
import type { Patterns } from './patterns.js';
import type { Condition, EvaluateRequest, Operator } from './policy.dto.js';

/**
 * The budget of a decision. A unit is one instruction of a pattern for one character of a text. The worst patterns take
 * 60 to 100 ns for a unit, so all patterns of a decision take about 50 ms at most. A text of 128 characters, such as an action,
 * is within the budget of every single pattern that can be written.
 */
export const MAX_COST = 2 ** 19;
/** So many characters that are searched for a part, or so many members of a list, take about as long as a unit. */
const PLACES_PER_UNIT = 8;
/** A search for a part that the caller sends, at its slowest. */
const CHARACTERS_PER_UNIT = 2;
/** What it costs to compare one value inside an object or a list. */
const UNITS_PER_NODE = 4;

/** A pattern that RE2 runs. */
interface PatternCost {
  /** Two conditions with the same key have the same result, so the second one costs nothing. */
  key: string;
  /** The number of instructions. */
  size: number;
  /** Texts without it cost nothing. */
  prefix: string;
}

/** `contains`, and `search` for a plain word. */
interface PartCost {
  key?: undefined;
  /** The text or other scalar that it looks for; undefined if that is an object or a list. */
  part: unknown;
  /** How many values the object or list has, and those inside it have. */
  nodes: number;
}

/** A condition that compares two fields: the caller sends both values. */
interface PairCost {
  key?: undefined;
  part?: undefined;
  nodes?: undefined;
  /** What the condition costs for a request. */
  pair: (request: EvaluateRequest) => number;
}

export type Cost = PatternCost | PartCost | PairCost;

/** Thrown instead of a test that the budget does not allow. */
export class TooCostly extends Error {}

/** Undefined for a condition that costs next to nothing. */
export function costOf({ operator, value }: Condition, field: string, patterns: Patterns): Cost | undefined {
  if (operator === 'contains') return { part: isScalar(value) ? value : undefined, nodes: nodesOf(value) };
  if (operator !== 'matches' && operator !== 'search') return undefined;
  const { size, prefix, part } = patterns[operator](String(value));
  if (part !== undefined) return { part, nodes: 0 };
  return size === 0 ? undefined : { key: `${field} ${operator} ${String(value)}`, size, prefix };
}

/** What a test with this cost costs for a value. */
export function costFor(cost: Cost, actual: unknown): number {
  if (cost.key !== undefined) {
    // An index does not ask about a text without the prefix, so that must cost nothing.
    return typeof actual === 'string' && actual.startsWith(cost.prefix) ? cost.size * actual.length : 0;
  }
  if (cost.nodes === undefined) return cost.pair(actual as EvaluateRequest);
  if (typeof actual === 'string') return actual.length / PLACES_PER_UNIT;
  if (!Array.isArray(actual)) return 0;
  return cost.nodes === 0 ? actual.length / PLACES_PER_UNIT : actual.length * cost.nodes * UNITS_PER_NODE;
}

/** Undefined for an operator that costs next to nothing. */
export function pairCostOf(operator: Operator, one: Read, other: Read): Cost | undefined {
  switch (operator) {
    case '==':
    case '!=':
      return { pair: (request) => comparison(Math.min(nodesOf(one(request)), nodesOf(other(request)))) };
    case 'in':
    case 'not_in':
      return { pair: (request) => comparison(nodesOf(other(request))) };
    case 'contains':
      return {
        pair: (request) => {
          const actual = one(request);
          return typeof actual === 'string' ? searchFor(actual, other(request)) : comparison(nodesOf(actual));
        },
      };
    default:
      return undefined;
  }
}

function searchFor(text: string, part: unknown): number {
  if (typeof part !== 'string') return 0;
  return (text.length + part.length) / CHARACTERS_PER_UNIT;
}

function comparison(nodes: number): number {
  return nodes * UNITS_PER_NODE;
}

/** Many rules ask about the same value of a request. */
const counted = new WeakMap<object, number>();

/** How many values an object or a list has, with itself and all inside it. 0 for a scalar. */
function nodesOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const nodes = counted.get(value) ?? allNodesOf(value);
  counted.set(value, nodes);
  return nodes;
}

function allNodesOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1;
  return Object.values(value).reduce<number>((sum, member) => sum + allNodesOf(member), 1);
}
