import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfig } from '../config/config.js';
import { DAY_SECONDS, nowSeconds } from '../shared/clock.js';
import { Logger } from '../shared/logger.js';
import { EmbeddedDatabase } from '../storage/embedded/database.js';
import { EmbeddedEventLog } from '../storage/embedded/embedded-event-log.js';
import { EmbeddedStore } from '../storage/embedded/embedded-store.js';
import { THREATS } from './threats.collection.js';
import { STATUSES } from './threats.lifecycle.js';
import { ThreatsRetention } from './threats.retention.js';
import { ThreatsService } from './threats.service.js';

describe('the retention of threats', () => {
  let folder: string;
  let store: EmbeddedStore;
  let service: ThreatsService;
  let retention: ThreatsRetention;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'brain-retention-'));
    const db = await EmbeddedDatabase.open(folder, { maxBytes: 2 ** 30 });
    store = new EmbeddedStore(db, new EmbeddedEventLog(db));
    service = new ThreatsService(store);
    const config = readConfig({ BRAIN_THREATS_RETENTION_DAYS: '10' });
    retention = new ThreatsRetention(store, config, new Logger({ level: 'silent', format: 'json' }));
  });
  afterEach(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const report = async (over: object): Promise<string> => {
    const { threat } = await service.report({ type: 't', source: 's', severity: 'LOW' });
    await store.transaction(async (tx) => {
      const old = await tx.get(THREATS, threat.id);
      if (old) tx.put(THREATS, { ...old, ...over });
    });
    return threat.id;
  };

  it('forgets what is closed and old, keeps the rest, and the figures stay true', async () => {
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

  it('removes many, a hundred in a commit', async () => {
    for (let i = 0; i < 230; i += 1) await report({ status: 'RESOLVED', last_seen_at: 1 + i });
    expect(await retention.sweep()).toBe(230);
    expect((await service.stats()).total).toBe(0);
  });

  it('is the work of one replica at a time', async () => {
    await report({ status: 'RESOLVED', last_seen_at: 1 });
    const lease = await store.acquire('threats-retention', 60_000);
    expect(await retention.sweep()).toBe(0);
    if (lease) await store.release(lease);
    expect(await retention.sweep()).toBe(1);
  });
});
