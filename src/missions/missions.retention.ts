/** What becomes of old missions: ended ones are removed, and PENDING ones that nobody touches are cancelled. */
import type { FactoryProvider } from '@nestjs/common';
import { CONFIG, type Config, settingsIn } from '../config/config.js';
import { EventStream } from '../events/event-stream.js';
import { Logger } from '../shared/logger.js';
import { CHUNK, type OldData, Retention, untilEmpty } from '../storage/retention.js';
import { Store, type Tx } from '../storage/store.js';
import { MissionWriter } from './mission-writer.js';
import { IDLE, MISSION_RESULTS, MISSIONS, resultId, type StoredMission } from './missions.collection.js';
import { MISSIONS_SETTINGS } from './missions.settings.js';

/** How many log entries one commit removes. */
const CHUNK_ENTRIES = 10_000;
const EXPIRY = 'missions-expiry';

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
    await removeMission(tx, mission);
    return true;
  },
};

/** Removes a mission that the transaction has read, with its log and results. */
export async function removeMission(tx: Tx, { id, outcomes }: StoredMission): Promise<void> {
  for (const [step, { bytes }] of Object.entries(outcomes)) {
    const result = bytes !== undefined && (await tx.get(MISSION_RESULTS, resultId(id, step)));
    if (result) tx.delete(MISSION_RESULTS, result.id);
  }
  tx.delete(MISSIONS, id);
}

/** Cancels the PENDING missions that no request has touched for long. They count against the limit of their creator. */
export function idleMissions(events: EventStream | undefined): OldData<StoredMission> {
  const days = (config: Config): number => settingsIn(config, MISSIONS_SETTINGS).BRAIN_MISSIONS_PENDING_DAYS;
  return {
    lease: EXPIRY,
    what: 'untouched pending missions',
    done: 'cancelled',
    days,

    find(store, until, config) {
      const query = { where: { idle: IDLE }, until, direction: 'asc', limit: CHUNK } as const;
      return untilEmpty(async () => (days(config) === 0 ? [] : (await store.list(MISSIONS, query)).rows));
    },

    /** Reads the mission again, because it may have been executed or changed since it was listed. */
    async remove(tx, { id }, until) {
      const mission = await tx.get(MISSIONS, id);
      if (mission?.status !== 'PENDING' || mission.due_at !== null || mission.touched_at > until)
        return false;
      const writer = new MissionWriter(tx, mission, events);
      writer.move('CANCELLED', 'expired');
      writer.save();
      return true;
    },
  };
}

export const expiryOfMissions: FactoryProvider<Retention<StoredMission>> = {
  provide: EXPIRY,
  inject: [Store, CONFIG, Logger, { token: EventStream, optional: true }],
  useFactory: (store: Store, config: Config, logger: Logger, events?: EventStream) =>
    new Retention(idleMissions(events), store, config, logger),
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
