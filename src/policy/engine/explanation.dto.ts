/** Why a decision was made. */
import { Described, Flag, JsonValue, ListOf, Nested, Num, OneOf, Text } from '../../shared/fields.js';
import { EFFECTS, type Effect } from './effects.js';

@Described('A condition, and whether it holds for the request')
export class ExplainedCondition {
  @Text({ max: 256, description: 'The field of the condition', example: 'environment.stage' })
  field!: string;

  @Text({ max: 64, description: 'The operator of the condition', example: '==' })
  operator!: string;

  @JsonValue({
    optional: true,
    description:
      'The value of the condition; with `expected_from` the value of that field, absent when the request does not have it. A text is cut after 1,024 characters, a larger list or object is `(large)`',
    example: 'production',
  })
  expected?: unknown;

  @Text({
    max: 256,
    optional: true,
    description: 'The field that the condition compares with. Absent when it compares with a value',
    example: 'environment.owner',
  })
  expected_from?: string;

  @JsonValue({
    optional: true,
    description:
      'The value of the field in the request, shortened as `expected` is. Absent when the request does not have the field, or the condition cannot be evaluated',
    example: 'test',
  })
  actual?: unknown;

  @OneOf(['holds', 'fails', 'error'], {
    name: 'ConditionVerdict',
    description: 'Whether the condition holds; `error` when it cannot be evaluated',
    example: 'fails',
  })
  verdict!: 'holds' | 'fails' | 'error';

  @Text({
    max: 1024,
    optional: true,
    description: 'Why the condition cannot be evaluated',
    example: 'its value must be a list',
  })
  error?: string;
}

@Described('A rule, and whether it matches the request')
export class ExplainedRule {
  @Text({ max: 64, description: 'The policy of the rule', example: 'production_deployment' })
  policy_id!: string;

  @Text({ max: 64, description: 'The id of the rule', example: 'no_deploy_on_friday' })
  rule_id!: string;

  @Text({ max: 256, description: 'The name of the rule', example: 'No deployment on a Friday' })
  name!: string;

  @OneOf(EFFECTS, { name: 'PolicyEffect', description: 'The effect of the rule', example: 'deny' })
  effect!: Effect;

  @Num({ integer: true, description: 'The priority of the rule', example: 100 })
  priority!: number;

  @OneOf(['matches', 'fails', 'error'], {
    name: 'RuleVerdict',
    description: 'Whether the rule matches; `error` when it cannot be evaluated',
    example: 'fails',
  })
  verdict!: 'matches' | 'fails' | 'error';

  @Flag({ description: 'Whether this rule decided', example: false })
  decided!: boolean;

  @ListOf(() => ExplainedCondition, { description: 'The conditions of the rule, each with its result' })
  conditions!: ExplainedCondition[];
}

@Described('Why a decision was made')
export class Explanation {
  @Text({
    max: 1024,
    description: 'Why this rule or this default effect decided',
    example:
      "Rule 'Guests may read' of policy 'guest_read_only' decided: all its 2 conditions hold, and no other rule matches.",
  })
  why!: string;

  @Nested(() => ExplainedRule, {
    nullable: true,
    description:
      'A rule that failed by exactly one condition. If there are several, the one with the most conditions that hold; null if there is none',
  })
  near_miss!: ExplainedRule | null;

  @ListOf(() => ExplainedRule, {
    description: 'The enabled rules in order of precedence, at most 1,000 with 4,000 conditions',
  })
  rules!: ExplainedRule[];

  @Num({ integer: true, description: 'The number of all enabled rules', example: 2 })
  total_rules!: number;

  @Text({
    max: 1024,
    optional: true,
    description: 'What the explanation leaves out, and why. Absent when it is complete',
    example: 'The rules that did not decide, and the near miss.',
  })
  left_out?: string;
}
