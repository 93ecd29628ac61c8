/** Forgets closed threats whose time is over: nothing is kept for ever. */
import { Inject, Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { CONFIG, type Config } from '../config.js';
import { DAY_SECONDS, nowSeconds } from '../shared/clock.js';
import { messageOf } from '../shared/errors.js';
import { Logger } from '../shared/logger.js';
import { Store } from '../storage/store.js';
import { THREATS } from './threats.collection.js';
import { isClosed, STATUSES } from './threats.lifecycle.js';

const EVERY_MS = 10 * 60_000;
const FIRST_MS = 30_000;
const LEASE_MS = 60_000;
/** Removed in one commit. */
const CHUNK = 100;

@Injectable()
export class ThreatsRetention implements OnApplicationBootstrap, OnModuleDestroy {
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
    const lease = await this.store.acquire('threats-retention', LEASE_MS);
    if (!lease) return 0;
    try {
      const until = nowSeconds() - this.config.threatsRetentionDays * DAY_SECONDS;
      let removed = 0;
      for (const status of STATUSES.filter(isClosed)) {
        for (;;) {
          const { rows } = await this.store.list(THREATS, {
            where: { status },
            until,
            direction: 'asc',
            limit: CHUNK,
          });
          if (rows.length === 0 || !(await this.store.renew(lease, LEASE_MS))) break;
          removed += await this.remove(
            rows.map(({ id }) => id),
            until,
          );
        }
      }
      return removed;
    } finally {
      await this.store.release(lease);
    }
  }

  /** Read again inside: a threat may have been reopened since it was listed. */
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

  private schedule(ms: number): void {
    this.timer = setTimeout(() => {
      void this.sweep()
        .then((removed) => removed > 0 && this.logger.info('closed threats were forgotten', { removed }))
        .catch((error: unknown) =>
          this.logger.warn('closed threats could not be forgotten', { reason: messageOf(error) }),
        )
        .finally(() => this.schedule(EVERY_MS));
    }, ms);
    this.timer.unref();
  }
}
