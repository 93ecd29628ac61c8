/**
 * Removes old revisions of policies. The last revision of each stored policy stays. With the last revision of a deleted
 * policy it also removes the grave.
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

/** The number of revisions that one commit removes. */
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
      // In the order of the writes, up to the first young revision. So a grave is never removed before a revision of its policy.
      const firstYoung = page.rows.findIndex(({ at }) => at >= until);
      const old = firstYoung < 0 ? page.rows : page.rows.slice(0, firstYoung);
      if (old.length > 0) yield this.remove(old);
      cursor = firstYoung < 0 ? (page.next ?? undefined) : undefined;
    } while (cursor !== undefined);
  }

  /** Reads each policy in the transaction: it may have been deleted or created again since the list was read. */
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
