/**
 * Counts what the index spends on a decision. Where it would spend more than its share of the budget, a test throws, and
 * `decide` tries the rules one by one.
 *
 * The results are the same either way: the index runs every pattern that `Evaluation` would run, so if the index stays
 * within its share, `Evaluation` would stay within the budget, and no condition would lack a result.
 *
 * Results for actions and roles are cached, and a cached result costs the index nothing. So their patterns are not counted when
 * they run. They have shares of their own, which bound the length of the text.
 */
import { SHORT } from './contents.js';
import { costFor, TooCostly } from './costs.js';
import type { Test } from './operators.js';
import type { CompiledCondition, CompiledRule } from './rules.js';

const SHARE_OF_EACH_WORD = 1 / 4;
const SHARE_OF_OTHERS = 1 / 2;
/** It says nothing, because `Evaluation` finds out which condition costs too much. */
const STOP = new TooCostly();

export class Meter {
  private readonly actions: WordTests;
  private readonly roles: WordTests;
  private readonly most: number;
  private spent = 0;

  constructor(rules: readonly CompiledRule[], budget: number) {
    const share = budget * SHARE_OF_EACH_WORD;
    this.actions = new WordTests(share, heaviest(rules.map(({ onAction }) => onAction)));
    this.roles = new WordTests(share, heaviest(rules.map(({ onRole }) => onRole)));
    this.most = budget * SHARE_OF_OTHERS;
  }

  /** Call it at the start of each decision. */
  restart(): void {
    this.spent = 0;
  }

  /** What is left of the share since the last restart. */
  get left(): number {
    return this.most - this.spent;
  }

  /** The same rule with tests that are counted. */
  metered(rule: CompiledRule): CompiledRule {
    const { onAction, onRole, others } = rule;
    if (![onAction, onRole, others].some((all) => all.some(({ cost }) => cost !== undefined))) return rule;
    return {
      ...rule,
      onAction: onAction.map((one) => this.actions.bounded(one)),
      onRole: onRole.map((one) => this.roles.bounded(one)),
      others: others.map((one) => this.counted(one)),
    };
  }

  private counted(condition: CompiledCondition): CompiledCondition {
    const { test, cost } = condition;
    if (cost === undefined) return condition;
    const spend = (actual: unknown): void => {
      this.spent += costFor(cost, actual);
      if (this.spent > this.most) throw STOP;
    };
    const counted: Test =
      cost.key === undefined && cost.nodes === 0
        ? (actual) => {
            if (isLong(actual)) spend(actual);
            return test(actual);
          }
        : (actual) => {
            spend(actual);
            return test(actual);
          };
    return { ...condition, test: counted, spend };
  }
}

/** Looking for a part in a short text or list costs next to nothing. */
function isLong(actual: unknown): boolean {
  return (typeof actual === 'string' || Array.isArray(actual)) && actual.length > SHORT;
}

/** The tests with patterns on one field. Rules with the same pattern share a test, which remembers its last result. */
class WordTests {
  private readonly tests = new Map<string, Test>();
  private readonly longest: number;

  constructor(share: number, heaviest: number) {
    this.longest = heaviest === 0 ? Number.POSITIVE_INFINITY : share / heaviest;
  }

  bounded(condition: CompiledCondition): CompiledCondition {
    const key = condition.cost?.key;
    if (key === undefined) return condition;
    const test = this.tests.get(key) ?? this.remembering(condition.test);
    this.tests.set(key, test);
    return { ...condition, test };
  }

  private remembering(test: Test): Test {
    let last: unknown;
    let result = false;
    return (actual) => {
      if (actual === last) return result;
      if (typeof actual === 'string' && actual.length > this.longest) throw STOP;
      result = test(actual);
      last = actual;
      return result;
    };
  }
}

/** The largest size of different patterns that run for one text: the prefix of each is a prefix of the text. */
function heaviest(lists: readonly (readonly CompiledCondition[])[]): number {
  const sizes = new Map<string, number>();
  const counted = new Set<string>();
  for (const { cost } of lists.flat()) {
    if (cost?.key === undefined || counted.has(cost.key)) continue;
    counted.add(cost.key);
    sizes.set(cost.prefix, (sizes.get(cost.prefix) ?? 0) + cost.size);
  }
  let most = 0;
  /** The prefixes of the current one, with the sums up to them: a prefix comes before what it starts in the order of texts. */
  const open: { prefix: string; sum: number }[] = [];
  for (const [prefix, size] of [...sizes].sort(([one], [other]) => (one < other ? -1 : 1))) {
    while (!prefix.startsWith(open.at(-1)?.prefix ?? '')) open.pop();
    const sum = size + (open.at(-1)?.sum ?? 0);
    open.push({ prefix, sum });
    most = Math.max(most, sum);
  }
  return most;
}
