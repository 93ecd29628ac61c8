/** The events of decisions. */
import { defineEvent } from '../../events/event.js';
import { nowSeconds } from '../../shared/clock.js';
import { Flag, ListOf, Nested, Num, OneOf, Text, Texts } from '../../shared/fields.js';
import { EFFECTS, type Effect } from '../engine/effects.js';
import type { EvaluateRequest, Verdict } from '../engine/policy.dto.js';

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

/** What a test by the stored policies would have decided. */
export interface TestedRequest {
  policy_revision: number;
  asked_by: string;
  request: EvaluateRequest;
  verdict: Verdict;
}

const MatchedPolicy = (): PropertyDecorator =>
  Text({
    max: 64,
    nullable: true,
    description: 'The policy of the rule that decided; null if the default effect decided',
  });
const MatchedRule = (): PropertyDecorator =>
  Text({ max: 64, nullable: true, description: 'The rule that decided; null if the default effect decided' });
const Reason = (): PropertyDecorator => Text({ max: 512, description: 'The reason in one sentence' });
const AskedBy = (): PropertyDecorator =>
  Text({
    max: 256,
    description:
      'The id of the principal that asked; for a step of a mission, of whoever started the mission',
  });
const DecisionId = (): PropertyDecorator =>
  Text({ max: 64, description: 'The id of the decision, the same in all its events' });
const DecidedAt = (): PropertyDecorator => Num({ description: 'The time of the decision, in Unix seconds' });

/** The request of a decision, with its role and resource. */
class Asked {
  @Text({ max: 256, description: 'The agent that wants to act' }) agent_id!: string;
  @AskedBy() asked_by!: string;
  @Text({ max: 256, optional: true, description: 'The role of the agent' }) agent_role?: string;
  @Text({ max: 256, description: 'What the agent wants to do' }) action!: string;
  @Text({
    max: 1024,
    min: 0,
    nullable: true,
    description: 'What the agent wants to act on; null if the request names no resource',
  })
  resource!: string | null;
}

class Result {
  @Flag({ description: 'Whether the agent may act' }) allowed!: boolean;
  @OneOf(EFFECTS, {
    name: 'PolicyEffect',
    description: 'The effect of the rule that decided, or the default effect',
  })
  effect!: Effect;
  @MatchedPolicy() matched_policy!: string | null;
  @MatchedRule() matched_rule!: string | null;
  @Reason() reason!: string;
}

class RuleEvaluated extends Asked {
  @Nested(() => Result, { description: 'The decision' }) result!: Result;
  @DecisionId() decision_id!: string;
  @Num({ integer: true, description: 'The revision of the set of policies that decided' })
  policy_revision!: number;
  @Num({ description: 'How long the engine took, in milliseconds' }) evaluation_time_ms!: number;
  @DecidedAt() evaluated_at!: number;
}

