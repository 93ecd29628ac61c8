/** What the policy domain tells: what was decided, and what became of policies and rules. */
import { defineEvent } from '../events/event.js';
import { nowSeconds } from '../shared/clock.js';
import { Flag, JsonObject, Nested, Num, OneOf, Text, Texts } from '../shared/fields.js';
import type { Changes, RuleDifference } from './policy.difference.js';
import { EFFECTS, type Effect, type EvaluateRequest, type Policy, type Rule, type Verdict } from './policy.dto.js';

const AGENT = { max: 256, example: 'researcher-7' } as const;
const Matched = (example: string): PropertyDecorator => Text({ max: 64, nullable: true, example });
const Role = (): PropertyDecorator => Text({ max: 256, optional: true, example: 'researcher' });
const DecisionId = (): PropertyDecorator =>
  Text({ max: 64, description: 'The same in every event of one decision', example: 'k3v9x2abq8w1z4m7p0t5' });

/** A decision as its events tell it; the request stays out of them, save who, what and on what. */
export interface Decided {
  decision_id: string;
  policy_revision: number;
  request: EvaluateRequest;
  verdict: Verdict;
}

class Result {
  @Flag()
  allowed!: boolean;

  @OneOf(EFFECTS, { name: 'PolicyEffect' })
  effect!: Effect;

  @Matched('production_deployment')
  matched_policy!: string | null;

  @Matched('no_deploy_on_friday')
  matched_rule!: string | null;

  @Text({ max: 512 })
  reason!: string;
}

export class RuleEvaluated {
  @Text(AGENT)
  agent_id!: string;

  @Role()
  agent_role?: string;

  @Text({ max: 256 })
  action!: string;

  @Text({ max: 1024, min: 0, nullable: true, description: 'Null where the request named none' })
  resource!: string | null;

  @Nested(() => Result)
  result!: Result;

  @DecisionId()
  decision_id!: string;

  @Num({ integer: true, description: 'Of the whole set of policies' })
  policy_revision!: number;

  @Num({ description: 'What the engine took' })
  evaluation_time_ms!: number;

  @Num()
  evaluated_at!: number;
}

export const ruleEvaluated = defineEvent({
  type: 'policy.rule_evaluated',
  module: 'policy',
  payload: RuleEvaluated,
  priority: 'HIGH',
  when: 'A decision was made, whatever it was.',
  example: {
    agent_id: 'researcher-7',
    agent_role: 'researcher',
    action: 'database.read',
    resource: 'database:customers',
    result: {
      allowed: true,
      effect: 'allow',
      matched_policy: 'research',
      matched_rule: 'may_read',
      reason: "Allowed by rule 'Researchers may read'",
    },
    decision_id: 'k3v9x2abq8w1z4m7p0t5',
    policy_revision: 7,
    evaluation_time_ms: 0.004,
    evaluated_at: 1735424567.89,
  },
  consumers: ['Audit: who asked for what, and what was answered', 'Metrics: decisions by effect and rule'],
  noise: ({ result }: RuleEvaluated) => result.effect === 'allow',
  of: ({ decision_id, policy_revision, request, verdict }: Decided, tookMs: number): RuleEvaluated => ({
    agent_id: request.agent_id,
    agent_role: request.agent_role,
    action: request.action,
    resource: request.resource ?? null,
    result: {
      allowed: verdict.allowed,
      effect: verdict.effect,
      matched_policy: verdict.matched_policy,
      matched_rule: verdict.matched_rule,
      reason: verdict.reason,
    },
    decision_id,
    policy_revision,
    evaluation_time_ms: tookMs,
    evaluated_at: nowSeconds(),
  }),
});

export class ActionDenied {
  @Text(AGENT)
  agent_id!: string;

  @Role()
  agent_role?: string;

  @Text({ max: 256 })
  action!: string;

  @Text({ max: 1024, min: 0, nullable: true })
  resource!: string | null;

  @Matched('production_deployment')
  matched_policy!: string | null;

  @Matched('no_deploy_on_friday')
  matched_rule!: string | null;

