/** The events of changes to policies and rules. Each is part of the commit of its change. */
import { defineEvent } from '../../events/event.js';
import { Flag, JsonObject, Num, OneOf, Text } from '../../shared/fields.js';
import type { Changes, RuleDifference } from '../engine/difference.js';
import { EFFECTS, type Effect } from '../engine/effects.js';
import type { Policy, Rule } from '../engine/policy.dto.js';

const PolicyId = (): PropertyDecorator => Text({ max: 64, description: 'The id of the policy' });
const PolicyName = (): PropertyDecorator => Text({ max: 256, description: 'The name of the policy' });
const By = (): PropertyDecorator => Text({ max: 256, description: 'The principal that made the change' });
const At = (): PropertyDecorator => Num({ description: 'The time of the change, in Unix seconds' });

class PolicyCreated {
  @PolicyId() policy_id!: string;
  @PolicyName() name!: string;
  @Text({ max: 64, description: 'The version that the author chose' }) version!: string;
  @Num({ integer: true, description: 'The number of rules' }) rules_count!: number;
  @Flag({ description: 'Whether the policy takes part in decisions' }) enabled!: boolean;
  @By() created_by!: string;
  @At() created_at!: number;
}

class PolicyUpdated {
  @PolicyId() policy_id!: string;
  @JsonObject({
    description: 'The old and new value of each changed field; for `rules` the old and new count',
  })
  changes!: Changes;
  @Num({ integer: true, description: 'The revision of the policy after this change' })
  revision!: number;
  @By() updated_by!: string;
  @At() updated_at!: number;
}

class PolicyDeleted {
  @PolicyId() policy_id!: string;
  @PolicyName() name!: string;
  @By() deleted_by!: string;
  @At() deleted_at!: number;
}

/** The common fields of the events of rules. Each event adds its time. */
class RuleChanged {
  @PolicyId() policy_id!: string;
  @Text({ max: 64, description: 'The id of the rule' }) rule_id!: string;
  @Text({ max: 256, description: 'The name of the rule' }) name!: string;
  @OneOf(EFFECTS, { name: 'PolicyEffect', description: 'The effect of the rule' }) effect!: Effect;
  @Num({ integer: true, description: 'The priority of the rule' }) priority!: number;
  @Flag({ description: 'Whether the rule takes part in decisions' }) enabled!: boolean;
}

class RuleCreated extends RuleChanged {
  @At() created_at!: number;
}

class RuleUpdated extends RuleChanged {
  @JsonObject({ description: 'The old and new value of each changed field' }) changes!: Changes;
  @At() updated_at!: number;
}

class RuleDeleted extends RuleChanged {
  @At() deleted_at!: number;
}

class RuleEnabled extends RuleChanged {
  @At() enabled_at!: number;
}

class RuleDisabled extends RuleChanged {
  @At() disabled_at!: number;
}

/** What all events of changes have in common. */
const OF_CHANGE = { module: 'policy', subjects: ['policy_id'], priority: 'MEDIUM' } as const;
const AT = 1735424567.89;

export const policyCreated = defineEvent({
  ...OF_CHANGE,
  type: 'policy.created',
  payload: PolicyCreated,
  when: 'A policy was created: by a caller, an import, a rollback, or at the first start.',
  example: {
    policy_id: 'production_deployment',
    name: 'Production deployment',
    version: '1.0.0',
    rules_count: 6,
    enabled: true,
    created_by: 'bootstrap',
    created_at: AT,
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

export const policyUpdated = defineEvent({
  ...OF_CHANGE,
  type: 'policy.updated',
  payload: PolicyUpdated,
  when: 'A policy or one of its rules was changed.',
  example: {
    policy_id: 'production_deployment',
    changes: { enabled: { old: true, new: false }, rules: { old_count: 6, new_count: 7 } },
    revision: 4,
    updated_by: 'bootstrap',
    updated_at: AT,
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

export const policyDeleted = defineEvent({
  ...OF_CHANGE,
  type: 'policy.deleted',
  payload: PolicyDeleted,
  when: 'A policy was deleted.',
  example: {
    policy_id: 'production_deployment',
    name: 'Production deployment',
    deleted_by: 'bootstrap',
    deleted_at: AT,
  },
  consumers: ['Audit: what no longer applies'],
  of: ({ policy_id, name }: Policy, by: string, at: number): PolicyDeleted => ({
    policy_id,
    name,
    deleted_by: by,
    deleted_at: at,
  }),
});

interface RuleFact<P> {
  payload: new () => P;
  when: string;
  consumers: string[];
  example?: Partial<P>;
}

const EXAMPLE: RuleChanged = {
  policy_id: 'production_deployment',
  rule_id: 'no_deploy_on_friday',
  name: 'No deployment on a Friday',
  effect: 'deny',
  priority: 100,
  enabled: true,
};

/** Defines the event of one kind of change to a rule. The time of the event is in the field `<fact>_at`. */
function ruleFact<P extends RuleChanged>(
  fact: RuleDifference['fact'],
  { payload, when, consumers, example }: RuleFact<P>,
) {
  const time = `${fact}_at`;
  return defineEvent({
    ...OF_CHANGE,
    type: `policy.rule_${fact}`,
    payload,
    when: `${when}. It follows the event of its policy.`,
    example: { ...EXAMPLE, ...example, [time]: AT } as P,
    consumers,
    of: (policy_id: string, rule: Rule, more: Partial<P>, at: number): P => {
      const { rule_id, name, effect, priority, enabled } = rule;
      return { policy_id, rule_id, name, effect, priority, enabled, ...more, [time]: at } as unknown as P;
    },
  });
}

const RULE_FACTS = {
  created: ruleFact('created', {
    payload: RuleCreated,
    when: 'A rule was created, by any route',
    consumers: ['Audit: since when an action is allowed or denied'],
  }),
  updated: ruleFact('updated', {
    payload: RuleUpdated,
    when: 'A rule was changed in more than `enabled`',
    consumers: ['Audit: the history of a rule'],
    example: { changes: { priority: { old: 50, new: 100 } } },
  }),
  deleted: ruleFact('deleted', {
    payload: RuleDeleted,
    when: 'A rule was deleted, alone or with its policy',
    consumers: ['Audit: what no longer applies'],
  }),
  enabled: ruleFact('enabled', {
    payload: RuleEnabled,
    when: 'A rule was enabled, and nothing else of it changed',
    consumers: ['Audit: since when a rule applies'],
  }),
  disabled: ruleFact('disabled', {
    payload: RuleDisabled,
    when: 'A rule was disabled, and nothing else of it changed',
    consumers: ['Security operations: a denial or a permission no longer applies', 'Audit: since when'],
    example: { enabled: false },
  }),
};

/** The event of one changed rule. For a deleted rule, `rule` is its last content. */
export function ruleEvent(policyId: string, rule: Rule, { fact, changes }: RuleDifference, at: number) {
  return fact === 'updated'
    ? RULE_FACTS.updated(policyId, rule, { changes }, at)
    : RULE_FACTS[fact](policyId, rule, {}, at);
}
