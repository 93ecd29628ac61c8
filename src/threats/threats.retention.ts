/** Removes threats that were closed long ago. */
import { settingsIn } from '../config/config.js';
import { CHUNK, type OldData, untilEmpty } from '../storage/retention.js';
import { type StoredThreat, THREATS } from './threats.collection.js';
import { isClosed, STATUSES } from './threats.lifecycle.js';
import { THREATS_SETTINGS } from './threats.settings.js';

export const CLOSED_THREATS: OldData<StoredThreat> = {
  lease: 'threats-retention',
  what: 'closed threats',
  days: (config) => settingsIn(config, THREATS_SETTINGS).BRAIN_THREATS_RETENTION_DAYS,

  async *find(store, until) {
    for (const status of STATUSES.filter(isClosed)) {
      const query = { where: { status }, until, direction: 'asc', limit: CHUNK } as const;
      yield* untilEmpty(async () => (await store.list(THREATS, query)).rows);
    }
  },

  /** Reads the threat again, because it may have been reopened since it was listed. */
  async remove(tx, { id }, until) {
    const threat = await tx.get(THREATS, id);
    if (!threat || !isClosed(threat.status) || threat.last_seen_at > until) return false;
    tx.delete(THREATS, id);
    return true;
  },
};
