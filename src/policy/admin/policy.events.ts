/** The events of changes to policies and rules. Each is part of the commit of its change. */
import { defineEvent } from '../../events/event.js';
import { Flag, JsonObject, Num, OneOf, Text } from '../../shared/fields.js';
import type { Changes, RuleDifference } from '../engine/difference.js';
import { EFFECTS, type Effect, type Policy, type Rule } from '../engine/policy.dto.js';

const PolicyId = (): PropertyDecorator =>
  Text({ max: 64, description: 'The id of the policy', example: 'production_deployment' });
const PolicyName = (): PropertyDecorator => Text({ max: 256, description: 'The name of the policy' });
const By = (): PropertyDecorator => Text({ max: 256, description: 'The principal that made the change' });
const At = (): PropertyDecorator => Num({ description: 'The time of the change, in Unix seconds' });

export class PolicyCreated {
  @PolicyId()
  policy_id!: string;

  @PolicyName()
  name!: string;

  @Text({ max: 64, description: 'The version that the author chose' })
  version!: string;

  @Num({ integer: true, description: 'The number of rules' })
  rules_count!: number;

  @Flag({ description: 'Whether the policy takes part in decisions' })
  enabled!: boolean;

  @By()
  created_by!: string;

  @At()
  created_at!: number;
}

export const policyCreated = defineEvent({
  type: 'policy.created',
  module: 'policy',
  payload: PolicyCreated,
  subjects: ['policy_id'],
  priority: 'MEDIUM',
  when: 'A policy was created: by a caller, an import, a rollback, or at the first start.',
  example: {
    policy_id: 'production_deployment',
    name: 'Production deployment',
    version: '1.0.0',
    rules_count: 6,
    enabled: true,
    created_by: 'bootstrap',
    created_at: 1735424567.89,
  },
  consumers: ['Audit: who creates policies'],
  of: ({ policy_id, name, version, rules, enabled }: Policy, by: string, at: number): PolicyCreated => ({
    policy_id,
    name,
    version,
    rules_count: rules.length,
    enabled,
    created_by: by,
    created_at: at,
  }),
});

export class PolicyUpdated {
  @PolicyId()
  policy_id!: string;

  @JsonObject({
    description: 'The old and new value of each changed field; for `rules` the old and new count',
  })
  changes!: Changes;

  @Num({ integer: true, description: 'The revision of the policy after this change' })
  revision!: number;

  @By()
  updated_by!: string;

  @At()
  updated_at!: number;
}

export const policyUpdated = defineEvent({
  type: 'policy.updated',
  module: 'policy',
  payload: PolicyUpdated,
  subjects: ['policy_id'],
  priority: 'MEDIUM',
  when: 'A policy or one of its rules was changed.',
  example: {
    policy_id: 'production_deployment',
    changes: { enabled: { old: true, new: false }, rules: { old_count: 6, new_count: 7 } },
    revision: 4,
    updated_by: 'bootstrap',
    updated_at: 1735424567.89,
  },
  consumers: ['Audit: what was changed, and by whom'],
  of: ({ policy_id, revision }: Policy, changes: Changes, by: string, at: number): PolicyUpdated => ({
    policy_id,
    changes,
    revision,
    updated_by: by,
    updated_at: at,
  }),
});

export class PolicyDeleted {
  @PolicyId()
  policy_id!: string;

  @PolicyName()
  name!: string;

  @By()
  deleted_by!: string;

  @At()
  deleted_at!: number;
}

export const policyDeleted = defineEvent({
  type: 'policy.deleted',
  module: 'policy',
  payload: PolicyDeleted,
  subjects: ['policy_id'],
  priority: 'MEDIUM',
  when: 'A policy was deleted.',
  example: {
    policy_id: 'production_deployment',
    name: 'Production deployment',
    deleted_by: 'bootstrap',
    deleted_at: 1735424567.89,
  },
  consumers: ['Audit: what no longer applies'],
  of: ({ policy_id, name }: Policy, by: string, at: number): PolicyDeleted => ({
    policy_id,
    name,
    deleted_by: by,
    deleted_at: at,
  }),
});

/** The common fields of the events of rules. Each event adds its time. */
class RuleChanged {
  @PolicyId()
  policy_id!: string;

  @Text({ max: 64, description: 'The id of the rule', example: 'no_deploy_on_friday' })
  rule_id!: string;

  @Text({ max: 256, description: 'The name of the rule' })
  name!: string;

  @OneOf(EFFECTS, { name: 'PolicyEffect', description: 'The effect of the rule' })
  effect!: Effect;

