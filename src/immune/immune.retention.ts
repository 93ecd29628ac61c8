/** Forgets immune events that are too old, or too many: nothing is kept for ever. */
import { Inject, Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { CONFIG, type Config } from '../config.js';
import { DAY_SECONDS } from '../shared/clock.js';
import { messageOf } from '../shared/errors.js';
import { Logger } from '../shared/logger.js';
import { Store } from '../storage/store.js';
import { createdMs, IMMUNE_EVENTS, storedId } from './immune.collection.js';

/** Between two looks a burst may exceed the bound, so they are not far apart. */
const EVERY_MS = 60_000;
const FIRST_MS = 30_000;
const LEASE_MS = 60_000;
/** Removed in one commit. */
const CHUNK = 200;

@Injectable()
export class ImmuneRetention implements OnApplicationBootstrap, OnModuleDestroy {
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

  /** One replica at a time; returns how many were removed. */
  async sweep(): Promise<number> {
    const lease = await this.store.acquire('immune-retention', LEASE_MS);
    if (!lease) return 0;
    try {
      let removed = 0;
      for (;;) {
        const ids = await this.oldest();
        if (ids.length === 0 || !(await this.store.renew(lease, LEASE_MS))) return removed;
        removed += await this.remove(ids);
      }
    } finally {
      await this.store.release(lease);
    }
  }

  /** The next to go: the oldest as long as there are too many, and whatever is too old. */
  private async oldest(): Promise<string[]> {
    const expiryMs = Date.now() - this.config.immuneRetentionDays * DAY_SECONDS * 1000;
    const { rows, total } = await this.store.list(IMMUNE_EVENTS, { direction: 'asc', limit: CHUNK });
    const excess = (total as number) - this.config.immuneMaxEvents;
    return rows.filter((event, i) => i < excess || createdMs(event) <= expiryMs).map(storedId);
  }

  private remove(ids: string[]): Promise<number> {
    return this.store.transaction(async (tx) => {
      const found = await Promise.all(ids.map((id) => tx.get(IMMUNE_EVENTS, id)));
      const there = ids.filter((_, i) => found[i] !== undefined);
      for (const id of there) tx.delete(IMMUNE_EVENTS, id);
      return there.length;
    });
  }

  private schedule(ms: number): void {
    this.timer = setTimeout(() => {
      void this.sweep()
        .then((removed) => removed > 0 && this.logger.info('immune events were forgotten', { removed }))
        .catch((error: unknown) =>
          this.logger.warn('immune events could not be forgotten', { reason: messageOf(error) }),
        )
        .finally(() => this.schedule(EVERY_MS));
    }, ms);
    this.timer.unref();
  }
}
