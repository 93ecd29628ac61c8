/** The bodies, queries and answers of the decision routes. */
import {
  Count,
  Described,
  Flag,
  JsonObject,
  ListIn,
  ListOf,
  Nested,
  Num,
  OneOf,
  Switch,
  Text,
} from '../../shared/fields.js';
import { Explanation } from '../engine/explanation.dto.js';
import { EvaluateRequest, PolicyBody, Verdict } from '../engine/policy.dto.js';

@Described('The answer to the question whether an agent may do something')
export class Decision extends Verdict {
  @Text({
    max: 64,
    description: 'The id of this decision; all events of the decision have it too',
    example: 'k3v9x2abq8w1z4m7p0t5',
  })
  decision_id!: string;

  @Num({
    integer: true,
    description: 'The revision of the set of policies that decided',
    example: 7,
  })
  policy_revision!: number;

  @Flag({
    optional: true,
    description:
      'True if the policies or the key of the caller may have changed more than a second ago: the store cannot be reached, or this replica was stopped. Absent otherwise',
    example: true,
  })
  stale?: boolean;

  @Nested(() => Explanation, {
    optional: true,
    description: 'Why this was decided; only with `explain=true`',
  })
  explain?: Explanation;
}

const MinRevision = (): PropertyDecorator =>
  Num({
    optional: true,
    integer: true,
    min: 1,
    description:
      'The least `policy_revision` to decide by. The service waits for it for up to a second, then answers 503',
  });

export class EvaluateQuery {
  @Switch({ description: 'Answers a denial as a 403 problem with the code `denied_by_policy`' })
  enforce = false;

  @Switch({
    description: 'Adds `explain` to the answer: every rule, each condition, and why this was decided',
  })
  explain = false;

  @MinRevision()
  min_revision?: number;
}

export class BatchQuery {
  @MinRevision()
  min_revision?: number;
}

@Described('Many requests, which are decided by the same revision of the policies')
export class EvaluateBatch {
  @ListIn(() => EvaluateRequest, { least: 1, most: 1000, description: '1 to 1,000 requests' })
  evaluations!: EvaluateRequest[];
}

@Described('The decisions of a batch')
export class DecisionList {
  @ListOf(() => Decision, {
    description: 'One decision for each request, in the same order, all by the same revision',
  })
  decisions!: Decision[];
}

@Described('A request to try, by the stored policies or by drafts')
export class TestRule extends EvaluateRequest {
  @ListIn(() => PolicyBody, {
    optional: true,
    description: 'Drafts that decide instead of the stored policies. They are not stored',
  })
  policies?: PolicyBody[];

  @Flag({ optional: true, description: 'Adds `explain` to the answer', example: true })
  explain?: boolean;
}

@Described('The settings of the domain')
export class PolicyInfo {
  @Text({ max: 64, description: 'The name of the domain', example: 'policy' })
  name!: string;

  @Text({ max: 64, description: 'The version of the routes of the domain', example: '1.0.0' })
  version!: string;

  @JsonObject({
    description: 'The settings for decisions, and the limits for policies',
    example: { decisions: 'buffered', max_rules: 10000 },
  })
  config!: Record<string, unknown>;
}

@Described('A replica that can decide')
export class PolicyHealth {
  @OneOf(['ok'] as const, {
    name: 'HealthStatus',
    description: 'Always `ok`; a replica that cannot decide answers 503',
    example: 'ok',
  })
  status!: 'ok';

  @Num({ description: 'The time of the answer, in Unix seconds', example: 1735424567.89 })
  timestamp!: number;
}

@Described('The numbers of policies, rules and decisions, over all replicas')
export class PolicyStats {
  @Count('The number of policies', 3)
  total_policies!: number;

  @Count('The number of enabled policies', 3)
  active_policies!: number;

  @Count('The number of rules of all policies', 12)
  total_rules!: number;

  @Count('The number of decisions of all replicas', 51234)
  total_evaluations!: number;

  @Count('How many of them allowed, with warnings and audits included', 50000)
  total_allows!: number;

  @Count('How many of them denied', 1234)
  total_denies!: number;

  @Count('How many of them allowed with a warning', 40)
  total_warnings!: number;

  @Count('How many of them allowed with a required audit', 7)
  total_audits!: number;
}
