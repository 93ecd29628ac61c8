/** Removes immune events that are too old or too many. */
import { Inject, Injectable } from '@nestjs/common';
import { CONFIG, type Config } from '../config/config.js';
import { Logger } from '../shared/logger.js';
import { Retention } from '../storage/retention.js';
import { Store } from '../storage/store.js';
import { createdMs, IMMUNE_EVENTS, storedId } from './immune.collection.js';

/** How many events one commit removes. */
const CHUNK = 200;

@Injectable()
export class ImmuneRetention extends Retention {
  protected readonly lease = 'immune-retention';
  protected readonly what = 'immune events';
  /** A burst of reports may exceed the limit until the next sweep, so sweeps are frequent. */
  protected override readonly everyMs = 60_000;

  constructor(
    @Inject(Store) store: Store,
    @Inject(CONFIG) private readonly config: Config,
    logger: Logger,
  ) {
    super(store, logger);
  }

  protected async *forget(): AsyncGenerator<number> {
    for (let ids = await this.oldest(); ids.length > 0; ids = await this.oldest()) yield this.remove(ids);
  }

  /** The ids of the next commit: the excess over the limit, oldest first, and all that are too old. */
  private async oldest(): Promise<string[]> {
    const expiryMs = this.daysAgo(this.config.immuneRetentionDays) * 1000;
    const { rows, total } = await this.store.list(IMMUNE_EVENTS, { direction: 'asc', limit: CHUNK });
    const excess = (total as number) - this.config.immuneMaxEvents;
    return rows.filter((event, i) => i < excess || createdMs(event) <= expiryMs).map(storedId);
  }

  private remove(ids: string[]): Promise<number> {
    return this.store.transaction(async (tx) => {
      const found = await Promise.all(ids.map((id) => tx.get(IMMUNE_EVENTS, id)));
      const present = ids.filter((_, i) => found[i] !== undefined);
      for (const id of present) tx.delete(IMMUNE_EVENTS, id);
      return present.length;
    });
  }
}
