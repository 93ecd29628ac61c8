/** The event of a test by the stored policies. */
import { defineEvent } from '../../events/event.js';
import { nowSeconds } from '../../shared/clock.js';
import { Nested, Num } from '../../shared/fields.js';
import type { Decided } from './decision.events.js';
import { ASKED_BY, Asked, AT, Result, resultOf } from './decision-fields.js';

/** What a test by the stored policies would have decided. */
type TestedRequest = Omit<Decided, 'decision_id'>;

class PolicyTested extends Asked {
  @Nested(() => Result, { description: 'What would have been decided' }) result!: Result;
  @Num({ integer: true, description: 'The revision of the set of policies that was asked' })
  policy_revision!: number;
  @Num({ description: 'The time of the test, in Unix seconds' }) tested_at!: number;
}

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
