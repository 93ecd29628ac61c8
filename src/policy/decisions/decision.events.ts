/** The events of decisions. */
import { defineEvent } from '../../events/event.js';
import { nowSeconds } from '../../shared/clock.js';
import { Flag, Nested, Num, OneOf, Text, Texts } from '../../shared/fields.js';
import { EFFECTS, type Effect, type EvaluateRequest, type Verdict } from '../engine/policy.dto.js';

const Agent = (): PropertyDecorator =>
  Text({ max: 256, description: 'The agent that wants to act', example: 'researcher-7' });
const Role = (): PropertyDecorator =>
  Text({ max: 256, optional: true, description: 'The role of the agent', example: 'researcher' });
const Action = (): PropertyDecorator => Text({ max: 256, description: 'What the agent wants to do' });
const Resource = (): PropertyDecorator =>
  Text({
    max: 1024,
    min: 0,
    nullable: true,
    description: 'What the agent wants to act on; null if the request names no resource',
  });
const MatchedPolicy = (example: string): PropertyDecorator =>
  Text({
    max: 64,
    nullable: true,
    description: 'The policy of the rule that decided; null if the default effect decided',
    example,
  });
const MatchedRule = (example: string): PropertyDecorator =>
  Text({
    max: 64,
    nullable: true,
    description: 'The rule that decided; null if the default effect decided',
    example,
  });
const Reason = (): PropertyDecorator => Text({ max: 512, description: 'The reason in one sentence' });
const DecisionId = (): PropertyDecorator =>
  Text({
    max: 64,
    description: 'The id of the decision, the same in all its events',
    example: 'k3v9x2abq8w1z4m7p0t5',
  });
const DecidedAt = (): PropertyDecorator => Num({ description: 'The time of the decision, in Unix seconds' });

/**
 * A decision for its events. Of the request they have only agent, role, action and resource: environment and parameters may
 * hold secrets.
 */
export interface Decided {
  decision_id: string;
  policy_revision: number;
  request: EvaluateRequest;
  verdict: Verdict;
}

class Result {
  @Flag({ description: 'Whether the agent may act' })
  allowed!: boolean;

  @OneOf(EFFECTS, {
    name: 'PolicyEffect',
    description: 'The effect of the rule that decided, or the default effect',
  })
  effect!: Effect;

  @MatchedPolicy('production_deployment')
  matched_policy!: string | null;

  @MatchedRule('no_deploy_on_friday')
  matched_rule!: string | null;

  @Reason()
  reason!: string;
}

export class RuleEvaluated {
  @Agent()
  agent_id!: string;

  @Role()
  agent_role?: string;

  @Action()
  action!: string;

  @Resource()
  resource!: string | null;

  @Nested(() => Result, { description: 'The decision' })
  result!: Result;

  @DecisionId()
  decision_id!: string;

  @Num({ integer: true, description: 'The revision of the set of policies that decided' })
  policy_revision!: number;

  @Num({ description: 'How long the engine took, in milliseconds' })
  evaluation_time_ms!: number;

  @DecidedAt()
  evaluated_at!: number;
}

export const ruleEvaluated = defineEvent({
  type: 'policy.rule_evaluated',
  module: 'policy',
  payload: RuleEvaluated,
  subjects: ['agent_id'],
  priority: 'HIGH',
  when: 'A decision was made, with any effect.',
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
  consumers: ['Audit: each request and its decision', 'Metrics: decisions by effect and rule'],
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
  @Agent()
  agent_id!: string;

  @Role()
  agent_role?: string;

  @Action()
  action!: string;

  @Resource()
  resource!: string | null;

  @MatchedPolicy('production_deployment')
  matched_policy!: string | null;

  @MatchedRule('no_deploy_on_friday')
  matched_rule!: string | null;

  @Reason()
  reason!: string;

  @DecisionId()
  decision_id!: string;

  @DecidedAt()
  denied_at!: number;
}

export const actionDenied = defineEvent({
  type: 'policy.action_denied',
  module: 'policy',
  payload: ActionDenied,
  subjects: ['agent_id'],
  priority: 'CRITICAL',
  when: 'A decision denied an action. It follows the `policy.rule_evaluated` of the decision.',
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
  consumers: ['Security operations: agents that try forbidden actions', 'Agents: why they were stopped'],
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
  @Agent()
  agent_id!: string;

  @Action()
  action!: string;

  @MatchedPolicy('resource_limits')
  matched_policy!: string | null;

  @MatchedRule('warn_of_large_model_call')
  matched_rule!: string | null;

  @Texts({ max: 4096, most: 1, description: 'The text of the `warn` rule; empty for a default effect' })
  warnings!: readonly string[];

  @DecisionId()
  decision_id!: string;

  @DecidedAt()
  triggered_at!: number;
}

export const warningTriggered = defineEvent({
  type: 'policy.warning_triggered',
  module: 'policy',
  payload: WarningTriggered,
  subjects: ['agent_id'],
  priority: 'HIGH',
  when: 'A decision allowed an action with a warning. It follows the `policy.rule_evaluated` of the decision.',
  example: {
    agent_id: 'researcher-7',
    action: 'model.call',
    matched_policy: 'resource_limits',
    matched_rule: 'warn_of_large_model_call',
    warnings: ['This call takes more than 32,000 tokens; a shorter prompt may be enough.'],
    decision_id: 'k3v9x2abq8w1z4m7p0t5',
    triggered_at: 1735424567.89,
  },
  consumers: ['Dashboard: agents close to a limit'],
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
  @Agent()
  agent_id!: string;

  @Action()
  action!: string;

  @MatchedPolicy('resource_limits')
  matched_policy!: string | null;

  @MatchedRule('audit_large_machines')
  matched_rule!: string | null;

  @Flag({ description: 'Always true' })
  requires_audit!: boolean;

  @DecisionId()
  decision_id!: string;

  @DecidedAt()
  audit_at!: number;
}

export const auditRequired = defineEvent({
  type: 'policy.audit_required',
  module: 'policy',
  payload: AuditRequired,
  subjects: ['agent_id'],
  priority: 'HIGH',
  when: 'A decision allowed an action that a person must look at. It follows the `policy.rule_evaluated` of the decision.',
  example: {
    agent_id: 'researcher-7',
    action: 'compute.start',
    matched_policy: 'resource_limits',
    matched_rule: 'audit_large_machines',
    requires_audit: true,
    decision_id: 'k3v9x2abq8w1z4m7p0t5',
    audit_at: 1735424567.89,
  },
  consumers: ['Audit: the actions that a person must look at'],
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
