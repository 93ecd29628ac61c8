/** Builds verdicts. Each rule has one, made when the rule is compiled, so that a decision creates no object. */
import { EFFECTS, type Effect } from './effects.js';
import type { PolicyContent, Rule, Verdict } from './policy.dto.js';

const REASONS: Record<Effect, string> = {
  allow: 'Allowed',
  deny: 'Denied',
  warn: 'Allowed with warning',
  audit: 'Allowed with audit requirement',
};

export function ruleVerdict(policyId: string, rule: Rule, effect: Effect): Verdict {
  return Object.freeze({
    allowed: effect !== 'deny',
    effect,
    matched_rule: rule.rule_id,
    matched_policy: policyId,
    reason: `${REASONS[effect]} by rule '${rule.name}'`,
    warnings: Object.freeze(effect === 'warn' ? [rule.description || rule.name] : []),
    requires_audit: effect === 'audit',
  });
}

/** The verdict when no rule matches: the most cautious default effect of the enabled policies. */
export function fallbackVerdict(policies: readonly PolicyContent[]): Verdict {
  const enabled = policies.filter((policy) => policy.enabled);
  const defaults = enabled.map(({ default_effect }) => (isEffect(default_effect) ? default_effect : 'deny'));
  const effect = EFFECTS.find((one) => defaults.includes(one)) ?? 'deny';
  return Object.freeze({
    allowed: effect !== 'deny',
    effect,
    matched_rule: null,
    matched_policy: null,
    reason:
      enabled.length === 0
        ? 'No policies configured - default deny'
        : `No matching rules - applied default effect: ${effect}`,
    warnings: Object.freeze([]),
    requires_audit: effect === 'audit',
  });
}

export function withErrors(verdict: Verdict, errors: readonly string[]): Verdict {
  const { allowed, effect, matched_rule, matched_policy, reason, warnings, requires_audit } = verdict;
  return { allowed, effect, matched_rule, matched_policy, reason, warnings, requires_audit, errors };
}

function isEffect(effect: string): boolean {
  return (EFFECTS as readonly string[]).includes(effect);
}
