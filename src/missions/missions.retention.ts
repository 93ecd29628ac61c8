/** Removes missions that ended long ago, with their logs and results. */
import { settingsIn } from '../config/config.js';
import { CHUNK, type OldData, untilEmpty } from '../storage/retention.js';
import { MISSION_RESULTS, MISSIONS, resultId, type StoredMission } from './missions.collection.js';
import { MISSIONS_SETTINGS } from './missions.settings.js';

/** How many log entries one commit removes. */
const CHUNK_ENTRIES = 10_000;

export const ENDED_MISSIONS: OldData<StoredMission> = {
  lease: 'missions-retention',
  what: 'ended missions',
  days: (config) => settingsIn(config, MISSIONS_SETTINGS).BRAIN_MISSIONS_RETENTION_DAYS,

  find(store, until) {
    const query = { where: { ended: 'ended' }, until, direction: 'asc', limit: CHUNK } as const;
    return untilEmpty(async () => chunkOf((await store.list(MISSIONS, query)).rows));
  },

  /** Reads the mission again, because it may have been retried since it was listed. */
  async remove(tx, { id }, until) {
    const mission = await tx.get(MISSIONS, id);
    if (mission?.finished_at == null || mission.finished_at > until) return false;
    for (const [step, { bytes }] of Object.entries(mission.outcomes)) {
      const result = bytes !== undefined && (await tx.get(MISSION_RESULTS, resultId(id, step)));
      if (result) tx.delete(MISSION_RESULTS, result.id);
    }
    tx.delete(MISSIONS, id);
    return true;
  },
};

/** The first missions within the limits: at least one, whatever the size of its log. */
function chunkOf(rows: StoredMission[]): StoredMission[] {
  let entries = 0;
  const rest = rows.findIndex(({ log_entries }, i) => {
    entries += log_entries;
    return i > 0 && entries > CHUNK_ENTRIES;
  });
  return rows.slice(0, rest < 0 ? undefined : rest);
}
