import { silentLogger } from '../../test/support/logs.js';
import { openStore } from '../../test/support/open-store.js';
import { readConfig } from '../config/config.js';
import { DAY_SECONDS } from '../shared/clock.js';
import { runInContext } from '../shared/context.js';
import type { EmbeddedStore } from '../storage/embedded/embedded-store.js';
import { Retention } from '../storage/retention.js';
import { IMMUNE_EVENTS, type StoredImmuneEvent } from './immune.collection.js';
import type { ImmuneSeverity } from './immune.health.js';
import { OLD_IMMUNE_EVENTS } from './immune.retention.js';
import { ImmuneService } from './immune.service.js';

const MAX = 1000;

const config = readConfig({ BRAIN_IMMUNE_RETENTION_DAYS: '10', BRAIN_IMMUNE_MAX_EVENTS: String(MAX) });

describe('the retention of immune events', () => {
  let store: EmbeddedStore;
  let close: () => Promise<void>;
  let service: ImmuneService;
  let retention: Retention<StoredImmuneEvent>;
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
  const eventOf = (days: number, over: Partial<StoredImmuneEvent> = {}): StoredImmuneEvent => ({
    id: nextId++,
    agent_id: null,
    module: null,
    severity: 'INFO',
    type: 'SELF_HEALING_ACTION',
    message: 'm',
    meta: {},
    created_at: new Date(Date.now() - days * DAY_SECONDS * 1000).toISOString(),
    ...over,
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

  describe('if there are too many', () => {
    /** So many reports of one principal, as fast as it can. */
    const flood = async (reporter: string, severity: ImmuneSeverity, count: number): Promise<void> => {
      const actor = { id: reporter, role: 'agent', name: reporter };
      const context = { requestId: 'r', correlationId: 'c', actor };
      const report = { severity, type: 'AGENT_FAILURE', message: 'm' } as const;
      await runInContext(context, async () => {
        for (let i = 0; i < count; i += 50)
          await Promise.all(Array.from({ length: Math.min(50, count - i) }, () => service.report(report)));
      });
    };
    const byReporter = async (severity: ImmuneSeverity): Promise<Record<string, number>> => {
      const counts: Record<string, number> = {};
      let cursor: string | undefined;
      do {
        const page: Awaited<ReturnType<typeof store.list<StoredImmuneEvent>>> = await store.list(
          IMMUNE_EVENTS,
          {
            ...{ where: { severity }, limit: 500, cursor },
          },
        );
        for (const { reported_by = 'none' } of page.rows)
          counts[reported_by] = (counts[reported_by] ?? 0) + 1;
        cursor = page.next ?? undefined;
      } while (cursor !== undefined);
      return counts;
    };

    it('newer harmless events do not push out a CRITICAL one of the last day', async () => {
      await flood('operator', 'CRITICAL', 1);
      await flood('agent', 'INFO', MAX + 300);
      await flood('agent', 'WARNING', 200);
      expect(await retention.sweep()).toBe(501);
      const { status, critical_issues, active_issues, by_severity } = await service.health(1440, false);
      expect({ status, critical_issues, active_issues, by_severity }).toEqual({
        ...{ status: 'critical', critical_issues: 1, active_issues: MAX },
        by_severity: { INFO: MAX - 201, WARNING: 200, CRITICAL: 1 },
      });
      expect(await byReporter('CRITICAL')).toEqual({ operator: 1 });
    });

    it('the oldest go first, and a CRITICAL one that is older than a day is like any other', async () => {
      const critical = { severity: 'CRITICAL' } as const;
      await store.transaction((tx) => {
        for (const days of [3, 2]) tx.insert(IMMUNE_EVENTS, eventOf(days, critical));
        tx.insert(IMMUNE_EVENTS, eventOf(1.5));
        tx.insert(IMMUNE_EVENTS, eventOf(0.9, critical));
        for (let i = 0; i < MAX; i += 1) tx.insert(IMMUNE_EVENTS, eventOf(0.5));
      });
      expect(await retention.sweep()).toBe(4);
      expect((await left()).slice(0, 3)).toEqual([4, 6, 7]);
    });

    it('a flood of CRITICAL events pushes out itself, and not those of others', async () => {
      await flood('operator', 'CRITICAL', 3);
      await flood('agent', 'CRITICAL', MAX + 400);
      await flood('operator', 'CRITICAL', 2);
      expect(await retention.sweep()).toBe(405);
      expect(await byReporter('CRITICAL')).toEqual({ operator: 5, agent: MAX - 5 });
      expect(await service.health(1440, false)).toMatchObject({ active_issues: MAX, critical_issues: MAX });
    });

    it('with nothing but protected events the oldest of them go', async () => {
      for (let n = 0; n < 11; n += 1) await flood(`agent-${n}`, 'CRITICAL', MAX / 10);
      expect(await retention.sweep()).toBe(MAX / 10);
      expect(await byReporter('CRITICAL')).not.toHaveProperty('agent-0');
      expect((await store.counts(IMMUNE_EVENTS)).total).toBe(MAX);
    });
  });
});
