/** What people may leave out of a policy, and what it then is. */
import { type Fault, faulty, pointerTo } from '../../shared/errors.js';
import type { PolicyContent, Rule } from './policy.dto.js';

export type RuleInput = Partial<Rule> & Pick<Rule, 'name' | 'effect'>;
export type PolicyInput = Partial<Omit<PolicyContent, 'rules'>> &
  Pick<PolicyContent, 'name'> & { rules?: RuleInput[] };

const MAX_ID = 64;
const MAX_FAULTS = 50;

/** The policies of a body, which is nothing but a list of them under this name; what they are worth is not looked at. */
export function policiesIn(body: unknown): unknown[] {
  const { policies, ...others } = (body ?? {}) as { policies?: unknown };
  const faults: Fault[] = Object.keys(Array.isArray(body) ? [] : others).map((name) => ({
    pointer: pointerTo(name),
    detail: 'is not known here; known is policies',
    code: 'unknown_field',
  }));
  if (!Array.isArray(policies)) {
    const detail = 'is required and must be a list of policies';
    faults.push({ pointer: '/policies', detail, code: 'required' });
  }
  if (faults.length > 0) throw faulty(faults.slice(0, MAX_FAULTS));
  return policies as unknown[];
}

/** @param input without faults */
export function contentOf(input: PolicyInput): PolicyContent {
  const taken = new Set(input.rules?.map(({ rule_id }) => rule_id));
  return {
    policy_id: input.policy_id ?? idFrom(input.name),
    name: input.name,
    version: input.version ?? '1.0.0',
    description: input.description ?? '',
    rules: (input.rules ?? []).map((rule) => ruleOf(rule, taken)),
    default_effect: input.default_effect ?? 'deny',
    enabled: input.enabled ?? true,
    metadata: input.metadata ?? {},
  };
}

/** Two names may make one id where none was given. */
export function sameIds(contents: readonly PolicyContent[], pointer: string): Fault[] {
  const seen = new Set<string>();
  const faults: Fault[] = [];
  for (const [i, { policy_id }] of contents.entries()) {
    if (seen.has(policy_id) && faults.length < MAX_FAULTS) {
      const detail = `must be given: the name makes ${policy_id}, which is also the id of another policy`;
      faults.push({ pointer: `${pointer}/${i}/policy_id`, detail, code: 'duplicate_id' });
    }
    seen.add(policy_id);
  }
  return faults;
}

/** @param taken the rule ids of its policy, to which its own is added */
export function ruleOf(input: RuleInput, taken: Set<string | undefined>): Rule {
  const rule_id = input.rule_id ?? freeId(idFrom(input.name), taken);
  taken.add(rule_id);
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

/** A name without what an id cannot have; a name of which nothing is left has a plain word in its place. */
function idFrom(name: string): string {
  const plain = name.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
  const id = plain.replace(/[^a-z0-9-]+/g, '_').replace(/^_+|_+$/g, '');
  return id.slice(0, MAX_ID) || 'unnamed';
}

function freeId(id: string, taken: Set<string | undefined>): string {
  if (!taken.has(id)) return id;
  for (let i = 2; ; i++) {
    const other = `${id.slice(0, MAX_ID - String(i).length - 1)}_${i}`;
    if (!taken.has(other)) return other;
  }
}
