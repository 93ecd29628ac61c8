import {
  Described,
  Flag,
  Ignored,
  JsonObject,
  JsonValue,
  ListOf,
  Num,
  OneOf,
  Text,
  Texts,
} from '../../shared/fields.js';
import { EFFECTS, type Effect } from './effects.js';

export const OPERATORS = [
  '==',
  '!=',
  '>',
  '<',
  '>=',
  '<=',
  'contains',
  'matches',
  'search',
  'in',
  'not_in',
  'exists',
  'starts_with',
] as const;
export type Operator = (typeof OPERATORS)[number];

const MAX_TEXT = 4096;
const ID = /^[a-z0-9_-]+$/;
const ID_HINT = 'a-z, 0-9, _ and -';

@Described('Compares one field of a request with a value, or with another field of the request')
export class Condition {
  @Text({
    max: 256,
    description:
      'The field of the request: `agent_id`, `agent_role`, `action`, `resource`, `environment.<path>` or `params.<path>`. `agent.id`, `agent.role` and `context.<path>` are aliases',
    example: 'environment.stage',
  })
  field!: string;

  @OneOf(OPERATORS, {
    name: 'PolicyOperator',
    description:
      'How the field is compared with `value`, or with the field in `value_from`. `matches` is anchored at the start of the text and not at its end: `delete` matches `delete.all` and not `db.delete`. `search` matches anywhere in the text',
    example: '==',
  })
  operator!: Operator;

  @JsonValue({
    exact: true,
    optional: true,
    description:
      'The value to compare with: a list for `in` and `not_in`, a boolean for `exists`, a pattern of RE2 for `matches` and `search`, a text for `starts_with`. Required, unless there is `value_from`',
    example: 'production',
  })
  value?: unknown;

  @Text({
    max: 256,
    optional: true,
    description:
      'The field of the request to compare with, instead of `value`; not for `matches`, `search` and `exists`. While one of the two fields is missing, only `!=` and `not_in` hold',
    example: 'environment.owner',
  })
  value_from?: string;
}

const Enabled = (what: string): PropertyDecorator =>
  Flag({ filled: 'true', description: `Whether the ${what} takes part in decisions`, example: true });
const Metadata = (): PropertyDecorator =>
  JsonObject({
    filled: 'empty',
    description: 'Data for the caller; the service only stores it',
    example: {},
  });

@Described('An effect, and the conditions under which it applies')
export class Rule {
  @Text({
    max: 64,
    pattern: ID,
    patternHint: ID_HINT,
    filled: 'made from `name`',
    description: 'Unique within the policy; it never changes',
    example: 'no_deploy_on_friday',
  })
  rule_id!: string;

  @Text({ max: 256, description: 'A name for people', example: 'No deployment on a Friday' })
  name!: string;

  @Text({
    max: MAX_TEXT,
    min: 0,
    filled: 'empty',
    description: 'An explanation for people. When a `warn` rule decides, this is the text in `warnings`',
    example: '',
  })
  description!: string;

  @OneOf(EFFECTS, {
    name: 'PolicyEffect',
    description:
      'What the rule decides. Only `deny` denies; `warn` and `audit` allow: `warn` adds a text to `warnings`, `audit` sets `requires_audit`',
    example: 'deny',
  })
  effect!: Effect;

  @ListOf(() => Condition, {
    filled: 'none',
    example: [{ field: 'environment.stage', operator: '==', value: 'production' }],
    description: 'The rule matches when all conditions hold. Without conditions it always matches',
  })
  conditions!: Condition[];

  @Num({
    integer: true,
    filled: '0',
    description: 'Of all matching rules, the one with the highest priority decides',
    example: 100,
  })
  priority!: number;

  @Enabled('rule')
  enabled!: boolean;

  @Metadata()
  metadata!: Record<string, unknown>;
}

@Described('A policy as a caller writes it. A draft has no more than this')
export class PolicyContent {
  @Text({
    max: 64,
    pattern: ID,
    patternHint: ID_HINT,
    filled: 'made from `name`',
    description: 'Unique among all policies; it never changes',
    example: 'production_deployment',
  })
  policy_id!: string;

  @Text({ max: 256, description: 'A name for people', example: 'Production deployment' })
  name!: string;

  @Text({
    max: 64,
    filled: '`1.0.0`',
    description: 'A version that the author chooses; the service only stores it',
    example: '1.0.0',
  })
  version!: string;

  @Text({
    max: MAX_TEXT,
    min: 0,
    filled: 'empty',
    description: 'An explanation for people',
    example: 'Who may deploy to production, and when',
  })
  description!: string;

