/**
 * How policies are stored. All policies together are a set with a revision. Every write raises it in its own commit and
 * stores a revision of each changed policy, so a replica reads only the changes that it has missed (ADR 5).
 */
import type { Collection } from '../../storage/store.js';
import type { Difference } from '../engine/difference.js';
import type { Policy } from '../engine/policy.dto.js';

/** The one document about all policies together. */
export interface PolicySet {
  id: typeof CURRENT;
  revision: number;
  /** Random, new with each write. After a failover two histories can have the same revision; their tags differ. */
  tag: string;
  policies: number;
  rules: number;
}

export const CURRENT = 'current';

/** Parsing a page blocks the event loop, so a page has as many policies as have about this number of rules together. */
const RULES_PER_PAGE = 1000;
const MAX_POLICIES_PER_PAGE = 50;

export function pageSizeFor({ policies, rules }: Pick<PolicySet, 'policies' | 'rules'>): number {
  const average = Math.floor((RULES_PER_PAGE * policies) / Math.max(1, rules));
  return Math.max(1, Math.min(MAX_POLICIES_PER_PAGE, average));
}

export const POLICY_SET: Collection<PolicySet> = {
  name: 'policy_set',
  item: 'set',
  version: 1,
  indexVersion: 1,
  id: (set) => set.id,
};

/** Sorted by id. */
export const POLICIES: Collection<Policy> = {
  name: 'policies',
  item: 'policy',
  version: 1,
  indexVersion: 1,
  id: (policy) => policy.policy_id,
  counts: (policy) => ({ active: policy.enabled ? 1 : 0, rules: policy.rules.length }),
};

/** One policy after one write. The revisions of a deleted policy stay until retention removes them. */
export interface PolicyRevision {
  policy_id: string;
  revision: number;
  at: number;
  by: string;
  /** Null if the write deleted the policy. */
  policy: Policy | null;
  changes: Difference;
  /** The revision of the set after this write. */
  set_revision: number;
  /** The tag of the set after this write. */
  tag: string;
  /** The tag of the set before this write. */
  before: string;
}

/** Sorted by the revision of the set, so that a replica reads the changes after its own revision in order. */
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

/** The last revision number of a deleted policy. A new policy with the same id continues from it, so no ETag occurs twice. */
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
