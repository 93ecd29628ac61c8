/** What was decided. */
import { defineEvent } from '../../events/event.js';
import { nowSeconds } from '../../shared/clock.js';
import { Flag, Nested, Num, OneOf, Text, Texts } from '../../shared/fields.js';
import { EFFECTS, type Effect, type EvaluateRequest, type Verdict } from '../engine/policy.dto.js';

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
  subjects: ['agent_id'],
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
  subjects: ['agent_id'],
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
  subjects: ['agent_id'],
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
  subjects: ['agent_id'],
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