  @ListOf(() => Rule, { filled: 'none', description: 'The rules, in any order: priorities decide' })
  rules!: Rule[];

  @OneOf(EFFECTS, {
    name: 'PolicyEffect',
    filled: '`deny`',
    description:
      'Applies when no rule of any policy matches. The most cautious default effect of all enabled policies wins',
    example: 'deny',
  })
  default_effect!: Effect;

  @Enabled('policy')
  enabled!: boolean;

  @Metadata()
  metadata!: Record<string, unknown>;
}

const Returned = (type: 'integer' | 'number' | 'string', example: unknown): PropertyDecorator =>
  Ignored({
    type,
    description: 'Accepted and ignored, so that a policy can be sent back as it was read',
    example,
  });

@Described('A policy as a caller sends it', 'PolicyInput')
export class PolicyBody extends PolicyContent {
  @Returned('integer', 1) revision?: unknown;
  @Returned('number', 1735424567.89) created_at?: unknown;
  @Returned('number', 1735424567.89) updated_at?: unknown;
  @Returned('string', 'bootstrap') created_by?: unknown;
}

@Described('A policy: a list of rules, and an effect for requests that no rule matches')
export class Policy extends PolicyContent {
  @Num({
    integer: true,
    min: 1,
    description: 'Grows by one with each change of this policy; it is also the ETag',
    example: 1,
  })
  revision!: number;

  @Num({ description: 'When the policy was created, in Unix seconds', example: 1735424567.89 })
  created_at!: number;

  @Num({ description: 'When the policy was last changed, in Unix seconds', example: 1735424567.89 })
  updated_at!: number;

  @Text({ max: 256, description: 'The principal that created the policy', example: 'api_key:ops' })
  created_by!: string;
}

@Described('The question whether an agent may do something')
export class EvaluateRequest {
  /** May be left out of a body. The controllers fill it in before they ask the engine. */
  @Text({
    max: 256,
    optional: true,
    description:
      'The agent that wants to act; by default the first exact entry in the `agents` of the key, and required if there is none',
    example: 'researcher-7',
  })
  agent_id!: string;

  @Text({
    max: 256,
    optional: true,
    description:
      'The role of the agent; by default the first exact entry in the `agent_roles` of the key. Required if there is none, unless the key may name every role',
    example: 'researcher',
  })
  agent_role?: string;

  @Text({ max: 256, description: 'What the agent wants to do', example: 'database.read' })
  action!: string;

  @Text({
    max: 1024,
    optional: true,
    description: 'What the agent wants to act on',
    example: 'database:customers',
  })
  resource?: string;

  @JsonObject({
    exact: true,
    optional: true,
    description: 'The circumstances; conditions read them as `environment.<path>`',
    example: { stage: 'production' },
  })
  environment?: Record<string, unknown>;

  @JsonObject({
    exact: true,
    optional: true,
    description: 'The parameters of the action; conditions read them as `params.<path>`',
    example: { rows: 100 },
  })
  params?: Record<string, unknown>;
}

/** The answer of the engine. The service adds the id of the decision and the revision of the policies. */
export class Verdict {
  @Flag({ description: 'Whether the agent may act: false only for the effect `deny`', example: true })
  allowed!: boolean;

  @OneOf(EFFECTS, {
    name: 'PolicyEffect',
    description: 'The effect of the rule that decided, or the default effect',
    example: 'allow',
  })
  effect!: Effect;

  @Text({
    max: 64,
    nullable: true,
    description: 'The `rule_id` of the rule that decided; null when no rule matched',
    example: 'guest_read_allow',
  })
  matched_rule!: string | null;

  @Text({
    max: 64,
    nullable: true,
    description: 'The `policy_id` of that rule; null when no rule matched',
    example: 'guest_read_only',
  })
  matched_policy!: string | null;

  @Text({ max: 512, description: 'The reason in one sentence', example: "Allowed by rule 'Guests may read'" })
  reason!: string;

  @Texts({
    max: MAX_TEXT,
    most: 1,
    description: 'The text of the `warn` rule that decided; else empty',
    example: [],
  })
  warnings!: readonly string[];

  @Flag({ description: 'True when the effect is `audit`: a person must look at the action', example: false })
  requires_audit!: boolean;

  @Texts({
    max: 1024,
    most: 51,
    optional: true,
    description:
      'The rules that could not be evaluated, and why. At most 50; a last line then says how many are left out. Absent when there are none',
    example: [],
  })
  errors?: readonly string[];
}
