/**
 * Forgets what policies once were when its time is over: nothing is kept for ever. The last revision of each policy that is
 * there stays, and so does all that is younger; with the last revision of a deleted one goes its grave.
 */
import { Inject, Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { CONFIG, type Config } from '../config.js';
import { DAY_SECONDS, nowSeconds } from '../shared/clock.js';
import { messageOf } from '../shared/errors.js';
import { Logger } from '../shared/logger.js';
import { type Page, Store } from '../storage/store.js';
import {
  POLICIES,
  POLICY_GRAVES,
  POLICY_REVISIONS,
  type PolicyRevision,
  revisionId,
} from './policy.collection.js';

const EVERY_MS = 10 * 60_000;
const FIRST_MS = 30_000;
const LEASE_MS = 60_000;
/** Removed in one commit. */
const CHUNK = 100;

@Injectable()
export class PolicyRetention implements OnApplicationBootstrap, OnModuleDestroy {
  private timer?: NodeJS.Timeout;

  constructor(
    @Inject(Store) private readonly store: Store,
    @Inject(CONFIG) private readonly config: Config,
    private readonly logger: Logger,
  ) {}

  onApplicationBootstrap(): void {
    this.schedule(FIRST_MS);
  }

  onModuleDestroy(): void {
    clearTimeout(this.timer);
  }

  /** One replica at a time; returns how many revisions were removed. */
  async sweep(): Promise<number> {
    const lease = await this.store.acquire('policy-retention', LEASE_MS);
    if (!lease) return 0;
    try {
      const until = nowSeconds() - this.config.policyRevisionsRetentionDays * DAY_SECONDS;
      let removed = 0;
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
        if (old.length === 0 || !(await this.store.renew(lease, LEASE_MS))) break;
        removed += await this.remove(old);
        cursor = young < 0 ? (page.next ?? undefined) : undefined;
      } while (cursor !== undefined);
      return removed;
    } finally {
      await this.store.release(lease);
    }
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

  private schedule(ms: number): void {
    this.timer = setTimeout(() => {
      void this.sweep()
        .then((removed) => removed > 0 && this.logger.info('old revisions were forgotten', { removed }))
        .catch((error: unknown) =>
          this.logger.warn('old revisions could not be forgotten', { reason: messageOf(error) }),
        )
        .finally(() => this.schedule(EVERY_MS));
    }, ms);
    this.timer.unref();
  }
}
