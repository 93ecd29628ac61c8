/**
 * How policies are stored. The set as a whole has a revision, which every write raises in its own commit; what each write
 * did is kept, so that a replica reads only what it has missed.
 */
import type { Collection } from '../../storage/store.js';
import type { Difference } from '../engine/difference.js';
import type { Policy } from '../engine/policy.dto.js';

/** All policies together. */
export interface PolicySet {
  id: typeof CURRENT;
  revision: number;
  /** Made anew with each write: two histories that reach the same number, after a failover, are told apart by it. */
  tag: string;
  policies: number;
  rules: number;
}

export const CURRENT = 'current';

/** A page holds the event loop while it is parsed, so it has as many policies as have about so many rules together. */
const RULES_PER_PAGE = 1000;
const MAX_PAGE = 50;

export function pageOf({ policies, rules }: Pick<PolicySet, 'policies' | 'rules'>): number {
  const many = Math.floor((RULES_PER_PAGE * policies) / Math.max(1, rules));
  return Math.max(1, Math.min(MAX_PAGE, many));
}

export const POLICY_SET: Collection<PolicySet> = {
  name: 'policy_set',
  item: 'set',
  version: 1,
  indexVersion: 1,
  id: (set) => set.id,
  order: () => 0,
};

/** By id. */
export const POLICIES: Collection<Policy> = {
  name: 'policies',
  item: 'policy',
  version: 1,
  indexVersion: 1,
  id: (policy) => policy.policy_id,
  order: () => 0,
  counts: (policy) => ({ active: policy.enabled ? 1 : 0, rules: policy.rules.length }),
};

/** One policy as one write left it; a policy that was deleted keeps those it had. */
export interface PolicyRevision {
  policy_id: string;
  revision: number;
  at: number;
  by: string;
  /** Null where it was deleted. */
  policy: Policy | null;
  changes: Difference;
  set_revision: number;
  /** Of the set, after this write and before it. */
  tag: string;
  before: string;
}

/** By the revision of the set, so that what came behind one is read in a row. */
export const POLICY_REVISIONS: Collection<PolicyRevision> = {
  name: 'policy_revisions',
  item: 'revision',
  version: 1,
  indexVersion: 1,
  id: ({ policy_id, revision }) => revisionId(policy_id, revision),
  order: (one) => one.set_revision,
  indexes: { policy: (one) => one.policy_id },
};

export function revisionId(policyId: string, revision: number): string {
  return `${policyId}/${revision}`;
}

/** The last revision of a policy that is gone: one that is made anew under its id goes on from there. */
export interface PolicyGrave {
  policy_id: string;
  revision: number;
  deleted_at: number;
}

export const POLICY_GRAVES: Collection<PolicyGrave> = {
  name: 'policy_graves',
  item: 'grave',
  version: 1,
  indexVersion: 1,
  id: (grave) => grave.policy_id,
  order: (grave) => grave.deleted_at,
};
