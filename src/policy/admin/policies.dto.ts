/** The bodies, queries and answers of the routes that read and write policies. */

import { PartialType } from '@nestjs/swagger';
import { PageQueryOf } from '../../http/listed.js';
import { NextCursor } from '../../http/request.js';
import {
  Described,
  Flag,
  JsonObject,
  ListOf,
  Nested,
  Num,
  OneOf,
  Switch,
  Text,
  Texts,
} from '../../shared/fields.js';
import { Policy, PolicyBody, Rule } from '../engine/policy.dto.js';

@Described('A probable mistake in a policy that was written')
export class WriteWarning {
  @Text({ max: 1024, description: 'The place in the body, as a JSON pointer', example: '/rules/1' })
  pointer!: string;

  @Text({
    max: 1024,
    description: 'What is probably a mistake',
    example:
      "can never decide: rule 'deny_all' of policy 'p' decides first and matches whenever this rule does",
  })
  detail!: string;

  @Text({ max: 64, description: 'A stable code for programs', example: 'unreachable_rule' })
  code!: string;
}

const SetRevision = (): PropertyDecorator =>
  Num({ integer: true, description: 'The revision of the set of policies after this write', example: 8 });
const Warnings = (): PropertyDecorator =>
  ListOf(() => WriteWarning, {
    description:
      'Probable mistakes: rules that can never decide (`unreachable_rule`), `deny` rules whose `matches` has neither an anchor nor `.*` (`anchored_deny`), and `$` with a name in braces in a value, which is not filled in (`template_literal`). They do not prevent the write',
  });

@Described('The fields of a policy that change')
export class PolicyChanges extends PartialType(PolicyBody) {}

@Described('The fields of a rule that change')
export class RuleChanges extends PartialType(Rule) {}

@Described('A policy after a write')
export class WrittenPolicy extends Policy {
  @SetRevision()
  policy_revision!: number;

  @Warnings()
  warnings!: WriteWarning[];
}

@Described('A rule after a write')
export class WrittenRule extends Rule {
  @SetRevision()
  policy_revision!: number;

  @Warnings()
  warnings!: WriteWarning[];
}

export class PolicyQuery extends PageQueryOf(Policy) {}

@Described('One page of policies')
export class PolicyPage {
  @Num({ integer: true, min: 0, description: 'The number of all policies', example: 1 })
  total!: number;

  @ListOf(() => Policy, { description: 'The policies of this page, sorted by id' })
  policies!: Policy[];

  @NextCursor()
  next_cursor!: string | null;
}

@Described('One change of a policy')
export class RevisionAnswer {
  @Num({ integer: true, min: 1, description: 'The revision of the policy', example: 4 })
  revision!: number;

  @Num({ description: 'When the change was made, in Unix seconds', example: 1735424567.89 })
  at!: number;

  @Text({ max: 256, description: 'The principal that made the change', example: 'bootstrap' })
  by!: string;

  @Nested(() => Policy, {
    nullable: true,
    description: 'The policy after this change; null if the change deleted it',
  })
  policy!: Policy | null;

  @JsonObject({
    description:
      'The difference from the revision before: `fields` with the old and new values, and one entry in `rules` for each changed rule',
    example: { fields: { enabled: { old: true, new: false } }, rules: [] },
  })
  changes!: object;
}

export class RevisionQuery extends PageQueryOf(RevisionAnswer) {}

@Described('One page of the changes of a policy')
export class RevisionPage {
  @ListOf(() => RevisionAnswer, { description: 'The revisions of this page, the latest first' })
  revisions!: RevisionAnswer[];

  @NextCursor()
  next_cursor!: string | null;
}

@Described('The revision to go back to')
export class Rollback {
  @Num({ integer: true, min: 1, description: 'The revision to return to', example: 3 })
  revision!: number;
}

const MODES = ['merge', 'replace'] as const;

export class ImportQuery {
  @OneOf(MODES, {
    name: 'ImportMode',
    optional: true,
    default: 'merge',
    description:
      '`merge` creates and changes policies. `replace` also deletes every policy that the import does not contain',
  })
  mode: (typeof MODES)[number] = 'merge';

  @Switch({ description: 'Writes nothing; the answer lists what the import would change' })
  dry_run = false;
}

@Described('The policies to import')
export class ImportBody {
  @ListOf(() => PolicyBody, { description: 'The policies to write' })
  policies!: PolicyBody[];
}

const Ids = (description: string, example: string[]): PropertyDecorator =>
  Texts({ max: 64, most: 10_000, description, example });

@Described('What an import has changed, or would change')
export class ImportAnswer {
  @Flag({ description: 'Whether the import was written; false with `dry_run=true`', example: true })
  applied!: boolean;

  @Ids('The ids of the new policies', ['production_deployment'])
  create!: string[];

  @Ids('The ids of the changed policies', [])
  update!: string[];

  @Ids('The ids of the deleted policies', [])
  delete!: string[];

  @Ids('The ids of the policies that the import does not change', [])
  unchanged!: string[];

  @SetRevision()
  policy_revision!: number;

  @Warnings()
  warnings!: WriteWarning[];
}
