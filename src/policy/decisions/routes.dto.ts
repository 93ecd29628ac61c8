/** What the routes of the domain take and answer, besides the policies themselves. */

import { NextCursor } from '../../http/request.js';
import {
  Flag,
  JsonObject,
  ListIn,
  ListOf,
  Nested,
  Num,
  OneOf,
  Switch,
  Text,
  Texts,
} from '../../shared/fields.js';
import { EvaluateRequest, Explanation, Policy, PolicyContent, Rule, Verdict } from '../engine/policy.dto.js';

export class Decision extends Verdict {
  @Text({ max: 64, description: 'Stands in every event of this decision', example: 'k3v9x2abq8w1z4m7p0t5' })
  decision_id!: string;

  @Num({ integer: true, description: 'Of the whole set of policies, as it decided', example: 7 })
  policy_revision!: number;

  @Flag({
    optional: true,
    description: 'True while the store is away and it is not known whether the policies changed',
    example: true,
  })
  stale?: boolean;

  @Nested(() => Explanation, { optional: true, description: 'Why, with `explain=true`' })
  explain?: Explanation;
}

export class EvaluateQuery {
  @Switch({ description: 'A denial is then answered as a 403 problem with the code `denied_by_policy`' })
  enforce = false;

  @Switch({ description: 'Adds `explain`: every rule, each condition, and why the winner won' })
  explain = false;

  @Num({
    optional: true,
    integer: true,
    min: 1,
    description:
      'Waits up to a second until this replica decides by at least this `policy_revision`, else 503',
  })
  min_revision?: number;
}

export class BatchQuery {
  @Num({
    optional: true,
    integer: true,
    min: 1,
    description:
      'Waits up to a second until this replica decides by at least this `policy_revision`, else 503',
  })
  min_revision?: number;
}

export class EvaluateBatch {
  @ListIn(() => EvaluateRequest, { description: '1 to 1,000 requests' })
  evaluations!: EvaluateRequest[];
}

export class DecisionList {
  @ListOf(() => Decision, { description: 'In the order of the requests, all by the same revision' })
  decisions!: Decision[];
}

export class TestRule extends EvaluateRequest {
  @ListIn(() => PolicyContent, {
    optional: true,
    description: 'Drafts that are tried instead of the policies that hold; they are not stored',
  })
  policies?: PolicyContent[];

  @Flag({ optional: true, description: 'Adds `explain`', example: true })
  explain?: boolean;
}

export class PolicyInfo {
  @Text({ max: 64, example: 'policy' })
  name!: string;

  @Text({ max: 64, example: '0.1.0' })
  version!: string;

  @JsonObject({
    description: 'The settings that decide how decisions are made and what may be written',
    example: { decisions: 'buffered', max_rules: 10000 },
  })
  config!: Record<string, unknown>;
}

export class PolicyHealth {
  @OneOf(['ok'] as const, { name: 'HealthStatus', example: 'ok' })
  status!: 'ok';

  @Num({ example: 1735424567.89 })
  timestamp!: number;
}

const Count = (example: number): PropertyDecorator => Num({ integer: true, min: 0, example });

export class PolicyStats {
  @Count(3)
  total_policies!: number;

  @Count(3)
  active_policies!: number;

  @Count(12)
  total_rules!: number;

  @Count(51234)
  total_evaluations!: number;

  @Count(50000)
  total_allows!: number;

  @Count(1234)
  total_denies!: number;

  @Count(40)
  total_warnings!: number;

  @Count(7)
  total_audits!: number;
}

/** A rule that can never decide, in what was just written. */
export class WriteWarning {
  @Text({ max: 1024, example: '/rules/1' })
  pointer!: string;

  @Text({
    max: 1024,
    example:
      "can never decide: rule 'deny_all' of policy 'p' decides first and matches whenever this rule does",
  })
  detail!: string;

  @Text({ max: 64, example: 'unreachable_rule' })
  code!: string;
}

const SetRevision = (): PropertyDecorator =>
  Num({ integer: true, description: 'Of the whole set of policies, after this write', example: 8 });
const Warnings = (): PropertyDecorator =>
  ListOf(() => WriteWarning, { description: 'What was written and can hardly be meant' });

export class WrittenPolicy extends Policy {
  @SetRevision()
  policy_revision!: number;

  @Warnings()
  warnings!: WriteWarning[];
}

export class WrittenRule extends Rule {
  @SetRevision()
  policy_revision!: number;

  @Warnings()
  warnings!: WriteWarning[];
}

export class PolicyPage {
  @Num({ integer: true, min: 0, example: 1 })
  total!: number;

  @ListOf(() => Policy)
  policies!: Policy[];

  @NextCursor()
  next_cursor!: string | null;
}

export class RevisionAnswer {
  @Num({ integer: true, min: 1, example: 4 })
  revision!: number;

  @Num({ example: 1735424567.89 })
  at!: number;

  @Text({ max: 256, example: 'bootstrap' })
  by!: string;

  @Nested(() => Policy, { nullable: true, description: 'As it was then; null where it was deleted' })
  policy!: Policy | null;

  @JsonObject({
    description: 'What differs from the revision before: fields with old and new, and one fact for each rule',
    example: { fields: { enabled: { old: true, new: false } }, rules: [] },
  })
  changes!: object;
}

export class RevisionPage {
  @ListOf(() => RevisionAnswer)
  revisions!: RevisionAnswer[];

  @NextCursor()
  next_cursor!: string | null;
}

export class Rollback {
  @Num({ integer: true, min: 1, description: 'The revision whose content the policy gets again', example: 3 })
  revision!: number;
}

const MODES = ['merge', 'replace'] as const;

export class ImportQuery {
  @OneOf(MODES, {
    name: 'ImportMode',
    optional: true,
    default: 'merge',
    description: '`replace` also deletes every policy that is not in the import',
  })
  mode: (typeof MODES)[number] = 'merge';

  @Switch({ description: 'Only says what would change' })
  dry_run = false;
}

export class ImportBody {
  @ListOf(() => PolicyContent)
  policies!: PolicyContent[];
}

const Ids = (description: string, example: string[]): PropertyDecorator =>
  Texts({ max: 64, most: 10_000, description, example });

export class ImportAnswer {
  @Flag({ description: 'False where it was only tried', example: true })
  applied!: boolean;

  @Ids('New', ['production_deployment'])
  create!: string[];

  @Ids('Changed', [])
  update!: string[];

  @Ids('Removed', [])
  delete!: string[];

  @Ids('As they were', [])
  unchanged!: string[];

  @SetRevision()
  policy_revision!: number;

  @Warnings()
  warnings!: WriteWarning[];
}
