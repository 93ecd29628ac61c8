/** The events of decisions. */
import { defineEvent } from '../../events/event.js';
import { nowSeconds } from '../../shared/clock.js';
import { Flag, Nested, Num, Text, Texts } from '../../shared/fields.js';
import type { EvaluateRequest, Verdict } from '../engine/policy.dto.js';
import {
  ASKED_BY,
  Asked,
  AskedBy,
  AT,
  DECISION,
  MatchedPolicy,
  MatchedRule,
  Reason,
  Result,
  resultOf,
} from './decision-fields.js';

/**
 * A decision for its events. Of the request they have only agent, role, action and resource: environment and parameters may
 * hold secrets.
 */
export interface Decided {
  decision_id: string;
  policy_revision: number;
  asked_by: string;
  request: EvaluateRequest;
  verdict: Verdict;
}

const DecisionId = (): PropertyDecorator =>
  Text({ max: 64, description: 'The id of the decision, the same in all its events' });
const DecidedAt = (): PropertyDecorator => Num({ description: 'The time of the decision, in Unix seconds' });

class RuleEvaluated extends Asked {
  @Nested(() => Result, { description: 'The decision' }) result!: Result;
  @DecisionId() decision_id!: string;
  @Num({ integer: true, description: 'The revision of the set of policies that decided' })
  policy_revision!: number;
  @Num({ description: 'How long the engine took, in milliseconds' }) evaluation_time_ms!: number;
  @DecidedAt() evaluated_at!: number;
}

class ActionDenied extends Asked {
  @MatchedPolicy() matched_policy!: string | null;
  @MatchedRule() matched_rule!: string | null;
  @Reason() reason!: string;
  @DecisionId() decision_id!: string;
  @DecidedAt() denied_at!: number;
}

/** An action that was allowed with a warning or an audit. */
class Noticed {
  @Text({ max: 256, description: 'The agent that wants to act' }) agent_id!: string;
  @AskedBy() asked_by!: string;
  @Text({ max: 256, description: 'What the agent wants to do' }) action!: string;
  @MatchedPolicy() matched_policy!: string | null;
  @MatchedRule() matched_rule!: string | null;
}

class WarningTriggered extends Noticed {
  @Texts({ max: 4096, most: 1, description: 'The text of the `warn` rule; empty for a default effect' })
  warnings!: readonly string[];
  @DecisionId() decision_id!: string;
  @DecidedAt() triggered_at!: number;
}

class AuditRequired extends Noticed {
  @Flag({ description: 'Always true' }) requires_audit!: boolean;
  @DecisionId() decision_id!: string;
  @DecidedAt() audit_at!: number;
}

/** What all events of decisions have in common. */
const OF_DECISION = { module: 'policy', subjects: ['agent_id'], schemaVersion: 2, decision: true } as const;

export const ruleEvaluated = defineEvent({
  ...OF_DECISION,
  type: 'policy.rule_evaluated',
  payload: RuleEvaluated,
  priority: 'HIGH',
  when: 'A decision was made, with any effect.',
  example: {
    agent_id: 'researcher-7',
    asked_by: ASKED_BY,
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
    decision_id: DECISION,
    policy_revision: 7,
    evaluation_time_ms: 0.004,
    evaluated_at: AT,
  },
  consumers: ['Audit: each request and its decision', 'Metrics: decisions by effect and rule'],
  of: (
    { decision_id, policy_revision, asked_by, request, verdict }: Decided,
    tookMs: number,
  ): RuleEvaluated => ({
    agent_id: request.agent_id,
    asked_by,
    agent_role: request.agent_role,
    action: request.action,
    resource: request.resource ?? null,
    result: resultOf(verdict),
    decision_id,
    policy_revision,
    evaluation_time_ms: tookMs,
    evaluated_at: nowSeconds(),
  }),
});

export const actionDenied = defineEvent({
  ...OF_DECISION,
  type: 'policy.action_denied',
  payload: ActionDenied,
  priority: 'CRITICAL',
  when: 'A decision denied an action. It follows the `policy.rule_evaluated` of the decision.',
  example: {
    agent_id: 'deployer-2',
    asked_by: ASKED_BY,
    agent_role: 'deployer',
    action: 'production.deploy',
    resource: 'service:billing',
    matched_policy: 'production_deployment',
    matched_rule: 'no_deploy_on_friday',
    reason: "Denied by rule 'No deployment on a Friday'",
    decision_id: DECISION,
    denied_at: AT,
  },
  consumers: ['Security operations: agents that try forbidden actions', 'Agents: why they were stopped'],
  of: ({ decision_id, asked_by, request, verdict }: Decided): ActionDenied => ({
    agent_id: request.agent_id,
    asked_by,
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

export const warningTriggered = defineEvent({
  ...OF_DECISION,
  type: 'policy.warning_triggered',
  payload: WarningTriggered,
  priority: 'HIGH',
  when: 'A decision allowed an action with a warning. It follows the `policy.rule_evaluated` of the decision.',
  example: {
    agent_id: 'researcher-7',
    asked_by: ASKED_BY,
    action: 'model.call',
    matched_policy: 'resource_limits',
    matched_rule: 'warn_of_large_model_call',
    warnings: ['This call takes more than 32,000 tokens; a shorter prompt may be enough.'],
    decision_id: DECISION,
    triggered_at: AT,
  },
  consumers: ['Dashboard: agents close to a limit'],
  of: ({ decision_id, asked_by, request, verdict }: Decided): WarningTriggered => ({
    agent_id: request.agent_id,
    asked_by,
    action: request.action,
    matched_policy: verdict.matched_policy,
    matched_rule: verdict.matched_rule,
    warnings: verdict.warnings,
    decision_id,
    triggered_at: nowSeconds(),
  }),
});

export const auditRequired = defineEvent({
  ...OF_DECISION,
  type: 'policy.audit_required',
  payload: AuditRequired,
  priority: 'HIGH',
  when: 'A decision allowed an action that a person must look at. It follows the `policy.rule_evaluated` of the decision.',
  example: {
    agent_id: 'researcher-7',
    asked_by: ASKED_BY,
    action: 'compute.start',
    matched_policy: 'resource_limits',
    matched_rule: 'audit_large_machines',
    requires_audit: true,
    decision_id: DECISION,
    audit_at: AT,
  },
  consumers: ['Audit: the actions that a person must look at'],
  of: ({ decision_id, asked_by, request, verdict }: Decided): AuditRequired => ({
    agent_id: request.agent_id,
    asked_by,
    action: request.action,
    matched_policy: verdict.matched_policy,
    matched_rule: verdict.matched_rule,
    requires_audit: verdict.requires_audit,
    decision_id,
    audit_at: nowSeconds(),
  }),
});
