/** Decides one request. It is pure and works in memory. An error in a rule never allows anything: it can only deny. */
import type { EvaluateRequest, Verdict } from './policy.dto.js';
import { type CompiledRule, conditionsOf } from './rules.js';
import type { Snapshot } from './snapshot.js';
import { withErrors } from './verdicts.js';

export function decide(snapshot: Snapshot, request: EvaluateRequest): Verdict {
  let rank: number;
  try {
    rank = snapshot.first(request);
  } catch {
    // A condition cannot be evaluated for this request. The slow way finds out which one, and whether it matters.
    return decideCarefully(snapshot, request, snapshot.rules.keys(), snapshot.rules.length);
  }
  if (snapshot.brokenRanks.length > 0) return decideCarefully(snapshot, request, snapshot.brokenRanks, rank);
  return rank === snapshot.rules.length ? snapshot.fallback : snapshot.rules[rank].verdict;
}

/**
 * Tests the rules of these ranks one by one and collects their errors. A `deny` rule that cannot be evaluated denies.
 * @param decided the rank of the rule that decides in any case; the search ends there
 */
function decideCarefully(
  snapshot: Snapshot,
  request: EvaluateRequest,
  ranks: Iterable<number>,
  decided: number,
): Verdict {
  const errors: string[] = [];
  let winner = decided;
  for (const rank of ranks) {
    if (rank >= winner) break;
    const rule = snapshot.rules[rank];
    const { holds, error } = ruleHolds(rule, request);
    if (error !== undefined) errors.push(errorOf(rule, error));
    if (holds || (error !== undefined && rule.effect === 'deny')) winner = rank;
  }
  const verdict = winner === snapshot.rules.length ? snapshot.fallback : snapshot.rules[winner].verdict;
  return errors.length === 0 ? verdict : withErrors(verdict, errors);
}

/** A condition that does not hold settles it: then an error in another condition does not matter. */
function ruleHolds(rule: CompiledRule, request: EvaluateRequest): { holds: boolean; error?: string } {
  let error = rule.brokenReason;
  for (const { test, read } of conditionsOf(rule)) {
    try {
      if (!test(read(request))) return { holds: false };
    } catch (thrown) {
      error ??= thrown instanceof Error ? thrown.message : String(thrown);
    }
  }
  return error === undefined ? { holds: true } : { holds: false, error };
}

function errorOf({ ruleId, policyId }: CompiledRule, error: string): string {
  return `Rule '${ruleId}' of policy '${policyId}' could not be evaluated: ${error}`;
}
