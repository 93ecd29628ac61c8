/** Explains a decision: it evaluates every rule and every condition, without the indexes that `decide` uses. */
import { MASKED } from '../../shared/mask.js';
import { type ExplainedCondition, type ExplainedRule, type Explanation } from './explanation.dto.js';
import type { Read } from './fields.js';
import { type Condition, EFFECTS, type EvaluateRequest } from './policy.dto.js';
import { type CompiledCondition, type CompiledRule, conditionsOf } from './rules.js';
import type { Snapshot } from './snapshot.js';

/** More rules would make the answer too large. */
const MAX_RULES = 1000;

export interface ExplainOptions {
  /** The most rules that are listed; the near miss may be any rule. */
  maxRules?: number;
  /** The request with secret values masked: the explanation shows its values. */
  shown?: EvaluateRequest;
}

export function explain(
  snapshot: Snapshot,
  request: EvaluateRequest,
  { maxRules = MAX_RULES, shown = request }: ExplainOptions = {},
): Explanation {
  const rules: ExplainedRule[] = [];
  const matching: CompiledRule[] = [];
  let near: { rule: ExplainedRule; holding: number } | undefined;
  for (const rule of snapshot.rules) {
    const explained = explainRule(rule, request, shown);
    const decides =
      explained.verdict === 'matches' || (explained.verdict === 'error' && rule.effect === 'deny');
    explained.decided = decides && matching.length === 0;
    if (decides) matching.push(rule);
    if (rules.length < maxRules) rules.push(explained);
    const holding = explained.conditions.filter(({ verdict }) => verdict === 'holds').length;
    const missedByOne = explained.verdict === 'fails' && holding === explained.conditions.length - 1;
    if (missedByOne && (near === undefined || holding > near.holding)) near = { rule: explained, holding };
  }
  const [winner, next] = matching;
  const why = winner ? whyRule(winner, next) : whyDefault(snapshot);
  return { why, near_miss: near?.rule ?? null, rules, total_rules: snapshot.rules.length };
}

function explainRule(rule: CompiledRule, request: EvaluateRequest, shown: EvaluateRequest): ExplainedRule {
  const { policyId, ruleId, source, effect, priority, brokenReason } = rule;
  const compiled = new Map(conditionsOf(rule).map((one) => [one.source, one]));
  const given: unknown = source.conditions;
  const conditions = (Array.isArray(given) ? (given as Condition[]) : []).map((one) =>
    explainCondition(one, compiled.get(one), request, shown, brokenReason),
  );
  const verdicts = conditions.map(({ verdict }) => verdict);
  const isError = brokenReason !== undefined || verdicts.includes('error');
  return {
    policy_id: policyId,
    rule_id: ruleId,
    name: source.name,
    effect,
    priority,
    verdict: verdicts.includes('fails') ? 'fails' : isError ? 'error' : 'matches',
    decided: false,
    conditions,
  };
}

function explainCondition(
  { field, operator, value, value_from }: Condition,
  compiled: CompiledCondition | undefined,
  request: EvaluateRequest,
  shown: EvaluateRequest,
  brokenReason = 'this is not a condition',
): ExplainedCondition {
  const explained: ExplainedCondition = { field, operator, verdict: 'error' };
  if (value !== undefined) explained.expected = value;
  if (value_from !== undefined) explained.expected_from = value_from;
  if (compiled === undefined) return { ...explained, error: brokenReason };
  const { pair, read, test } = compiled;
  try {
    const actual = visibleValue(pair ? pair[0].read : read, request, shown);
    const expected = pair && visibleValue(pair[1].read, request, shown);
    if (actual !== undefined) explained.actual = actual;
    if (expected !== undefined) explained.expected = expected;
    explained.verdict = test(read(request)) ? 'holds' : 'fails';
  } catch (error) {
    explained.error = error instanceof Error ? error.message : String(error);
  }
  return explained;
}

/** The mask may hide a whole object. Its fields are present all the same, so they are shown as masked. */
function visibleValue(read: Read, request: EvaluateRequest, shown: EvaluateRequest): unknown {
  if (read(request) === undefined) return undefined;
  const visible = read(shown);
  return visible === undefined ? MASKED : visible;
}

function whyRule(winner: CompiledRule, next: CompiledRule | undefined): string {
  const name = `Rule '${winner.source.name}' of policy '${winner.policyId}' decided`;
  const count = winner.source.conditions.length;
  const matches =
    winner.brokenReason !== undefined
      ? `it cannot be evaluated, and a deny rule that cannot be evaluated denies (${winner.brokenReason})`
      : count === 0
        ? 'it has no conditions'
        : count === 1
          ? 'its condition holds'
          : `all its ${count} conditions hold`;
  if (!next) return `${name}: ${matches}, and no other rule matches.`;
  return `${name}: ${matches}, and it comes before rule '${next.source.name}' of policy '${next.policyId}', which matches too: ${whyBefore(winner, next)}.`;
}

function whyBefore(one: CompiledRule, other: CompiledRule): string {
  if (one.priority !== other.priority)
    return `its priority is higher, ${one.priority} against ${other.priority}`;
  if (one.effect !== other.effect)
    return `at the same priority ${one.effect} comes before ${other.effect} (${EFFECTS.join(', ')})`;
  return one.policyId === other.policyId
    ? 'at the same priority and effect the rule_id that sorts first decides'
    : 'at the same priority and effect the policy_id that sorts first decides';
}

function whyDefault({ rules, fallback, units }: Snapshot): string {
  const enabled = [...units.values()].filter(({ policy }) => policy.enabled);
  if (enabled.length === 0)
    return 'No policy is enabled, and without an enabled policy everything is denied.';
  const none = rules.length === 0 ? 'No policy has an enabled rule' : 'No rule matches';
  const from = enabled.filter(({ policy }) => policy.default_effect === fallback.effect);
  const names = from.slice(0, 3).map(({ policy }) => `'${policy.policy_id}'`);
  return `${none}, so the most cautious default effect applies: ${fallback.effect}, of policy ${names.join(', ')}${from.length > 3 ? ' and others' : ''}.`;
}
