/** Reading the policies into memory during other writes, on a real store. */
import { silentLogger } from '../../../test/support/logs.js';
import { type OpenStore, openStore } from '../../../test/support/open-store.js';
import { type Config, readConfig } from '../../config/config.js';
import { EmbeddedStore } from '../../storage/embedded/embedded-store.js';
import type { Collection, ListQuery, Page } from '../../storage/store.js';
import { PolicyEditor } from '../admin/editor.js';
import { CURRENT, POLICIES, POLICY_REVISIONS, POLICY_SET } from '../admin/policy.collection.js';
import { decide } from '../engine/decide.js';
import { SnapshotCache } from './snapshot-cache.js';

const by = 'somebody';
const allowing = (action: string) => [
  {
    name: action,
    effect: 'allow',
    priority: 2000,
    conditions: [{ field: 'action', operator: '==', value: action }],
  },
];

/** Runs a hook between each page of policies and the next read of the set. */
class RestlessStore extends EmbeddedStore {
  meanwhile?: () => Promise<unknown>;

  override async list<T>(collection: Collection<T>, query: ListQuery): Promise<Page<T>> {
    const page = await super.list(collection, query);
    if (collection.name === POLICIES.name) await this.meanwhile?.();
    return page;
  }
}

describe('the policies in memory', () => {
  let opened: OpenStore<RestlessStore>;
  let store: RestlessStore;
  let editor: PolicyEditor;
  let config: Config;
  let snapshots: SnapshotCache;

  beforeEach(async () => {
    opened = await openStore(RestlessStore);
    store = opened.store;
    config = readConfig({});
    editor = new PolicyEditor(store, config);
    snapshots = new SnapshotCache(store, config, editor, silentLogger());
  });
  afterEach(async () => {
    snapshots.onModuleDestroy();
    await opened.close();
  });

  const may = (action: string): boolean =>
    decide(snapshots.current().snapshot, { agent_id: 'a', action }).allowed;

  it('are those of the last write, even if others write before every read', async () => {
    await editor.create({ policy_id: 'changed', name: 'changed', rules: allowing('before') }, { by });
    await editor.create({ policy_id: 'removed', name: 'removed', rules: allowing('gone') }, { by });
    let writes = 0;
    store.meanwhile = async () => {
      writes += 1;
      if (writes === 1) await editor.remove('removed', { by });
      await editor.update('changed', { rules: allowing(`write.${writes}`) }, { by });
      await editor.create(
        { policy_id: `made_${writes}`, name: 'made', rules: allowing(`made.${writes}`) },
        { by },
      );
    };
    await snapshots.onModuleInit();
    expect(writes).toBe(1);
    expect(['before', 'gone', 'write.1', 'made.1'].map(may)).toEqual([false, false, true, true]);
    expect(snapshots.revision).toBe((await store.get(POLICY_SET, CURRENT))?.revision);
  });

  it('are unknown while a change is missing, and are read as soon as all changes are there', async () => {
    await editor.create({ policy_id: 'p', name: 'p', rules: allowing('work') }, { by });
    let looks = 0;
    store.meanwhile = async () => {
      looks += 1;
      await editor.update('p', { description: String(looks) }, { by });
      // As if there were too many changes, or changes of another history, or as if they were too old.
      await store.transaction(async (tx) => {
        const { rows } = await store.list(POLICY_REVISIONS, { limit: 1 });
        for (const { policy_id, revision } of rows) {
          const id = `${policy_id}/${revision}`;
          await tx.get(POLICY_REVISIONS, id);
          tx.delete(POLICY_REVISIONS, id);
        }
      });
    };
    await snapshots.onModuleInit();
    expect(looks).toBeGreaterThan(0);
    expect(() => snapshots.current()).toThrow(expect.objectContaining({ code: 'policies_unknown' }));
    store.meanwhile = undefined;
    expect(await snapshots.waitFor(1, 10_000)).toBe(true);
    expect(may('work')).toBe(true);
    expect(may('play')).toBe(false);
  });
});
