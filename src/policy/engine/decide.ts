/** May this agent do this? Pure and in memory; whatever goes wrong on the way, nothing is allowed by it. */
import type { EvaluateRequest, Verdict } from './policy.dto.js';
import { type CompiledRule, conditionsOf } from './rules.js';
import type { Snapshot } from './snapshot.js';
import { withErrors } from './verdicts.js';

export function decide(snapshot: Snapshot, request: EvaluateRequest): Verdict {
  let rank: number;
  try {
    rank = snapshot.first(request);
  } catch {
    // Some condition cannot be evaluated for this request. Which one it is, and whether it matters, is found one by one.
    return decideCarefully(snapshot, request, snapshot.rules.keys(), snapshot.rules.length);
  }
  if (snapshot.broken.length > 0) return decideCarefully(snapshot, request, snapshot.broken, rank);
  return rank === snapshot.rules.length ? snapshot.fallback : snapshot.rules[rank].verdict;
}

/** Holds the rules of these ranks against the request up to the one that decides anyway, minding those that break. */
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

/** One condition that does not hold is enough: then it does not matter that another cannot be evaluated. */
function ruleHolds(rule: CompiledRule, request: EvaluateRequest): { holds: boolean; error?: string } {
  let error = rule.broken;
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
