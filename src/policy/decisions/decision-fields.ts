/** What the events of decisions, of their sums and of tests have in common. */
import { Flag, OneOf, Text } from '../../shared/fields.js';
import { EFFECTS, type Effect } from '../engine/effects.js';
import type { Verdict } from '../engine/policy.dto.js';

export const MatchedPolicy = (): PropertyDecorator =>
  Text({
    max: 64,
    nullable: true,
    description: 'The policy of the rule that decided; null if the default effect decided',
  });
export const MatchedRule = (): PropertyDecorator =>
  Text({ max: 64, nullable: true, description: 'The rule that decided; null if the default effect decided' });
export const DecidedEffect = (): PropertyDecorator =>
  OneOf(EFFECTS, {
    name: 'PolicyEffect',
    description: 'The effect of the rule that decided, or the default effect',
  });
export const Reason = (): PropertyDecorator => Text({ max: 512, description: 'The reason in one sentence' });
export const AskedBy = (): PropertyDecorator =>
  Text({
    max: 256,
    description:
      'The id of the principal that asked; for a step of a mission, of whoever started the mission',
  });

/** The request of a decision, with its role and resource. */
export class Asked {
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

export class Result {
  @Flag({ description: 'Whether the agent may act' }) allowed!: boolean;
  @DecidedEffect() effect!: Effect;
  @MatchedPolicy() matched_policy!: string | null;
  @MatchedRule() matched_rule!: string | null;
  @Reason() reason!: string;
}

export function resultOf({ allowed, effect, matched_policy, matched_rule, reason }: Verdict): Result {
  return { allowed, effect, matched_policy, matched_rule, reason };
}

/** For the examples. */
export const ASKED_BY = 'key_8vzn7ryx3d0q';
export const DECISION = 'k3v9x2abq8w1z4m7p0t5';
export const AT = 1735424567.89;
