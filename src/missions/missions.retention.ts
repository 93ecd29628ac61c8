/** Forgets missions that ended long ago, with their logs and results: nothing is kept for ever. */
import { Inject, Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { CONFIG, type Config } from '../config.js';
import { DAY_SECONDS, nowSeconds } from '../shared/clock.js';
import { messageOf } from '../shared/errors.js';
import { Logger } from '../shared/logger.js';
import { Store } from '../storage/store.js';
import { MISSION_RESULTS, MISSIONS, resultId, type StoredMission } from './missions.collection.js';

const EVERY_MS = 10 * 60_000;
const FIRST_MS = 40_000;
const LEASE_MS = 60_000;
/** Removed in one commit: so many missions, and no more than one whose log is full. */
const CHUNK = 100;
const CHUNK_ENTRIES = 10_000;

@Injectable()
export class MissionsRetention implements OnApplicationBootstrap, OnModuleDestroy {
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
    const lease = await this.store.acquire('missions-retention', LEASE_MS);
    if (!lease) return 0;
    try {
      const until = nowSeconds() - this.config.missionsRetentionDays * DAY_SECONDS;
      let removed = 0;
      for (;;) {
        const { rows } = await this.store.list(MISSIONS, {
          where: { ended: 'ended' },
          until,
          direction: 'asc',
          limit: CHUNK,
        });
        if (rows.length === 0 || !(await this.store.renew(lease, LEASE_MS))) return removed;
        removed += await this.remove(chunkOf(rows), until);
      }
    } finally {
      await this.store.release(lease);
    }
  }

  /** Read again inside: a mission may have been retried since it was listed. */
  private remove(ids: string[], until: number): Promise<number> {
    return this.store.transaction(async (tx) => {
      let removed = 0;
      for (const id of ids) {
        const mission = await tx.get(MISSIONS, id);
        if (mission?.finished_at == null || mission.finished_at > until) continue;
        for (const [step, { bytes }] of Object.entries(mission.outcomes)) {
          const result = bytes !== undefined && (await tx.get(MISSION_RESULTS, resultId(id, step)));
          if (result) tx.delete(MISSION_RESULTS, result.id);
        }
        tx.delete(MISSIONS, id);
        removed += 1;
      }
      return removed;
    });
  }

  private schedule(ms: number): void {
    this.timer = setTimeout(() => {
      void this.sweep()
        .then((removed) => removed > 0 && this.logger.info('ended missions were forgotten', { removed }))
        .catch((error: unknown) =>
          this.logger.warn('ended missions could not be forgotten', { reason: messageOf(error) }),
        )
        .finally(() => this.schedule(EVERY_MS));
    }, ms);
    this.timer.unref();
  }
}

/** Always one of them, however long its log is. */
function chunkOf(rows: StoredMission[]): string[] {
  let entries = 0;
  const rest = rows.findIndex(({ log_entries }, i) => {
    entries += log_entries;
    return i > 0 && entries > CHUNK_ENTRIES;
  });
  return rows.slice(0, rest < 0 ? undefined : rest).map(({ id }) => id);
}
