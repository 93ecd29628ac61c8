/** Removes immune events that are too old or too many. */
import { settingsIn } from '../config/config.js';
import { DAY_SECONDS } from '../shared/clock.js';
import { type OldData, untilEmpty } from '../storage/retention.js';
import type { ListQuery, Store } from '../storage/store.js';
import { IMMUNE_EVENTS, REMOVABLE, type StoredImmuneEvent, storedId } from './immune.collection.js';
import { IMMUNE_SETTINGS } from './immune.settings.js';

/** How many events one commit removes. */
const CHUNK = 200;

export const OLD_IMMUNE_EVENTS: OldData<StoredImmuneEvent> = {
  lease: 'immune-retention',
  what: 'immune events',
  /** A burst of reports may exceed the limit until the next sweep, so sweeps are frequent. */
  everyMs: 60_000,
  days: (config) => settingsIn(config, IMMUNE_SETTINGS).BRAIN_IMMUNE_RETENTION_DAYS,

  /** All that are too old, and then the excess over the limit. */
  async *find(store, until, config) {
    const { BRAIN_IMMUNE_MAX_EVENTS: max } = settingsIn(config, IMMUNE_SETTINGS);
    yield* untilEmpty(() => oldest(store, { until: until * 1000, limit: CHUNK }));
    yield* untilEmpty(() => excess(store, max));
  },

  async remove(tx, event) {
    const id = storedId(event);
    if (!(await tx.get(IMMUNE_EVENTS, id))) return false;
    tx.delete(IMMUNE_EVENTS, id);
    return true;
  },
};

/**
 * The oldest events first. Inside the longest window of the health, protected CRITICAL events are removed only if nothing
 * else is left: many harmless events must not turn `critical` into `healthy`.
 */
async function excess(store: Store, max: number): Promise<StoredImmuneEvent[]> {
  const { total } = await store.list(IMMUNE_EVENTS, { limit: 0 });
  const limit = Math.min(CHUNK, (total as number) - max);
  if (limit <= 0) return [];
  const longestWindow = (store.clock().earliest - DAY_SECONDS) * 1000;
  const inTurn: ListQuery[] = [{ until: longestWindow }, { where: { removable: REMOVABLE } }, {}];
  for (const query of inTurn) {
    const rows = await oldest(store, { ...query, limit });
    if (rows.length > 0) return rows;
  }
  return [];
}

async function oldest(store: Store, query: ListQuery): Promise<StoredImmuneEvent[]> {
  return (await store.list(IMMUNE_EVENTS, { ...query, direction: 'asc', counted: false })).rows;
}