  @Num({ integer: true, description: 'The priority of the rule' })
  priority!: number;

  @Flag({ description: 'Whether the rule takes part in decisions' })
  enabled!: boolean;
}

export class RuleCreated extends RuleChanged {
  @At()
  created_at!: number;
}

export class RuleUpdated extends RuleChanged {
  @JsonObject({ description: 'The old and new value of each changed field' })
  changes!: Changes;

  @At()
  updated_at!: number;
}

export class RuleDeleted extends RuleChanged {
  @At()
  deleted_at!: number;
}

export class RuleEnabled extends RuleChanged {
  @At()
  enabled_at!: number;
}

export class RuleDisabled extends RuleChanged {
  @At()
  disabled_at!: number;
}

const EXAMPLE: RuleChanged = {
  policy_id: 'production_deployment',
  rule_id: 'no_deploy_on_friday',
  name: 'No deployment on a Friday',
  effect: 'deny',
  priority: 100,
  enabled: true,
};
const AT = 1735424567.89;

function common(policy_id: string, { rule_id, name, effect, priority, enabled }: Rule): RuleChanged {
  return { policy_id, rule_id, name, effect, priority, enabled };
}

const ofRules = { module: 'policy', priority: 'MEDIUM' } as const;

export const ruleCreated = defineEvent({
  ...ofRules,
  type: 'policy.rule_created',
  payload: RuleCreated,
  subjects: ['policy_id'],
  when: 'A rule was created, by any route. It follows the event of its policy.',
  example: { ...EXAMPLE, created_at: AT },
  consumers: ['Audit: since when an action is allowed or denied'],
  of: (policyId: string, rule: Rule, at: number): RuleCreated => ({
    ...common(policyId, rule),
    created_at: at,
  }),
});

export const ruleUpdated = defineEvent({
  ...ofRules,
  type: 'policy.rule_updated',
  payload: RuleUpdated,
  subjects: ['policy_id'],
  when: 'A rule was changed in more than `enabled`. It follows the event of its policy.',
  example: { ...EXAMPLE, changes: { priority: { old: 50, new: 100 } }, updated_at: AT },
  consumers: ['Audit: the history of a rule'],
  of: (policyId: string, rule: Rule, changes: Changes, at: number): RuleUpdated => ({
    ...common(policyId, rule),
    changes,
    updated_at: at,
  }),
});

export const ruleDeleted = defineEvent({
  ...ofRules,
  type: 'policy.rule_deleted',
  payload: RuleDeleted,
  subjects: ['policy_id'],
  when: 'A rule was deleted, alone or with its policy. It follows the event of its policy.',
  example: { ...EXAMPLE, deleted_at: AT },
  consumers: ['Audit: what no longer applies'],
  of: (policyId: string, rule: Rule, at: number): RuleDeleted => ({
    ...common(policyId, rule),
    deleted_at: at,
  }),
});

export const ruleEnabled = defineEvent({
  ...ofRules,
  type: 'policy.rule_enabled',
  payload: RuleEnabled,
  subjects: ['policy_id'],
  when: 'A rule was enabled, and nothing else of it changed. It follows the event of its policy.',
  example: { ...EXAMPLE, enabled_at: AT },
  consumers: ['Audit: since when a rule applies'],
  of: (policyId: string, rule: Rule, at: number): RuleEnabled => ({
    ...common(policyId, rule),
    enabled_at: at,
  }),
});

export const ruleDisabled = defineEvent({
  ...ofRules,
  type: 'policy.rule_disabled',
  payload: RuleDisabled,
  subjects: ['policy_id'],
  when: 'A rule was disabled, and nothing else of it changed. It follows the event of its policy.',
  example: { ...EXAMPLE, enabled: false, disabled_at: AT },
  consumers: ['Security operations: a denial or a permission no longer applies', 'Audit: since when'],
  of: (policyId: string, rule: Rule, at: number): RuleDisabled => ({
    ...common(policyId, rule),
    disabled_at: at,
  }),
});

/** The event of one changed rule. For a deleted rule, `rule` is its last content. */
export function ruleEvent(policyId: string, rule: Rule, { fact, changes }: RuleDifference, at: number) {
  switch (fact) {
    case 'created':
      return ruleCreated(policyId, rule, at);
    case 'updated':
      return ruleUpdated(policyId, rule, changes, at);
    case 'deleted':
      return ruleDeleted(policyId, rule, at);
    case 'enabled':
      return ruleEnabled(policyId, rule, at);
    case 'disabled':
      return ruleDisabled(policyId, rule, at);
  }
}
