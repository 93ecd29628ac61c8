/** Completes policies as callers send them: defaults for missing fields, and ids made from names. */
import { type Fault, faulty, pointerTo } from '../../shared/errors.js';
import { MAX_FAULTS } from '../../shared/shapes.js';
import type { PolicyContent, Rule } from './policy.dto.js';

export type RuleInput = Partial<Rule> & Pick<Rule, 'name' | 'effect'>;
export type PolicyInput = Partial<Omit<PolicyContent, 'rules'>> &
  Pick<PolicyContent, 'name'> & { rules?: RuleInput[] };

const MAX_ID = 64;

/** The list `policies` of an import body. It may be the only field; the policies themselves are checked later. */
export function policiesIn(body: unknown): unknown[] {
  const { policies, ...others } = (body ?? {}) as { policies?: unknown };
  const faults: Fault[] = Object.keys(Array.isArray(body) ? [] : others).map((name) => ({
    pointer: pointerTo(name),
    detail: 'is not a field of an import; its only field is policies',
    code: 'unknown_field',
  }));
  if (!Array.isArray(policies)) {
    const detail = 'is required and must be a list of policies';
    faults.push({ pointer: '/policies', detail, code: 'required' });
  }
  if (faults.length > 0) throw faulty(faults.slice(0, MAX_FAULTS));
  return policies as unknown[];
}

/** @param input a checked policy */
export function contentOf(input: PolicyInput): PolicyContent {
  const usedIds = new Set(input.rules?.map(({ rule_id }) => rule_id));
  return {
    policy_id: input.policy_id ?? idFrom(input.name),
    name: input.name,
    version: input.version ?? '1.0.0',
    description: input.description ?? '',
    rules: (input.rules ?? []).map((rule) => ruleOf(rule, usedIds)),
    default_effect: input.default_effect ?? 'deny',
    enabled: input.enabled ?? true,
    metadata: input.metadata ?? {},
  };
}

/** Faults of policies that have the same id. It can happen only when an id is made from a name: given ids are checked before. */
export function sameIds(contents: readonly PolicyContent[], pointer: string): Fault[] {
  const seen = new Set<string>();
  const faults: Fault[] = [];
  for (const [i, { policy_id }] of contents.entries()) {
    if (seen.has(policy_id) && faults.length < MAX_FAULTS) {
      const detail = `must be given: the name becomes the id ${policy_id}, which another policy has`;
      faults.push({ pointer: `${pointer}/${i}/policy_id`, detail, code: 'duplicate_id' });
    }
    seen.add(policy_id);
  }
  return faults;
}

/** @param usedIds the rule ids of the policy; the id of the new rule is added */
export function ruleOf(input: RuleInput, usedIds: Set<string | undefined>): Rule {
  const rule_id = input.rule_id ?? freeId(idFrom(input.name), usedIds);
  usedIds.add(rule_id);
  return {
    rule_id,
    name: input.name,
    description: input.description ?? '',
    effect: input.effect,
    conditions: input.conditions ?? [],
    priority: input.priority ?? 0,
    enabled: input.enabled ?? true,
    metadata: input.metadata ?? {},
  };
}

/** Replaces all characters that an id must not have. A name without any allowed character becomes `unnamed`. */
function idFrom(name: string): string {
  const plain = name.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
  const id = plain.replace(/[^a-z0-9-]+/g, '_').replace(/^_+|_+$/g, '');
  return id.slice(0, MAX_ID) || 'unnamed';
}

function freeId(id: string, usedIds: Set<string | undefined>): string {
  if (!usedIds.has(id)) return id;
  for (let i = 2; ; i++) {
    const other = `${id.slice(0, MAX_ID - String(i).length - 1)}_${i}`;
    if (!usedIds.has(other)) return other;
  }
}
