/** Removes missions that ended long ago, with their logs and results. */
import { Inject, Injectable } from '@nestjs/common';
import { CONFIG, type Config } from '../config/config.js';
import { Logger } from '../shared/logger.js';
import { Retention } from '../storage/retention.js';
import { Store } from '../storage/store.js';
import { MISSION_RESULTS, MISSIONS, resultId, type StoredMission } from './missions.collection.js';

/** The limits of one commit: how many missions, and how many log entries. */
const CHUNK = 100;
const CHUNK_ENTRIES = 10_000;

@Injectable()
export class MissionsRetention extends Retention {
  protected readonly lease = 'missions-retention';
  protected readonly what = 'ended missions';

  constructor(
    @Inject(Store) store: Store,
    @Inject(CONFIG) private readonly config: Config,
    logger: Logger,
  ) {
    super(store, logger);
  }

  protected async *forget(): AsyncGenerator<number> {
    const until = this.daysAgo(this.config.missionsRetentionDays);
    for (;;) {
      const { rows } = await this.store.list(MISSIONS, {
        where: { ended: 'ended' },
        until,
        direction: 'asc',
        limit: CHUNK,
      });
      if (rows.length === 0) return;
      yield this.remove(chunkOf(rows), until);
    }
  }

  /** Reads each mission again in the transaction, because it may have been retried since it was listed. */
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
}

/** The ids of the first missions within the limits: at least one, whatever the size of its log. */
function chunkOf(rows: StoredMission[]): string[] {
  let entries = 0;
  const rest = rows.findIndex(({ log_entries }, i) => {
    entries += log_entries;
    return i > 0 && entries > CHUNK_ENTRIES;
  });
  return rows.slice(0, rest < 0 ? undefined : rest).map(({ id }) => id);
}
