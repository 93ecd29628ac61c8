/**
 * Forgets what policies once were when its time is over. The last revision of each policy that is there stays, and so does
 * all that is younger; with the last revision of a deleted one goes its grave.
 */
import { Inject, Injectable } from '@nestjs/common';
import { CONFIG, type Config } from '../../config/config.js';
import { Logger } from '../../shared/logger.js';
import { Retention } from '../../storage/retention.js';
import { type Page, Store } from '../../storage/store.js';
import {
  POLICIES,
  POLICY_GRAVES,
  POLICY_REVISIONS,
  type PolicyRevision,
  revisionId,
} from './policy.collection.js';

/** Removed in one commit. */
const CHUNK = 100;

@Injectable()
export class PolicyRetention extends Retention {
  protected readonly lease = 'policy-retention';
  protected readonly what = 'old revisions';

  constructor(
    @Inject(Store) store: Store,
    @Inject(CONFIG) private readonly config: Config,
    logger: Logger,
  ) {
    super(store, logger);
  }

  protected async *forget(): AsyncGenerator<number> {
    const until = this.daysAgo(this.config.policyRevisionsRetentionDays);
    let cursor: string | undefined;
    do {
      const page: Page<PolicyRevision> = await this.store.list(POLICY_REVISIONS, {
        direction: 'asc',
        limit: CHUNK,
        cursor,
      });
      // In the order of the writes, up to the first that is young: so a grave never goes before a revision of its policy.
      const young = page.rows.findIndex(({ at }) => at >= until);
      const old = young < 0 ? page.rows : page.rows.slice(0, young);
      if (old.length > 0) yield this.remove(old);
      cursor = young < 0 ? (page.next ?? undefined) : undefined;
    } while (cursor !== undefined);
  }

  /** What a revision is to its policy is asked inside: the policy may have been deleted, or made anew, since the list. */
  private remove(revisions: PolicyRevision[]): Promise<number> {
    return this.store.transaction(async (tx) => {
      let removed = 0;
      for (const { policy_id, revision } of revisions) {
        const id = revisionId(policy_id, revision);
        const policy = await tx.get(POLICIES, policy_id);
        if (policy?.revision === revision || !(await tx.get(POLICY_REVISIONS, id))) continue;
        tx.delete(POLICY_REVISIONS, id);
        removed += 1;
        const grave = policy ? undefined : await tx.get(POLICY_GRAVES, policy_id);
        if (grave?.revision === revision) tx.delete(POLICY_GRAVES, policy_id);
      }
      return removed;
    });
  }
}
