import { silentLogger } from '../../test/support/logs.js';
import { openStore } from '../../test/support/open-store.js';
import { readConfig } from '../config/config.js';
import { DAY_SECONDS, nowSeconds } from '../shared/clock.js';
import type { EmbeddedStore } from '../storage/embedded/embedded-store.js';
import { Retention } from '../storage/retention.js';
import { MISSION_RESULTS, MISSIONS, resultId, type StoredMission } from './missions.collection.js';
import { hasEnded, STATUSES } from './missions.lifecycle.js';
import { ENDED_MISSIONS, idleMissions } from './missions.retention.js';

const { read } = MISSIONS as { read: (this: void, raw: Record<string, unknown>) => StoredMission };

const config = readConfig({ BRAIN_MISSIONS_RETENTION_DAYS: '10', BRAIN_MISSIONS_PENDING_DAYS: '10' });

describe('the retention of missions', () => {
  let store: EmbeddedStore;
  let close: () => Promise<void>;
  let retention: Retention<StoredMission>;

  beforeEach(async () => {
    ({ store, close } = await openStore());
    store.declare(MISSIONS);
    store.declare(MISSION_RESULTS);
    retention = new Retention(ENDED_MISSIONS, store, config, silentLogger());
  });
  afterEach(() => close());

  const insert = (id: string, over: Record<string, unknown>, entries = 1): Promise<void> =>
    store.transaction((tx) => {
      const at = nowSeconds() - 30 * DAY_SECONDS;
      tx.insert(MISSIONS, read({ id, name: id, created_at: at, log_entries: entries, ...over }));
      for (let i = 0; i < entries; i += 1) tx.append(MISSIONS, id, { i });
    });
  const left = async (): Promise<string[]> =>
    (await store.list(MISSIONS, { limit: 500 })).rows.map(({ id }) => id).sort();

  it('removes what ended long ago, keeps the rest however old it is, and keeps the counts correct', async () => {
    const now = nowSeconds();
    for (const status of STATUSES) {
      const ended = (days: number): number | null => (hasEnded(status) ? now - days * DAY_SECONDS : null);
      await insert(`${status}-old`, { status, finished_at: ended(11) });
      await insert(`${status}-new`, { status, finished_at: ended(9) });
    }
    expect(await retention.sweep()).toBe(3);
    const gone = ['COMPLETED-old', 'FAILED-old', 'CANCELLED-old'];
    const all = STATUSES.flatMap((status) => [`${status}-old`, `${status}-new`]);
    expect(await left()).toEqual(all.filter((id) => !gone.includes(id)).sort());
    expect(await store.counts(MISSIONS)).toEqual({
      total: 7,
      'by_status.PENDING': 2,
      'by_status.RUNNING': 2,
      'by_status.COMPLETED': 1,
      'by_status.FAILED': 1,
      'by_status.CANCELLED': 1,
    });
    expect(await retention.sweep()).toBe(0);
  });

  it('removes the log and the large results of a mission with it', async () => {
    const outcomes = {
      one: { result: null, decision_id: null, bytes: 70_000 },
      two: { result: 2, decision_id: null },
    };
    await insert('m', { status: 'COMPLETED', finished_at: 1, outcomes }, 5);
    await store.transaction((tx) => {
      tx.insert(MISSION_RESULTS, { id: resultId('m', 'one'), mission_id: 'm', result: 'large' });
    });
    expect(await retention.sweep()).toBe(1);
    expect(await store.counts(MISSION_RESULTS)).toEqual({ total: 0 });
    expect((await store.entries(MISSIONS, 'm', { limit: 10 })).entries).toEqual([]);
  });

  it('removes many, with logs of any length', async () => {
    for (let i = 0; i < 230; i += 1) await insert(`m${i}`, { status: 'FAILED', finished_at: 1 + i });
    for (const id of ['long', 'longer']) await insert(id, { status: 'FAILED', finished_at: 1000 }, 10_001);
    expect(await retention.sweep()).toBe(232);
    expect(await left()).toEqual([]);
  }, 60_000);

  describe('of pending missions', () => {
    const day = DAY_SECONDS;
    const idle = (days = config): Retention<StoredMission> =>
      new Retention(idleMissions(undefined), store, days, silentLogger());

    it('cancels those that no request has touched, by the time of the store, and no others', async () => {
      const now = nowSeconds();
      for (const status of STATUSES) {
        const finished_at = hasEnded(status) ? now : null;
        await insert(`${status}-old`, { status, finished_at, touched_at: now - 11 * day });
        await insert(`${status}-new`, { status, finished_at, touched_at: now - 9 * day });
      }
      await insert('due', { status: 'PENDING', due_at: now, touched_at: now - 11 * day });
      // As another program or an earlier release has stored it.
      await insert('foreign', { status: 'PENDING', updated_at: now - 11 * day });
      jest.spyOn(store, 'clock').mockReturnValue({ earliest: now - 2 * day, latest: now + 2 * day });
      expect(await idle().sweep()).toBe(0);
      jest.spyOn(store, 'clock').mockReturnValue({ earliest: now, latest: now + 2 * day });
      expect(await idle().sweep()).toBe(2);
      const cancelled = await store.list(MISSIONS, { where: { status: 'CANCELLED' } });
      expect(cancelled.rows.map(({ id }) => id).sort()).toEqual([
        'CANCELLED-new',
        'CANCELLED-old',
        'PENDING-old',
        'foreign',
      ]);
    });

    it('cancels many, and none if the setting is 0', async () => {
      for (let i = 0; i < 230; i += 1) await insert(`m${i}`, { status: 'PENDING', touched_at: 1 + i });
      expect(await idle(readConfig({ BRAIN_MISSIONS_PENDING_DAYS: '0' })).sweep()).toBe(0);
      expect(await idle().sweep()).toBe(230);
      expect(await store.counts(MISSIONS)).toEqual({ total: 230, 'by_status.CANCELLED': 230 });
    }, 60_000);
  });
});
