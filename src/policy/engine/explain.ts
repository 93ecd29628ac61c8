/** Explains a decision: it evaluates every rule and every condition, without the indexes that `decide` uses. */
import { MASKED } from '../../shared/mask.js';
import { atOnce } from '../../shared/time-slices.js';
import { EFFECTS } from './effects.js';
import { Evaluation, type Outcome } from './evaluation.js';
import type { ExplainedCondition, ExplainedRule, Explanation } from './explanation.dto.js';
import type { Read } from './fields.js';
import type { Condition, EvaluateRequest } from './policy.dto.js';
import { type CompiledCondition, type CompiledRule, conditionsOf } from './rules.js';
import type { Snapshot } from './snapshot.js';

/** More rules or conditions would make the answer too large. */
const MAX_RULES = 1000;
const MAX_CONDITIONS = 4000;
/** More characters of a value are not shown: many conditions show the same value. */
const MAX_SHOWN = 1024;
const ONLY_DECIDING =
  'The rules that did not decide, and the near miss: keys of the roles agent and gateway do not get them.';

export interface ExplainOptions {
  /** The most rules that are listed; the near miss may be any rule. */
  maxRules?: number;
  /** The request with secret values masked: the explanation shows its values. */
  shown?: EvaluateRequest;
  /** Only the rule that decided, for callers that may not learn how close they came to other rules. */
  onlyDeciding?: boolean;
}

export function explain(
  snapshot: Snapshot,
  request: EvaluateRequest,
  options: ExplainOptions = {},
): Explanation {
  return atOnce(explainInSlices(snapshot, request, options));
}

/** In slices, so that many rules do not block the event loop. */
export function* explainInSlices(
  snapshot: Snapshot,
  request: EvaluateRequest,
  { maxRules = MAX_RULES, shown = request, onlyDeciding = false }: ExplainOptions = {},
): Generator<void, Explanation, void> {
  const explaining = new Explaining(snapshot, request, shown);
  const rules: ExplainedRule[] = [];
  const matching: Judged[] = [];
  let conditions = 0;
  let near: { rule: ExplainedRule; holding: number } | undefined;
  for (const rule of snapshot.rules) {
    yield;
    const judged = explaining.judge(rule);
    if (onlyDeciding && !judged.decides) continue;
    const explained = explaining.explain(judged);
    explained.decided = judged.decides && matching.length === 0;
    if (judged.decides) matching.push(judged);
    conditions += explained.conditions.length;
    if (rules.length < maxRules && conditions <= MAX_CONDITIONS) rules.push(explained);
    if (onlyDeciding) break;
    const holding = explained.conditions.filter(({ verdict }) => verdict === 'holds').length;
    const missedByOne = explained.verdict === 'fails' && holding === explained.conditions.length - 1;
    if (missedByOne && (near === undefined || holding > near.holding)) near = { rule: explained, holding };
  }
  const [winner, next] = matching;
  const why = winner ? whyRule(winner, next, onlyDeciding) : whyDefault(snapshot);
  const total_rules = snapshot.rules.length;
  const all = { why, near_miss: near?.rule ?? null, rules, total_rules };
  if (onlyDeciding) return { ...all, left_out: ONLY_DECIDING };
  return rules.length === total_rules
    ? all
    : { ...all, left_out: `All rules but the first ${rules.length}: the answer would be too large.` };
}

/** A rule as a decision evaluates it. */
interface Judged {
  rule: CompiledRule;
  outcome: Outcome;
  /** Of the conditions that the decision needs. */
  results: ReadonlyMap<CompiledCondition, Outcome>;
  /** It decides if no rule before it does. */
  decides: boolean;
}

class Explaining {
  private readonly deciding: Evaluation;
  /** The conditions that a decision does not need have another budget: else the results could differ from the decision. */
  private readonly others: Evaluation;
  private readonly shortened = new Map<object, unknown>();

  constructor(
    snapshot: Snapshot,
    private readonly request: EvaluateRequest,
    private readonly shown: EvaluateRequest,
  ) {
    this.deciding = new Evaluation(snapshot, request);
    this.others = new Evaluation(snapshot, request);
  }

  judge(rule: CompiledRule): Judged {
    const results = new Map<CompiledCondition, Outcome>();
    const outcome = this.deciding.outcomeOf(rule, (condition, result) => results.set(condition, result));
    const decides = outcome.holds || (outcome.error !== undefined && rule.effect === 'deny');
    return { rule, outcome, results, decides };
  }

  explain({ rule, outcome, results }: Judged): ExplainedRule {
    const { policyId, ruleId, source, effect, priority, brokenReason } = rule;
    const compiled = new Map(conditionsOf(rule).map((one) => [one.source, one]));
    const given: unknown = source.conditions;
    const conditions = (Array.isArray(given) ? (given as Condition[]) : []).map((one) =>
      this.condition(one, compiled.get(one), results, brokenReason),
    );
    return {
      policy_id: policyId,
      rule_id: ruleId,
      name: source.name,
      effect,
      priority,
      verdict: outcome.holds ? 'matches' : outcome.error === undefined ? 'fails' : 'error',
      decided: false,
      conditions,
    };
  }

  private condition(
    { field, operator, value, value_from }: Condition,
    compiled: CompiledCondition | undefined,
    results: Judged['results'],
    brokenReason = 'this is not a condition',
  ): ExplainedCondition {
    const explained: ExplainedCondition = { field, operator, verdict: 'error' };
    if (value !== undefined) explained.expected = this.short(value);
    if (value_from !== undefined) explained.expected_from = value_from;
    if (compiled === undefined) return { ...explained, error: brokenReason };
    const { holds, error } = results.get(compiled) ?? this.others.resultOf(compiled);
    if (error !== undefined) return { ...explained, error };
    const { pair, read } = compiled;
    const actual = this.visible(pair ? pair[0].read : read);
    const expected = pair && this.visible(pair[1].read);
    if (actual !== undefined) explained.actual = actual;
    if (expected !== undefined) explained.expected = expected;
    explained.verdict = holds ? 'holds' : 'fails';
    return explained;
  }

  /** The mask may hide a whole object. Its fields are present all the same, so they are shown as masked. */
  private visible(read: Read): unknown {
    if (read(this.request) === undefined) return undefined;
    const visible = read(this.shown);
    return visible === undefined ? MASKED : this.short(visible);
  }

  private short(value: unknown): unknown {
    if (typeof value === 'string') return value.length > MAX_SHOWN ? `${value.slice(0, MAX_SHOWN)}…` : value;
    if (typeof value !== 'object' || value === null) return value;
    if (!this.shortened.has(value))
      this.shortened.set(value, JSON.stringify(value).length > MAX_SHOWN ? '(large)' : value);
    return this.shortened.get(value);
  }
}

function whyRule({ rule, outcome }: Judged, next: Judged | undefined, onlyDeciding: boolean): string {
  const name = `Rule '${rule.source.name}' of policy '${rule.policyId}' decided`;
  const count = rule.source.conditions.length;
  const matches =
    outcome.error !== undefined
      ? `it cannot be evaluated, and a deny rule that cannot be evaluated denies (${outcome.error})`
      : count === 0
        ? 'it has no conditions'
        : count === 1
          ? 'its condition holds'
          : `all its ${count} conditions hold`;
  if (onlyDeciding) return `${name}: ${matches}.`;
  if (!next) return `${name}: ${matches}, and no other rule matches.`;
  const { source, policyId } = next.rule;
  return `${name}: ${matches}, and it comes before rule '${source.name}' of policy '${policyId}', which matches too: ${whyBefore(rule, next.rule)}.`;
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
