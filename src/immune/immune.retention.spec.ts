import { silentLogger } from '../../test/support/logs.js';
import { openStore } from '../../test/support/open-store.js';
import { readConfig } from '../config/config.js';
import { DAY_SECONDS } from '../shared/clock.js';
import type { EmbeddedStore } from '../storage/embedded/embedded-store.js';
import { Retention } from '../storage/retention.js';
import { IMMUNE_EVENTS } from './immune.collection.js';
import type { ImmuneEvent } from './immune.dto.js';
import { OLD_IMMUNE_EVENTS } from './immune.retention.js';
import { ImmuneService } from './immune.service.js';

const MAX = 1000;

const config = readConfig({ BRAIN_IMMUNE_RETENTION_DAYS: '10', BRAIN_IMMUNE_MAX_EVENTS: String(MAX) });

describe('the retention of immune events', () => {
  let store: EmbeddedStore;
  let close: () => Promise<void>;
  let service: ImmuneService;
  let retention: Retention<ImmuneEvent>;
  let nextId: number;

  beforeEach(async () => {
    ({ store, close } = await openStore());
    service = new ImmuneService(store, config);
    retention = new Retention(OLD_IMMUNE_EVENTS, store, config, silentLogger());
    nextId = 1;
  });
  afterEach(() => close());

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

  it('removes what is too old, keeps the rest, and keeps the counts correct', async () => {
    await fill(12, 11, 10.01, 9.99, 0.5, 0);
    expect(await retention.sweep()).toBe(3);
    expect(await left()).toEqual([4, 5, 6]);
    expect(await service.health(1440, false)).toMatchObject({ active_issues: 2 });
    expect(await retention.sweep()).toBe(0);
  });

  it('removes the oldest if there are too many, also among events of one millisecond', async () => {
    await fill(...Array.from({ length: MAX + 430 }, () => 1));
    expect(await retention.sweep()).toBe(430);
    const { rows, total } = await store.list(IMMUNE_EVENTS, { direction: 'asc', limit: 1 });
    expect([rows[0]?.id, total]).toEqual([431, MAX]);
    expect((await store.counts(IMMUNE_EVENTS)).total).toBe(MAX);
    expect(await retention.sweep()).toBe(0);
  });
});