  @Text({ max: 512 })
  reason!: string;

  @DecisionId()
  decision_id!: string;

  @Num()
  denied_at!: number;
}

export const actionDenied = defineEvent({
  type: 'policy.action_denied',
  module: 'policy',
  payload: ActionDenied,
  priority: 'CRITICAL',
  when: 'A decision was a denial; behind the decision itself.',
  example: {
    agent_id: 'deployer-2',
    agent_role: 'deployer',
    action: 'production.deploy',
    resource: 'service:billing',
    matched_policy: 'production_deployment',
    matched_rule: 'no_deploy_on_friday',
    reason: "Denied by rule 'No deployment on a Friday'",
    decision_id: 'k3v9x2abq8w1z4m7p0t5',
    denied_at: 1735424567.89,
  },
  consumers: ['Security operations: an agent tries what it may not', 'Agents: why they were stopped'],
  of: ({ decision_id, request, verdict }: Decided): ActionDenied => ({
    agent_id: request.agent_id,
    agent_role: request.agent_role,
    action: request.action,
    resource: request.resource ?? null,
    matched_policy: verdict.matched_policy,
    matched_rule: verdict.matched_rule,
    reason: verdict.reason,
    decision_id,
    denied_at: nowSeconds(),
  }),
});

export class WarningTriggered {
  @Text(AGENT)
  agent_id!: string;

  @Text({ max: 256 })
  action!: string;

  @Matched('resource_limits')
  matched_policy!: string | null;

  @Matched('warn_of_large_model_call')
  matched_rule!: string | null;

  @Texts({ max: 4096, most: 1 })
  warnings!: readonly string[];

  @DecisionId()
  decision_id!: string;

  @Num()
  triggered_at!: number;
}

export const warningTriggered = defineEvent({
  type: 'policy.warning_triggered',
  module: 'policy',
  payload: WarningTriggered,
  priority: 'HIGH',
  when: 'A decision allowed with a warning; behind the decision itself.',
  example: {
    agent_id: 'researcher-7',
    action: 'model.call',
    matched_policy: 'resource_limits',
    matched_rule: 'warn_of_large_model_call',
    warnings: ['This call takes more than 32,000 tokens; a shorter prompt may do.'],
    decision_id: 'k3v9x2abq8w1z4m7p0t5',
    triggered_at: 1735424567.89,
  },
  consumers: ['Dashboard: agents that come near a limit'],
  of: ({ decision_id, request, verdict }: Decided): WarningTriggered => ({
    agent_id: request.agent_id,
    action: request.action,
    matched_policy: verdict.matched_policy,
    matched_rule: verdict.matched_rule,
    warnings: verdict.warnings,
    decision_id,
    triggered_at: nowSeconds(),
  }),
});

export class AuditRequired {
  @Text(AGENT)
  agent_id!: string;

  @Text({ max: 256 })
  action!: string;

  @Matched('resource_limits')
  matched_policy!: string | null;

  @Matched('audit_large_machines')
  matched_rule!: string | null;

  @Flag()
  requires_audit!: boolean;

  @DecisionId()
  decision_id!: string;

  @Num()
  audit_at!: number;
}

export const auditRequired = defineEvent({
  type: 'policy.audit_required',
  module: 'policy',
  payload: AuditRequired,
  priority: 'HIGH',
  when: 'A decision allowed what somebody has to look at; behind the decision itself.',
  example: {
    agent_id: 'researcher-7',
    action: 'compute.start',
    matched_policy: 'resource_limits',
    matched_rule: 'audit_large_machines',
    requires_audit: true,
    decision_id: 'k3v9x2abq8w1z4m7p0t5',
    audit_at: 1735424567.89,
  },
  consumers: ['Audit: the list of what is to be looked at'],
  of: ({ decision_id, request, verdict }: Decided): AuditRequired => ({
    agent_id: request.agent_id,
    action: request.action,
    matched_policy: verdict.matched_policy,
    matched_rule: verdict.matched_rule,
    requires_audit: verdict.requires_audit,
    decision_id,
    audit_at: nowSeconds(),
  }),
});

