/** Compares two revisions of a policy: the changed fields, and one fact for each changed rule. */

import { equal } from './operators.js';
import type { PolicyContent, Rule } from './policy.dto.js';

/** The old and new value of each changed field. For `rules` it has the old and new count. */
export type Changes = Record<string, object>;

export type RuleFact = 'created' | 'updated' | 'deleted' | 'enabled' | 'disabled';

export interface RuleDifference {
  rule_id: string;
  fact: RuleFact;
  changes: Changes;
}

export interface Difference {
  fields: Changes;
  rules: RuleDifference[];
}

const POLICY_FIELDS = ['name', 'version', 'description', 'default_effect', 'enabled', 'metadata'] as const;
const RULE_FIELDS = [
  'name',
  'description',
  'effect',
  'conditions',
  'priority',
  'enabled',
  'metadata',
] as const;
/** A larger value appears as `(large)`: events stay small, and the stored revision has the whole value. */
const MAX_VALUE_CHARACTERS = 4096;

export function difference(before: PolicyContent | null, after: PolicyContent | null): Difference {
  const fields = before && after ? fieldChanges(before, after, POLICY_FIELDS) : {};
  const rules = ruleDifferences(before?.rules ?? [], after?.rules ?? []);
  const [old_count, new_count] = [before?.rules.length ?? 0, after?.rules.length ?? 0];
  if (before && after && (rules.length > 0 || !sameOrder(before.rules, after.rules)))
    fields.rules = { old_count, new_count };
  return { fields, rules };
}

export function isUnchanged({ fields, rules }: Difference): boolean {
  return rules.length === 0 && Object.keys(fields).length === 0;
}

function ruleDifferences(before: readonly Rule[], after: readonly Rule[]): RuleDifference[] {
  const old = new Map(before.map((rule) => [rule.rule_id, rule]));
  const kept = new Set(after.map(({ rule_id }) => rule_id));
  const differences: RuleDifference[] = [];
  for (const rule of after) {
    const was = old.get(rule.rule_id);
    const changes = was ? fieldChanges(was, rule, RULE_FIELDS) : {};
    const fact = was ? factOf(rule, changes) : 'created';
    if (fact) differences.push({ rule_id: rule.rule_id, fact, changes });
  }
  for (const { rule_id } of before) {
    if (!kept.has(rule_id)) differences.push({ rule_id, fact: 'deleted', changes: {} });
  }
  return differences;
}

function factOf({ enabled }: Rule, changes: Changes): RuleFact | undefined {
  const changed = Object.keys(changes);
  if (changed.length === 0) return undefined;
  if (changed.length > 1 || changed[0] !== 'enabled') return 'updated';
  return enabled ? 'enabled' : 'disabled';
}

function fieldChanges<T extends object>(before: T, after: T, fields: readonly (keyof T & string)[]): Changes {
  const changes: Changes = {};
  for (const name of fields) {
    if (!equal(before[name], after[name]))
      changes[name] = { old: short(before[name]), new: short(after[name]) };
  }
  return changes;
}

function short(value: unknown): unknown {
  return JSON.stringify(value).length > MAX_VALUE_CHARACTERS ? '(large)' : value;
}

function sameOrder(before: readonly Rule[], after: readonly Rule[]): boolean {
  return before.length === after.length && before.every(({ rule_id }, i) => rule_id === after[i].rule_id);
}
