import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfig } from '../config/config.js';
import { DAY_SECONDS } from '../shared/clock.js';
import { Logger } from '../shared/logger.js';
import { EmbeddedDatabase } from '../storage/embedded/database.js';
import { EmbeddedEventLog } from '../storage/embedded/embedded-event-log.js';
import { EmbeddedStore } from '../storage/embedded/embedded-store.js';
import { IMMUNE_EVENTS } from './immune.collection.js';
import type { ImmuneEvent } from './immune.dto.js';
import { ImmuneRetention } from './immune.retention.js';
import { ImmuneService } from './immune.service.js';

const MAX = 1000;

describe('the retention of immune events', () => {
  let folder: string;
  let store: EmbeddedStore;
  let service: ImmuneService;
  let retention: ImmuneRetention;
  let nextId: number;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'brain-retention-'));
    const db = await EmbeddedDatabase.open(folder, { maxBytes: 2 ** 30 });
    store = new EmbeddedStore(db, new EmbeddedEventLog(db));
    const config = readConfig({ BRAIN_IMMUNE_RETENTION_DAYS: '10', BRAIN_IMMUNE_MAX_EVENTS: String(MAX) });
    service = new ImmuneService(store, config);
    retention = new ImmuneRetention(store, config, new Logger({ level: 'silent', format: 'json' }));
    nextId = 1;
  });
  afterEach(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Events that are so many days old, from the oldest to the newest. */
  const fill = (...ages: number[]): Promise<void> =>
    store.transaction((tx) => {
      for (const days of ages) tx.insert(IMMUNE_EVENTS, eventOf(days));
    });
  const eventOf = (days: number): ImmuneEvent => ({
    id: nextId++,
    agent_id: null,
    module: null,
    severity: 'INFO',
    type: 'SELF_HEALING_ACTION',
    message: 'm',
    meta: {},
    created_at: new Date(Date.now() - days * DAY_SECONDS * 1000).toISOString(),
  });
  const left = async (): Promise<number[]> =>
    (await store.list(IMMUNE_EVENTS, { direction: 'asc', limit: 500 })).rows.map((event) => event.id);

  it('forgets what is too old, keeps the rest, and the numbers stay true', async () => {
    await fill(12, 11, 10.01, 9.99, 0.5, 0);
    expect(await retention.sweep()).toBe(3);
    expect(await left()).toEqual([4, 5, 6]);
    expect(await service.health(1440, false)).toMatchObject({ active_issues: 2 });
    expect(await retention.sweep()).toBe(0);
  });

  it('forgets the oldest where there are too many, of one millisecond too', async () => {
    await fill(...Array.from({ length: MAX + 430 }, () => 1));
    expect(await retention.sweep()).toBe(430);
    const { rows, total } = await store.list(IMMUNE_EVENTS, { direction: 'asc', limit: 1 });
    expect([rows[0]?.id, total]).toEqual([431, MAX]);
    expect((await store.counts(IMMUNE_EVENTS)).total).toBe(MAX);
    expect(await retention.sweep()).toBe(0);
  });

  it('is the work of one replica at a time', async () => {
    await fill(11);
    const lease = await store.acquire('immune-retention', 60_000);
    expect(await retention.sweep()).toBe(0);
    if (lease) await store.release(lease);
    expect(await retention.sweep()).toBe(1);
  });
});
