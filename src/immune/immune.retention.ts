/** Removes immune events that are too old or too many. */
import { settingsIn } from '../config/config.js';
import { type OldData, untilEmpty } from '../storage/retention.js';
import { createdMs, IMMUNE_EVENTS, storedId } from './immune.collection.js';
import type { ImmuneEvent } from './immune.dto.js';
import { IMMUNE_SETTINGS } from './immune.settings.js';

/** How many events one commit removes. */
const CHUNK = 200;

export const OLD_IMMUNE_EVENTS: OldData<ImmuneEvent> = {
  lease: 'immune-retention',
  what: 'immune events',
  /** A burst of reports may exceed the limit until the next sweep, so sweeps are frequent. */
  everyMs: 60_000,
  days: (config) => settingsIn(config, IMMUNE_SETTINGS).BRAIN_IMMUNE_RETENTION_DAYS,

  /** The excess over the limit, oldest first, and all that are too old. */
  find(store, until, config) {
    const { BRAIN_IMMUNE_MAX_EVENTS: max } = settingsIn(config, IMMUNE_SETTINGS);
    return untilEmpty(async () => {
      const { rows, total } = await store.list(IMMUNE_EVENTS, { direction: 'asc', limit: CHUNK });
      const excess = (total as number) - max;
      return rows.filter((event, i) => i < excess || createdMs(event) <= until * 1000);
    });
  },

  async remove(tx, event) {
    const id = storedId(event);
    if (!(await tx.get(IMMUNE_EVENTS, id))) return false;
    tx.delete(IMMUNE_EVENTS, id);
    return true;
  },
};
