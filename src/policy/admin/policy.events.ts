/** What becomes of policies and rules; each rides in the commit of the change. */
import { defineEvent } from '../../events/event.js';
import { Flag, JsonObject, Num, OneOf, Text } from '../../shared/fields.js';
import type { Changes, RuleDifference } from '../engine/difference.js';
import { EFFECTS, type Effect, type Policy, type Rule } from '../engine/policy.dto.js';

export class PolicyCreated {
  @Text({ max: 64, example: 'production_deployment' })
  policy_id!: string;

  @Text({ max: 256 })
  name!: string;

  @Text({ max: 64 })
  version!: string;

  @Num({ integer: true })
  rules_count!: number;

  @Flag()
  enabled!: boolean;

  @Text({ max: 256 })
  created_by!: string;

  @Num()
  created_at!: number;
}

export const policyCreated = defineEvent({
  type: 'policy.created',
  module: 'policy',
  payload: PolicyCreated,
  subjects: ['policy_id'],
  priority: 'MEDIUM',
  when: 'A policy was made, by hand, by an import, by a rollback, or at the first start.',
  example: {
    policy_id: 'production_deployment',
    name: 'Production deployment',
    version: '1.0.0',
    rules_count: 6,
    enabled: true,
    created_by: 'bootstrap',
    created_at: 1735424567.89,
  },
  consumers: ['Audit: who may make rules, and makes them'],
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
  @Text({ max: 64, example: 'production_deployment' })
  policy_id!: string;

  @JsonObject({ description: 'Old and new of each field that differs; of the rules how many there were' })
  changes!: Changes;

  @Num({ integer: true, description: 'Of the policy, after this change' })
  revision!: number;

  @Text({ max: 256 })
  updated_by!: string;

  @Num()
  updated_at!: number;
}

export const policyUpdated = defineEvent({
  type: 'policy.updated',
  module: 'policy',
  payload: PolicyUpdated,
  subjects: ['policy_id'],
  priority: 'MEDIUM',
  when: 'A policy was changed, be it only in one of its rules.',
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
  @Text({ max: 64, example: 'production_deployment' })
  policy_id!: string;

  @Text({ max: 256 })
  name!: string;

  @Text({ max: 256 })
  deleted_by!: string;

  @Num()
  deleted_at!: number;
}

export const policyDeleted = defineEvent({
  type: 'policy.deleted',
  module: 'policy',
  payload: PolicyDeleted,
  subjects: ['policy_id'],
  priority: 'MEDIUM',
  when: 'A policy was removed.',
  example: {
    policy_id: 'production_deployment',
    name: 'Production deployment',
    deleted_by: 'bootstrap',
    deleted_at: 1735424567.89,
  },
  consumers: ['Audit: what no longer holds'],
  of: ({ policy_id, name }: Policy, by: string, at: number): PolicyDeleted => ({
    policy_id,
    name,
    deleted_by: by,
    deleted_at: at,
  }),
});

/** What the events of rules have in common; each adds when it happened. */
class RuleChanged {
  @Text({ max: 64, example: 'production_deployment' })
  policy_id!: string;

  @Text({ max: 64, example: 'no_deploy_on_friday' })
  rule_id!: string;

  @Text({ max: 256 })
  name!: string;

  @OneOf(EFFECTS, { name: 'PolicyEffect' })
  effect!: Effect;

  @Num({ integer: true })
  priority!: number;

  @Flag()
  enabled!: boolean;
}

export class RuleCreated extends RuleChanged {
  @Num()
  created_at!: number;
}

export class RuleUpdated extends RuleChanged {
  @JsonObject({ description: 'Old and new of each field that differs' })
  changes!: Changes;

  @Num()
  updated_at!: number;
}

export class RuleDeleted extends RuleChanged {
  @Num()
  deleted_at!: number;
}

export class RuleEnabled extends RuleChanged {
  @Num()
  enabled_at!: number;
}

export class RuleDisabled extends RuleChanged {
  @Num()
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
  when: 'A rule is new, whichever route brought it; behind the event of its policy.',
  example: { ...EXAMPLE, created_at: AT },
  consumers: ['Audit: what was permitted or forbidden since when'],
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
  when: 'A rule was changed, in more than being enabled; behind the event of its policy.',
  example: { ...EXAMPLE, changes: { priority: { old: 50, new: 100 } }, updated_at: AT },
  consumers: ['Audit: how a rule became what it is'],
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
  when: 'A rule is gone, alone or with its policy; behind the event of its policy.',
  example: { ...EXAMPLE, deleted_at: AT },
  consumers: ['Audit: what no longer holds'],
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
  when: 'A rule holds again, and nothing else of it changed; behind the event of its policy.',
  example: { ...EXAMPLE, enabled_at: AT },
  consumers: ['Audit: since when a rule holds'],
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
  when: 'A rule holds no longer, and nothing else of it changed; behind the event of its policy.',
  example: { ...EXAMPLE, enabled: false, disabled_at: AT },
  consumers: ['Security operations: a gate was opened or a permission withdrawn', 'Audit: since when'],
  of: (policyId: string, rule: Rule, at: number): RuleDisabled => ({
    ...common(policyId, rule),
    disabled_at: at,
  }),
});

/** The event for what became of a rule; `rule` is as it is now, or was last. */
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