export class PolicyCreated {
  @Text({ max: 64, example: 'production_deployment' })
  policy_id!: string;

  @Text({ max: 256 })
  name!: string;

  @Text({ max: 64 })
  version!: string;

  @Num({ integer: true })
  rules_count!: number;

  @Flag()
  enabled!: boolean;

  @Text({ max: 256 })
  created_by!: string;

  @Num()
  created_at!: number;
}

export const policyCreated = defineEvent({
  type: 'policy.created',
  module: 'policy',
  payload: PolicyCreated,
  priority: 'MEDIUM',
  when: 'A policy was made, by hand, by an import, by a rollback, or at the first start.',
  example: {
    policy_id: 'production_deployment',
    name: 'Production deployment',
    version: '1.0.0',
    rules_count: 6,
    enabled: true,
    created_by: 'bootstrap',
    created_at: 1735424567.89,
  },
  consumers: ['Audit: who may make rules, and makes them'],
  of: ({ policy_id, name, version, rules, enabled }: Policy, by: string, at: number): PolicyCreated => ({
    policy_id,
    name,
    version,
    rules_count: rules.length,
    enabled,
    created_by: by,
    created_at: at,
  }),
});

export class PolicyUpdated {
  @Text({ max: 64, example: 'production_deployment' })
  policy_id!: string;

  @JsonObject({ description: 'Old and new of each field that differs; of the rules how many there were' })
  changes!: Changes;

  @Num({ integer: true, description: 'Of the policy, after this change' })
  revision!: number;

  @Text({ max: 256 })
  updated_by!: string;

  @Num()
  updated_at!: number;
}

export const policyUpdated = defineEvent({
  type: 'policy.updated',
  module: 'policy',
  payload: PolicyUpdated,
  priority: 'MEDIUM',
  when: 'A policy was changed, be it only in one of its rules.',
  example: {
    policy_id: 'production_deployment',
    changes: { enabled: { old: true, new: false }, rules: { old_count: 6, new_count: 7 } },
    revision: 4,
    updated_by: 'bootstrap',
    updated_at: 1735424567.89,
  },
  consumers: ['Audit: what was changed, and by whom'],
  of: ({ policy_id, revision }: Policy, changes: Changes, by: string, at: number): PolicyUpdated => ({
    policy_id,
    changes,
    revision,
    updated_by: by,
    updated_at: at,
  }),
});

export class PolicyDeleted {
  @Text({ max: 64, example: 'production_deployment' })
  policy_id!: string;

  @Text({ max: 256 })
  name!: string;

  @Text({ max: 256 })
  deleted_by!: string;

  @Num()
  deleted_at!: number;
}

export const policyDeleted = defineEvent({
  type: 'policy.deleted',
  module: 'policy',
  payload: PolicyDeleted,
  priority: 'MEDIUM',
  when: 'A policy was removed.',
  example: {
    policy_id: 'production_deployment',
    name: 'Production deployment',
    deleted_by: 'bootstrap',
    deleted_at: 1735424567.89,
  },
  consumers: ['Audit: what no longer holds'],
  of: ({ policy_id, name }: Policy, by: string, at: number): PolicyDeleted => ({
    policy_id,
    name,
    deleted_by: by,
    deleted_at: at,
  }),
});

/** What the events of rules have in common; each adds when it happened. */
class RuleChanged {
  @Text({ max: 64, example: 'production_deployment' })
  policy_id!: string;

  @Text({ max: 64, example: 'no_deploy_on_friday' })
  rule_id!: string;

  @Text({ max: 256 })
  name!: string;

  @OneOf(EFFECTS, { name: 'PolicyEffect' })
  effect!: Effect;

  @Num({ integer: true })
  priority!: number;

  @Flag()
  enabled!: boolean;
}

export class RuleCreated extends RuleChanged {
  @Num()
  created_at!: number;
}

