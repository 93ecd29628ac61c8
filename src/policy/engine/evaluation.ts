/**
 * Tests rules one by one within the budget of one decision: in order of precedence, and in each rule the conditions that cost
 * nothing first. So the budget goes to the rules that decide first, and only to those whose other conditions hold.
 */
import { Contents } from './contents.js';
import { type Cost, costFor, TooCostly } from './costs.js';
import type { Test } from './operators.js';
import type { EvaluateRequest } from './policy.dto.js';
import { type CompiledCondition, type CompiledRule, conditionsOf, costClass } from './rules.js';
import type { Snapshot } from './snapshot.js';

const COST_CLASSES = [0, 1, 2];

export interface Outcome {
  holds: boolean;
  /** Why the rule cannot be evaluated. */
  error?: string;
}

export class Evaluation {
  /** Whether a condition cost more than was left. */
  exceeded = false;
  private left: number;
  /** The results of the patterns so far. */
  private readonly known = new Map<string, boolean>();
  private readonly contents: Contents;

  constructor(
    snapshot: Snapshot,
    private readonly request: EvaluateRequest,
    budget = snapshot.budget,
  ) {
    this.left = budget;
    this.contents = new Contents(snapshot.parts);
  }

  /**
   * A condition that does not hold settles it: then an error in another condition does not matter.
   * @param note is called for each condition that is tested
   */
  outcomeOf(rule: CompiledRule, note?: (condition: CompiledCondition, result: Outcome) => void): Outcome {
    let error = rule.brokenReason;
    const conditions = conditionsOf(rule);
    for (const inTurn of COST_CLASSES) {
      for (const condition of conditions) {
        if (costClass(condition) !== inTurn) continue;
        const result = this.resultOf(condition);
        note?.(condition, result);
        error ??= result.error;
        if (!result.holds && result.error === undefined) return { holds: false };
      }
    }
    return error === undefined ? { holds: true } : { holds: false, error };
  }

  resultOf(condition: CompiledCondition): Outcome {
    try {
      return { holds: this.holds(condition) };
    } catch (thrown) {
      return { holds: false, error: thrown instanceof Error ? thrown.message : String(thrown) };
    }
  }

  private holds(condition: CompiledCondition): boolean {
    const { read, test, cost } = condition;
    const actual = read(this.request);
    if (cost === undefined) return test(actual);
    if (cost.key !== undefined) {
      const known = this.known.get(cost.key) ?? this.afterPaying(cost, actual, test);
      this.known.set(cost.key, known);
      return known;
    }
    if (cost.nodes === undefined) return this.afterPaying(cost, actual, test);
    if (cost.nodes > 0) return Array.isArray(actual) && this.afterPaying(cost, actual, test);
    return this.contents.contains(condition, actual, cost.part) ?? test(actual);
  }

  private afterPaying(cost: Cost, actual: unknown, test: Test): boolean {
    const price = costFor(cost, actual);
    if (price > this.left) {
      this.exceeded = true;
      throw new TooCostly(tooCostly(actual));
    }
    this.left -= price;
    return test(actual);
  }
}

function tooCostly(actual: unknown): string {
  const other = Array.isArray(actual) ? 'a long list' : 'the comparison of two long values';
  const found = typeof actual === 'string' ? `a text of ${actual.length} characters` : other;
  return `${found} costs more than is left of the budget of a decision; send less, or use fewer and simpler patterns`;
}
