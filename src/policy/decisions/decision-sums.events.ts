/** The event of decisions that have no events of their own. */
import { defineEvent } from '../../events/event.js';
import { ListOf, Nested, Num, Text, Texts } from '../../shared/fields.js';
import type { Effect } from '../engine/effects.js';
import {
  ASKED_BY,
  AskedBy,
  AT,
  DECISION,
  DecidedEffect,
  MatchedPolicy,
  MatchedRule,
} from './decision-fields.js';

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
  @DecidedEffect() effect!: Effect;
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
