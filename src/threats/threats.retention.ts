/** Removes threats that were closed long ago. */
import { Inject, Injectable } from '@nestjs/common';
import { CONFIG, type Config } from '../config/config.js';
import { Logger } from '../shared/logger.js';
import { Retention } from '../storage/retention.js';
import { Store } from '../storage/store.js';
import { THREATS } from './threats.collection.js';
import { isClosed, STATUSES } from './threats.lifecycle.js';

/** How many threats one commit removes. */
const CHUNK = 100;

@Injectable()
export class ThreatsRetention extends Retention {
  protected readonly lease = 'threats-retention';
  protected readonly what = 'closed threats';

  constructor(
    @Inject(Store) store: Store,
    @Inject(CONFIG) private readonly config: Config,
    logger: Logger,
  ) {
    super(store, logger);
  }

  protected async *forget(): AsyncGenerator<number> {
    const until = this.daysAgo(this.config.threatsRetentionDays);
    for (const status of STATUSES.filter(isClosed)) {
      for (;;) {
        const { rows } = await this.store.list(THREATS, {
          where: { status },
          until,
          direction: 'asc',
          limit: CHUNK,
        });
        if (rows.length === 0) break;
        yield this.remove(
          rows.map(({ id }) => id),
          until,
        );
      }
    }
  }

  /** Reads each threat again in the transaction, because it may have been reopened since it was listed. */
  private remove(ids: string[], until: number): Promise<number> {
    return this.store.transaction(async (tx) => {
      let removed = 0;
      for (const id of ids) {
        const threat = await tx.get(THREATS, id);
        if (!threat || !isClosed(threat.status) || threat.last_seen_at > until) continue;
        tx.delete(THREATS, id);
        removed += 1;
      }
      return removed;
    });
  }
}