class PolicyTested extends Asked {
  @Nested(() => Result, { description: 'What would have been decided' }) result!: Result;
  @Num({ integer: true, description: 'The revision of the set of policies that was asked' })
  policy_revision!: number;
  @Num({ description: 'The time of the test, in Unix seconds' }) tested_at!: number;
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

const SUM_REASONS = ['quota', 'buffer', 'log_nearly_full'] as const;
export type SumReason = (typeof SUM_REASONS)[number];

const FirstDecisionId = (): PropertyDecorator =>
  Text({ max: 64, description: 'The id of the first of these decisions' });

/** Decisions with the same agent, action, rule and effect. */
export class SummedDecisions {
  @Text({ max: 256, description: 'The agent that wants to act' }) agent_id!: string;
  @Text({ max: 256, description: 'What the agent wants to do' }) action!: string;
  @MatchedPolicy() matched_policy!: string | null;
  @MatchedRule() matched_rule!: string | null;
  @OneOf(EFFECTS, {
    name: 'PolicyEffect',
    description: 'The effect of the rule that decided, or the default effect',
  })
  effect!: Effect;
  @Num({ integer: true, description: 'The number of these decisions' }) count!: number;
  @FirstDecisionId() first_decision_id!: string;
}

class OtherDecisions {
  @Num({ integer: true, description: 'The number of these decisions' }) count!: number;
  @Num({ integer: true, description: 'How many of them denied' }) denied!: number;
  @FirstDecisionId() first_decision_id!: string;
}

export class DecisionsSummed {
  @AskedBy() asked_by!: string;
  @Texts({
    max: 32,
    most: SUM_REASONS.length,
    description:
      'Why they were summed up: the principal asked for more than BRAIN_DECISIONS_RECORDED_PER_MINUTE (`quota`), its share of the ' +
      'buffer was used up (`buffer`), or the log was nearly full, for allowed decisions (`log_nearly_full`)',
  })
  reasons!: SumReason[];
  @Num({ integer: true, description: 'The number of decisions' }) count!: number;
  @Num({ integer: true, description: 'How many of them denied' }) denied!: number;
  @ListOf(() => SummedDecisions, {
    description: 'The decisions by agent, action, rule and effect: at most 1,000 entries, and about 64 KiB',
  })
  entries!: SummedDecisions[];
  @Nested(() => OtherDecisions, {
    optional: true,
    description: 'The decisions that had no room among the entries; absent if there are none',
  })
  other?: OtherDecisions;
  @Num({ description: 'The time of the first of these decisions, in Unix seconds' }) from!: number;
  @Num({ description: 'The time of the last of these decisions, in Unix seconds' }) to!: number;
}

function resultOf({ allowed, effect, matched_policy, matched_rule, reason }: Verdict): Result {
  return { allowed, effect, matched_policy, matched_rule, reason };
}

/** What all events of decisions have in common. */
const OF_DECISION = { module: 'policy', subjects: ['agent_id'], schemaVersion: 2, decision: true } as const;
const ASKED_BY = 'key_8vzn7ryx3d0q';
const DECISION = 'k3v9x2abq8w1z4m7p0t5';
const AT = 1735424567.89;

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

export const decisionsSummed = defineEvent({
  module: 'policy',
  subjects: ['asked_by'],
  type: 'policy.decisions_summed',
  payload: DecisionsSummed,
  priority: 'HIGH',
  when:
    'Decisions of one principal have no events of their own: there were too many of them, or the log was nearly full. One event for ' +
    'each second, principal and replica; while the log cannot be reached, one for a longer time.',
  example: {
    asked_by: ASKED_BY,
    reasons: ['quota'],
    count: 5201,
    denied: 5200,
    entries: [
      {
        agent_id: 'researcher-7',
        action: 'database.delete',
        matched_policy: 'research',
        matched_rule: 'no_delete',
        effect: 'deny',
        count: 5200,
        first_decision_id: DECISION,
      },
    ],
    other: { count: 1, denied: 0, first_decision_id: 'q8w1z4m7p0t5k3v9x2ab' },
    from: AT,
    to: 1735424568.87,
  },
  consumers: [
    'Audit: the decisions that have no events of their own',
    'Security operations: principals that ask for far more decisions than others',
  ],
  of: (summed: DecisionsSummed): DecisionsSummed => summed,
});

export const policyTested = defineEvent({
  module: 'policy',
  subjects: ['agent_id'],
  type: 'policy.tested',
  decision: true,
  payload: PolicyTested,
  priority: 'LOW',
  when: 'Somebody asked what the stored policies would decide (`test-rule` without drafts). It is no decision: nothing was counted.',
  example: {
    agent_id: 'researcher-7',
    asked_by: ASKED_BY,
    agent_role: 'researcher',
    action: 'production.deploy',
    resource: null,
    result: {
      allowed: false,
      effect: 'deny',
      matched_policy: 'production_deployment',
      matched_rule: 'no_deploy_on_friday',
      reason: "Denied by rule 'No deployment on a Friday'",
    },
    policy_revision: 7,
    tested_at: AT,
  },
  consumers: ['Security operations: agents that look for what they may do'],
  of: ({ policy_revision, asked_by, request, verdict }: TestedRequest): PolicyTested => ({
    agent_id: request.agent_id,
    asked_by,
    agent_role: request.agent_role,
    action: request.action,
    resource: request.resource ?? null,
    result: resultOf(verdict),
    policy_revision,
    tested_at: nowSeconds(),
  }),
});
