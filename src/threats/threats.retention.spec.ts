import { silentLogger } from '../../test/support/logs.js';
import { openStore } from '../../test/support/open-store.js';
import { readConfig } from '../config/config.js';
import { DAY_SECONDS, nowSeconds } from '../shared/clock.js';
import type { EmbeddedStore } from '../storage/embedded/embedded-store.js';
import { Retention } from '../storage/retention.js';
import { type StoredThreat, THREATS } from './threats.collection.js';
import { STATUSES } from './threats.lifecycle.js';
import { CLOSED_THREATS } from './threats.retention.js';
import { ThreatsService } from './threats.service.js';

const config = readConfig({ BRAIN_THREATS_RETENTION_DAYS: '10' });

describe('the retention of threats', () => {
  let store: EmbeddedStore;
  let close: () => Promise<void>;
  let service: ThreatsService;
  let retention: Retention<StoredThreat>;

  beforeEach(async () => {
    ({ store, close } = await openStore());
    service = new ThreatsService(store, config);
    retention = new Retention(CLOSED_THREATS, store, config, silentLogger());
  });
  afterEach(() => close());

  const report = async (over: object): Promise<string> => {
    const { threat } = await service.report({ type: 't', source: 's', severity: 'LOW' });
    await store.transaction(async (tx) => {
      const old = await tx.get(THREATS, threat.id);
      if (old) tx.put(THREATS, { ...old, ...over });
    });
    return threat.id;
  };

  it('removes what is closed and old, keeps the rest, and keeps the counts correct', async () => {
    const now = nowSeconds();
    for (const status of STATUSES) {
      await report({ status, last_seen_at: now - 11 * DAY_SECONDS });
      await report({ status, last_seen_at: now - 9 * DAY_SECONDS });
    }
    expect(await retention.sweep()).toBe(3);
    const { rows } = await store.list(THREATS, { limit: 100 });
    const old = rows.filter(({ last_seen_at }) => last_seen_at < now - 10 * DAY_SECONDS);
    expect(old.map(({ status }) => status).sort()).toEqual(['ESCALATED', 'INVESTIGATING', 'OPEN']);
    expect(rows).toHaveLength(9);
    expect(await service.stats()).toMatchObject({
      total: 9,
      by_status: { OPEN: 2, RESOLVED: 1, IGNORED: 1 },
    });
    expect(await retention.sweep()).toBe(0);
  });
});
