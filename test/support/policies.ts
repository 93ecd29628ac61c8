/** Builds policies for tests: a test names only the fields that matter to it. */
import { readConfig } from '../../src/config/config.js';
import type { Condition, EvaluateRequest, PolicyContent, Rule } from '../../src/policy/engine/policy.dto.js';
import { policyLimits } from '../../src/policy/policy.settings.js';

/** The limits of the default settings. */
export const LIMITS = policyLimits(readConfig({}));

export type RuleSketch = Partial<Rule> & { rule_id: string };
export type PolicySketch = Partial<Omit<PolicyContent, 'rules'>> & { rules?: RuleSketch[] };

export function policyOf({ rules = [], ...sketch }: PolicySketch): PolicyContent {
  return {
    policy_id: 'p',
    name: 'Policy',
    version: '1.0.0',
    description: '',
    default_effect: 'deny',
    enabled: true,
    metadata: {},
    ...sketch,
    rules: rules.map(ruleOf),
  };
}

export function ruleOf(sketch: RuleSketch): Rule {
  return {
    name: sketch.rule_id,
    description: '',
    effect: 'allow',
    conditions: [],
    priority: 0,
    enabled: true,
    metadata: {},
    ...sketch,
  };
}

export function conditionOf([field, operator, value]: [string, Condition['operator'], unknown]): Condition {
  return { field, operator, value };
}

/** A condition that compares two fields. */
export function comparisonOf([field, operator, value_from]: [
  string,
  Condition['operator'],
  string,
]): Condition {
  return { field, operator, value_from };
}

export function requestOf(sketch: Partial<EvaluateRequest> = {}): EvaluateRequest {
  return { agent_id: 'agent-1', action: 'read', ...sketch };
}
