/** What the retention of every domain has in common. What is old, and what goes with it, is in the spec of each domain. */
import { readConfig } from '../src/config/config.js';
import { IMMUNE_EVENTS } from '../src/immune/immune.collection.js';
import { OLD_IMMUNE_EVENTS } from '../src/immune/immune.retention.js';
import { MISSIONS } from '../src/missions/missions.collection.js';
import { ENDED_MISSIONS } from '../src/missions/missions.retention.js';
import { POLICY_REVISIONS } from '../src/policy/admin/policy.collection.js';
import { OLD_REVISIONS } from '../src/policy/admin/retention.js';
import { DAY_SECONDS, nowSeconds } from '../src/shared/clock.js';
import { type OldData, Retention } from '../src/storage/retention.js';
import type { Collection, Store } from '../src/storage/store.js';
import { THREATS } from '../src/threats/threats.collection.js';
import { CLOSED_THREATS } from '../src/threats/threats.retention.js';
import { silentLogger } from './support/logs.js';
import { openStore } from './support/open-store.js';

interface Domain {
  lease: string;
  setting: string;
  old: OldData<never>;
  collection: Collection<object>;
  /** The document with this number, which became old at this time, in Unix seconds. */
  documentAt: (at: number, n: number) => object;
}

/** The tests treat the documents of all domains alike. */
function domain<T>(
  of: Omit<Domain, 'old' | 'collection'> & { old: OldData<T>; collection: Collection<T> },
): Domain {
  return of as unknown as Domain;
}

const DOMAINS = [
  domain({
    lease: 'threats-retention',
    setting: 'BRAIN_THREATS_RETENTION_DAYS',
    old: CLOSED_THREATS,
    collection: THREATS,
    documentAt: (at, n) => ({
      ...{ id: `t${n}`, type: 't', source: 's', severity: 'LOW', status: 'RESOLVED' },
      ...{ created_at: at, last_seen_at: at, opened_at: at, fingerprint: null, mitigated_at: null },
    }),
  }),
  domain({
    lease: 'immune-retention',
    setting: 'BRAIN_IMMUNE_RETENTION_DAYS',
    old: OLD_IMMUNE_EVENTS,
    collection: IMMUNE_EVENTS,
    documentAt: (at, n) => ({
      ...{ id: n + 1, agent_id: null, module: null, severity: 'INFO', type: 'ERROR_SPIKE' },
      ...{ message: 'm', meta: {}, created_at: new Date(at * 1000).toISOString() },
    }),
  }),
  domain({
    lease: 'missions-retention',
    setting: 'BRAIN_MISSIONS_RETENTION_DAYS',
    old: ENDED_MISSIONS,
    collection: MISSIONS,
    documentAt: (at, n) => ({
      ...{ id: `m${n}`, name: 'm', status: 'CANCELLED', created_by: 'u', agent_id: 'u', log_entries: 0 },
      ...{ created_at: at, finished_at: at, due_at: null, held_by: null, outcomes: {} },
    }),
  }),
  domain({
    lease: 'policy-retention',
    setting: 'BRAIN_POLICY_REVISIONS_RETENTION_DAYS',
    old: OLD_REVISIONS,
    collection: POLICY_REVISIONS,
    documentAt: (at, n) => ({
      ...{ policy_id: 'gone', revision: n, at, by: 'u', policy: null, changes: { fields: {}, rules: [] } },
      ...{ set_revision: n, tag: String(n), before: String(n - 1) },
    }),
  }),
];

describe.each(DOMAINS)('$lease', ({ lease, setting, old, collection, documentAt }) => {
  let store: Store;
  let close: () => Promise<void>;
  let retention: Retention<never>;

  beforeEach(async () => {
    ({ store, close } = await openStore());
    store.declare(collection);
    retention = new Retention(old, store, readConfig({ [setting]: '10' }), silentLogger());
  });
  afterEach(() => close());

  /** Adds documents that are so many days old, the oldest first. */
  const fill = (...ages: number[]): Promise<void> =>
    store.transaction((tx) => {
      for (const [n, days] of ages.entries())
        tx.insert(collection, documentAt(nowSeconds() - days * DAY_SECONDS, n));
    });
  const left = async (): Promise<number | undefined> => (await store.counts(collection)).total;

  it('removes what is older than its setting says, and keeps the rest', async () => {
    await fill(12, 10.01, 9.99, 0);
    expect(await retention.sweep()).toBe(2);
    expect(await left()).toBe(2);
    expect(await retention.sweep()).toBe(0);
  });

  it('removes many, in several commits', async () => {
    await fill(...Array.from({ length: 430 }, (_, n) => 1000 - n));
    const commits = jest.spyOn(store, 'transaction');
    expect(await retention.sweep()).toBe(430);
    expect(await left()).toBe(0);
    expect(commits.mock.calls.length).toBeGreaterThan(2);
  });

  it('runs on one replica at a time', async () => {
    await fill(11);
    const held = await store.acquire(lease, 60_000);
    expect(await retention.sweep()).toBe(0);
    if (held) await store.release(held);
    expect(await retention.sweep()).toBe(1);
  });
});
