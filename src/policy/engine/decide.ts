/** Decides one request. It is pure and works in memory. An error in a rule never allows anything: it can only deny. */
import { Evaluation } from './evaluation.js';
import type { EvaluateRequest, Verdict } from './policy.dto.js';
import type { CompiledRule } from './rules.js';
import type { Snapshot } from './snapshot.js';
import { withErrors } from './verdicts.js';

/** The most errors in a verdict: a text that is too long for many rules must not make a long answer. */
export const MAX_ERRORS = 50;

export function decide(snapshot: Snapshot, request: EvaluateRequest): Verdict {
  const { brokenRanks, meter } = snapshot;
  let rank: number;
  try {
    rank = snapshot.first(request);
  } catch {
    // A condition cannot be evaluated for this request, or costs much. The slow way finds out which one, and whether it matters.
    return decideOneByOne(snapshot, request);
  }
  if (brokenRanks.length === 0) return verdictOf(snapshot, rank);
  const evaluation = new Evaluation(snapshot, request, meter.left);
  const verdict = firstOf(snapshot, evaluation, brokenRanks, rank);
  return evaluation.exceeded ? decideOneByOne(snapshot, request) : verdict;
}

/** Without the index. It defines the decision: the index only finds the same one faster. */
function decideOneByOne(snapshot: Snapshot, request: EvaluateRequest): Verdict {
  const { rules } = snapshot;
  return firstOf(snapshot, new Evaluation(snapshot, request), rules.keys(), rules.length);
}

/**
 * Tests the rules of these ranks one by one and collects their errors. A `deny` rule that cannot be evaluated denies.
 * @param decided the rank of the rule that decides in any case; the search ends there
 */
function firstOf(
  snapshot: Snapshot,
  evaluation: Evaluation,
  ranks: Iterable<number>,
  decided: number,
): Verdict {
  const errors: string[] = [];
  let winner = decided;
  for (const rank of ranks) {
    if (rank >= winner) break;
    const rule = snapshot.rules[rank];
    const { holds, error } = evaluation.outcomeOf(rule);
    if (error !== undefined) errors.push(errorOf(rule, error));
    if (holds || (error !== undefined && rule.effect === 'deny')) winner = rank;
  }
  const verdict = verdictOf(snapshot, winner);
  return errors.length === 0 ? verdict : withErrors(verdict, shortened(errors));
}

function verdictOf({ rules, fallback }: Snapshot, rank: number): Verdict {
  return rank === rules.length ? fallback : rules[rank].verdict;
}

function errorOf({ ruleId, policyId }: CompiledRule, error: string): string {
  return `Rule '${ruleId}' of policy '${policyId}' could not be evaluated: ${error}`;
}

/** Says how many errors are left out. The last error stays: it may be that of the rule that denies. */
function shortened(errors: string[]): string[] {
  const left = errors.length - MAX_ERRORS;
  if (left <= 0) return errors;
  return [
    ...errors.slice(0, MAX_ERRORS - 1),
    errors[errors.length - 1],
    `${left} more rules could not be evaluated`,
  ];
}