export class RuleUpdated extends RuleChanged {
  @JsonObject({ description: 'Old and new of each field that differs' })
  changes!: Changes;

  @Num()
  updated_at!: number;
}

export class RuleDeleted extends RuleChanged {
  @Num()
  deleted_at!: number;
}

export class RuleEnabled extends RuleChanged {
  @Num()
  enabled_at!: number;
}

export class RuleDisabled extends RuleChanged {
  @Num()
  disabled_at!: number;
}

const EXAMPLE: RuleChanged = {
  policy_id: 'production_deployment',
  rule_id: 'no_deploy_on_friday',
  name: 'No deployment on a Friday',
  effect: 'deny',
  priority: 100,
  enabled: true,
};
const AT = 1735424567.89;

function common(policy_id: string, { rule_id, name, effect, priority, enabled }: Rule): RuleChanged {
  return { policy_id, rule_id, name, effect, priority, enabled };
}

const ofRules = { module: 'policy', priority: 'MEDIUM' } as const;

export const ruleCreated = defineEvent({
  ...ofRules,
  type: 'policy.rule_created',
  payload: RuleCreated,
  when: 'A rule is new, whichever route brought it; behind the event of its policy.',
  example: { ...EXAMPLE, created_at: AT },
  consumers: ['Audit: what was permitted or forbidden since when'],
  of: (policyId: string, rule: Rule, at: number): RuleCreated => ({ ...common(policyId, rule), created_at: at }),
});

export const ruleUpdated = defineEvent({
  ...ofRules,
  type: 'policy.rule_updated',
  payload: RuleUpdated,
  when: 'A rule was changed, in more than being enabled; behind the event of its policy.',
  example: { ...EXAMPLE, changes: { priority: { old: 50, new: 100 } }, updated_at: AT },
  consumers: ['Audit: how a rule became what it is'],
  of: (policyId: string, rule: Rule, changes: Changes, at: number): RuleUpdated => ({
    ...common(policyId, rule),
    changes,
    updated_at: at,
  }),
});

export const ruleDeleted = defineEvent({
  ...ofRules,
  type: 'policy.rule_deleted',
  payload: RuleDeleted,
  when: 'A rule is gone, alone or with its policy; behind the event of its policy.',
  example: { ...EXAMPLE, deleted_at: AT },
  consumers: ['Audit: what no longer holds'],
  of: (policyId: string, rule: Rule, at: number): RuleDeleted => ({ ...common(policyId, rule), deleted_at: at }),
});

export const ruleEnabled = defineEvent({
  ...ofRules,
  type: 'policy.rule_enabled',
  payload: RuleEnabled,
  when: 'A rule holds again, and nothing else of it changed; behind the event of its policy.',
  example: { ...EXAMPLE, enabled_at: AT },
  consumers: ['Audit: since when a rule holds'],
  of: (policyId: string, rule: Rule, at: number): RuleEnabled => ({ ...common(policyId, rule), enabled_at: at }),
});

export const ruleDisabled = defineEvent({
  ...ofRules,
  type: 'policy.rule_disabled',
  payload: RuleDisabled,
  when: 'A rule holds no longer, and nothing else of it changed; behind the event of its policy.',
  example: { ...EXAMPLE, enabled: false, disabled_at: AT },
  consumers: ['Security operations: a gate was opened or a permission withdrawn', 'Audit: since when'],
  of: (policyId: string, rule: Rule, at: number): RuleDisabled => ({ ...common(policyId, rule), disabled_at: at }),
});

/** The event for what became of a rule; `rule` is as it is now, or was last. */
export function ruleEvent(policyId: string, rule: Rule, { fact, changes }: RuleDifference, at: number) {
  switch (fact) {
    case 'created':
      return ruleCreated(policyId, rule, at);
    case 'updated':
      return ruleUpdated(policyId, rule, changes, at);
    case 'deleted':
      return ruleDeleted(policyId, rule, at);
    case 'enabled':
      return ruleEnabled(policyId, rule, at);
    case 'disabled':
      return ruleDisabled(policyId, rule, at);
  }
}
