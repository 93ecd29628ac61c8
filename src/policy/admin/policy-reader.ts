/** Reads stored policies and their revisions. */
import { setImmediate as turn } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import { pageOf } from '../../storage/page.js';
import { type Page, Store } from '../../storage/store.js';
import type { Policy, PolicyContent } from '../engine/policy.dto.js';
import { noSuchPolicy } from '../policy.errors.js';
import type { PolicyQuery, RevisionAnswer, RevisionQuery } from './policies.dto.js';
import {
  CURRENT,
  POLICIES,
  POLICY_REVISIONS,
  POLICY_SET,
  type PolicyRevision,
  pageSizeFor,
} from './policy.collection.js';

@Injectable()
export class PolicyReader {
  constructor(@Inject(Store) private readonly store: Store) {}

  async get(policyId: string): Promise<Policy> {
    const policy = await this.store.get(POLICIES, policyId);
    if (!policy) throw noSuchPolicy(policyId);
    return policy;
  }

  list({ limit, cursor, members }: PolicyQuery): Promise<Page<Policy>> {
    const query = { limit, cursor, direction: 'asc' } as const;
    return pageOf(this.store, POLICIES, query, { of: (policy) => policy, members });
  }

  /** Every policy as its author wrote it, sorted by id. */
  async *all(): AsyncGenerator<PolicyContent> {
    const set = await this.store.get(POLICY_SET, CURRENT);
    const limit = set && pageSizeFor(set);
    let cursor: string | undefined;
    do {
      const page: Page<Policy> = await this.store.list(POLICIES, { limit, cursor, direction: 'asc' });
      await turn();
      for (const policy of page.rows) yield contentIn(policy);
      cursor = page.next ?? undefined;
    } while (cursor !== undefined);
  }

  /** The revisions of a stored or deleted policy, the latest first. */
  async revisions(policyId: string, query: RevisionQuery): Promise<Page<RevisionAnswer>> {
    const { limit, cursor, members } = query;
    const where = { policy: policyId };
    const shape = { of: (revision: PolicyRevision) => revision, members };
    const found = await pageOf<PolicyRevision, RevisionAnswer>(
      this.store,
      POLICY_REVISIONS,
      { where, limit, cursor },
      shape,
    );
    if (found.rows.length === 0 && cursor === undefined) throw noSuchPolicy(policyId);
    return found;
  }
}

/** The fields that the author wrote, without those that the service adds. */
export function contentIn(policy: Policy): PolicyContent {
  const { policy_id, name, version, description, rules, default_effect, enabled, metadata } = policy;
  return { policy_id, name, version, description, rules, default_effect, enabled, metadata };
}
