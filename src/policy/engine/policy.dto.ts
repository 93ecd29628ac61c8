import { Flag, JsonObject, JsonValue, ListOf, Nested, Num, OneOf, Text, Texts } from '../../shared/fields.js';

/** From the most cautious to the least: this is also their order at the same priority. */
export const EFFECTS = ['deny', 'audit', 'warn', 'allow'] as const;
export type Effect = (typeof EFFECTS)[number];

export const OPERATORS = [
  '==',
  '!=',
  '>',
  '<',
  '>=',
  '<=',
  'contains',
  'matches',
  'in',
  'not_in',
  'exists',
  'starts_with',
] as const;
export type Operator = (typeof OPERATORS)[number];

const MAX_TEXT = 4096;
const ID = /^[a-z0-9_-]+$/;
const ID_HINT = 'a-z, 0-9, _ and -';

export class Condition {
  @Text({
    max: 256,
    description:
      '`agent_id`, `agent_role`, `action`, `resource`, `environment.<path>` or `params.<path>`; also `agent.id`, `agent.role`, `context.<path>`',
    example: 'environment.stage',
  })
  field!: string;

  @OneOf(OPERATORS, { name: 'PolicyOperator', example: '==' })
  operator!: Operator;

  @JsonValue({ description: 'What the field is compared with', example: 'production' })
  value!: unknown;
}

export class Rule {
  @Text({ max: 64, pattern: ID, patternHint: ID_HINT, example: 'no_deploy_on_friday' })
  rule_id!: string;

  @Text({ max: 256, example: 'No deployment on a Friday' })
  name!: string;

  @Text({
    max: MAX_TEXT,
    min: 0,
    description: 'Stands in `warnings` when a `warn` rule decides',
    example: '',
  })
  description!: string;

  @OneOf(EFFECTS, { name: 'PolicyEffect', example: 'deny' })
  effect!: Effect;

  @ListOf(() => Condition, { description: 'All must hold; none means always' })
  conditions!: Condition[];

  @Num({ integer: true, description: 'The highest that matches decides', example: 100 })
  priority!: number;

  @Flag({ example: true })
  enabled!: boolean;

  @JsonObject({ example: {} })
  metadata!: Record<string, unknown>;
}

/** What people write; a draft is this and no more. */
export class PolicyContent {
  @Text({ max: 64, pattern: ID, patternHint: ID_HINT, example: 'production_deployment' })
  policy_id!: string;

  @Text({ max: 256, example: 'Production deployment' })
  name!: string;

  @Text({ max: 64, example: '1.0.0' })
  version!: string;

  @Text({ max: MAX_TEXT, min: 0, example: 'Who may deploy to production, and when' })
  description!: string;

  @ListOf(() => Rule)
  rules!: Rule[];

  @OneOf(EFFECTS, {
    name: 'PolicyEffect',
    description: 'Applied when no rule of any policy matches; the most cautious of all policies counts',
    example: 'deny',
  })
  default_effect!: Effect;

  @Flag({ example: true })
  enabled!: boolean;

  @JsonObject({ example: {} })
  metadata!: Record<string, unknown>;
}

export class Policy extends PolicyContent {
  @Num({ integer: true, min: 1, description: 'Grows with each change; the ETag', example: 1 })
  revision!: number;

  @Num({ example: 1735424567.89 })
  created_at!: number;

  @Num({ example: 1735424567.89 })
  updated_at!: number;

  @Text({ max: 256, example: 'api_key:ops' })
  created_by!: string;
}

export class EvaluateRequest {
  @Text({ max: 256, example: 'researcher-7' })
  agent_id!: string;

  @Text({ max: 256, optional: true, example: 'researcher' })
  agent_role?: string;

  @Text({ max: 256, example: 'database.read' })
  action!: string;

  @Text({ max: 1024, optional: true, example: 'database:customers' })
  resource?: string;

  @JsonObject({ optional: true, example: { stage: 'production' } })
  environment?: Record<string, unknown>;

  @JsonObject({ optional: true, example: { rows: 100 } })
  params?: Record<string, unknown>;
}

/** What the engine says. The service adds which decision it was, and under which revision of the policies. */
export class Verdict {
  @Flag({ example: true })
  allowed!: boolean;

  @OneOf(EFFECTS, { name: 'PolicyEffect', example: 'allow' })
  effect!: Effect;

  @Text({ max: 64, nullable: true, example: 'guest_read_allow' })
  matched_rule!: string | null;

  @Text({ max: 64, nullable: true, example: 'guest_read_only' })
  matched_policy!: string | null;

  @Text({ max: 512, example: "Allowed by rule 'Guests may read'" })
  reason!: string;

  @Texts({ max: MAX_TEXT, most: 1, example: [] })
  warnings!: readonly string[];

  @Flag({ example: false })
  requires_audit!: boolean;

  @Texts({
    max: 1024,
    most: 10_000,
    optional: true,
    description: 'Rules that could not be evaluated, and why',
    example: [],
  })
  errors?: readonly string[];
}

export class ExplainedCondition {
  @Text({ max: 256, example: 'environment.stage' })
  field!: string;

  @Text({ max: 64, example: '==' })
  operator!: string;

  @JsonValue({ description: 'The value of the condition', example: 'production' })
  expected!: unknown;

  @JsonValue({
    optional: true,
    description: 'The value in the request; left out where it has none',
    example: 'test',
  })
  actual?: unknown;

  @OneOf(['holds', 'fails', 'error'], { name: 'ConditionVerdict', example: 'fails' })
  verdict!: 'holds' | 'fails' | 'error';

  @Text({
    max: 1024,
    optional: true,
    description: 'Why it cannot be evaluated',
    example: 'its value must be a list',
  })
  error?: string;
}

export class ExplainedRule {
  @Text({ max: 64, example: 'production_deployment' })
  policy_id!: string;

  @Text({ max: 64, example: 'no_deploy_on_friday' })
  rule_id!: string;

  @Text({ max: 256, example: 'No deployment on a Friday' })
  name!: string;

  @OneOf(EFFECTS, { name: 'PolicyEffect', example: 'deny' })
  effect!: Effect;

  @Num({ integer: true, example: 100 })
  priority!: number;

  @OneOf(['matches', 'fails', 'error'], { name: 'RuleVerdict', example: 'fails' })
  verdict!: 'matches' | 'fails' | 'error';

  @Flag({ description: 'Whether this rule decided', example: false })
  decided!: boolean;

  @ListOf(() => ExplainedCondition)
  conditions!: ExplainedCondition[];
}

export class Explanation {
  @Text({
    max: 1024,
    description: 'Why the winner won',
    example: "Rule 'Guests may read' decided: its conditions hold, and no rule before it matches.",
  })
  why!: string;

  @Nested(() => ExplainedRule, {
    nullable: true,
    description:
      'Of the rules that missed by exactly one condition the one of which the most conditions hold',
  })
  near_miss!: ExplainedRule | null;

  @ListOf(() => ExplainedRule, { description: 'All that can decide, in order of precedence, up to a limit' })
  rules!: ExplainedRule[];

  @Num({ integer: true, description: 'How many there are', example: 2 })
  total_rules!: number;
}
