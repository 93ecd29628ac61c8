/** Threats that an earlier release has stored: their fingerprints were unique by themselves, and no report was kept. */
import { type OpenStore, openRedisStore, openStore } from '../../test/support/open-store.js';
import { openClient } from '../../test/support/redis-clients.js';
import { readConfig } from '../config/config.js';
import type { Collection, Store } from '../storage/store.js';
import { type StoredThreat, THREATS } from './threats.collection.js';
import { isClosed } from './threats.lifecycle.js';
import { ThreatsService } from './threats.service.js';

const { open_by: _, ...indexes } = THREATS.indexes as Record<string, (threat: StoredThreat) => string>;
const OLD: Collection<StoredThreat> = {
  ...THREATS,
  indexVersion: 1,
  unique: { open_fingerprint: ({ status, fingerprint }) => (isClosed(status) ? null : fingerprint) },
  indexes,
};
const old = {
  ...{
    id: 'old',
    type: 't',
    source: 's',
    severity: 'LOW',
    status: 'OPEN',
    description: 'first',
    metadata: {},
  },
  ...{
    created_at: 1,
    last_seen_at: 1,
    occurrences: 7,
    fingerprint: 'f',
    resolution: null,
    mitigated_at: null,
  },
  ...{ opened_at: 1, version: 7 },
} as unknown as StoredThreat;

interface Upgraded {
  store: Store;
  /** A store of the new release on the same data. */
  upgrade: () => Promise<Store>;
  close: () => Promise<void>;
}

async function onEmbedded(): Promise<Upgraded> {
  let opened: OpenStore = await openStore();
  const upgrade = async (): Promise<Store> => {
    opened = await opened.reopen();
    return opened.store;
  };
  return { store: opened.store, upgrade, close: () => opened.close() };
}

async function onRedis(): Promise<Upgraded> {
  const { server, client, close } = await openRedisStore();
  const next = openClient({ url: server.url });
  const closeBoth = async (): Promise<void> => {
    await next.store.close();
    await close();
  };
  return { store: client.store, upgrade: async () => next.store, close: closeBoth };
}

describe.each([
  ['the embedded store', onEmbedded],
  ['Redis', onRedis],
])('a threat of an earlier release on %s', (_name, start) => {
  it('is found by its type, source and fingerprint, keeps new reports, and counts for no reporter', async () => {
    const { store, upgrade, close } = await start();
    store.declare(OLD);
    await store.transaction((tx) => tx.insert(OLD, old));
    expect((await store.getUnique(OLD, 'open_fingerprint', 'f'))?.id).toBe('old');

    const service = new ThreatsService(await upgrade(), readConfig({ BRAIN_THREATS_MAX_OPEN: '1' }));
    expect((await service.get('old')).reports).toEqual([]);
    const again = { type: 't', source: 's', severity: 'HIGH', fingerprint: 'f', metadata: { n: 8 } } as const;
    const { threat, created } = await service.report(again);
    expect([created, threat]).toEqual([
      false,
      expect.objectContaining({ id: 'old', occurrences: 8, severity: 'HIGH', description: 'first' }),
    ]);
    expect((await service.get('old')).reports).toEqual([
      expect.objectContaining({ occurrence: 8, severity: 'HIGH', metadata: { n: 8 } }),
    ]);
    expect((await service.report({ ...again, source: 'other' })).created).toBe(true);
    await expect(service.report({ ...again, source: 'third' })).rejects.toMatchObject({
      code: 'too_many_open_threats',
    });
    await service.changeStatus('old', { status: 'RESOLVED' });
    await close();
  });
});
