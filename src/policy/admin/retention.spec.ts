import { silentLogger } from '../../../test/support/logs.js';
import { openStore } from '../../../test/support/open-store.js';
import { ruleOf } from '../../../test/support/policies.js';
import { readConfig } from '../../config/config.js';
import { DAY_SECONDS } from '../../shared/clock.js';
import type { EmbeddedStore } from '../../storage/embedded/embedded-store.js';
import { Retention } from '../../storage/retention.js';
import { SnapshotCache } from '../decisions/snapshot-cache.js';
import { PolicyEditor } from './editor.js';
import { PolicyImporter } from './importer.js';
import { RevisionQuery } from './policies.dto.js';
import { POLICY_GRAVES, POLICY_REVISIONS, type PolicyRevision } from './policy.collection.js';
import { PolicyReader } from './policy-reader.js';
import { OLD_REVISIONS } from './retention.js';

const by = 'somebody';

const config = readConfig({ BRAIN_POLICY_REVISIONS_RETENTION_DAYS: '10' });

describe('the retention of revisions', () => {
  let store: EmbeddedStore;
  let close: () => Promise<void>;
  let editor: PolicyEditor;
  let retention: Retention<PolicyRevision>;

  beforeEach(async () => {
    ({ store, close } = await openStore());
    editor = new PolicyEditor(store, config);
    retention = new Retention(OLD_REVISIONS, store, config, silentLogger());
  });
  afterEach(() => close());

  const ago = async <T>(days: number, work: () => Promise<T>): Promise<T> => {
    const { now } = Date;
    const clock = jest.spyOn(Date, 'now').mockImplementation(() => now() - days * DAY_SECONDS * 1000);
    try {
      return await work();
    } finally {
      clock.mockRestore();
    }
  };
  const kept = async (): Promise<string[]> => {
    const { rows } = await store.list(POLICY_REVISIONS, { limit: 500 });
    const ours = rows.filter(({ by: author }) => author === by);
    return ours.map(({ policy_id, revision }) => `${policy_id}/${revision}`).sort();
  };

  it('removes old revisions, but not the last revision of a stored policy', async () => {
    await ago(11, async () => {
      await editor.create({ policy_id: 'old', name: 'old' }, { by });
      await editor.update('old', { name: 'older' }, { by });
      await editor.create({ policy_id: 'changed', name: 'changed' }, { by });
      await editor.create({ policy_id: 'gone', name: 'gone' }, { by });
      await editor.remove('gone', { by });
    });
    await ago(9, () => editor.update('changed', { name: 'new' }, { by }));
    expect(await retention.sweep()).toBe(4);
    expect(await kept()).toEqual(['changed/2', 'old/2']);
    expect((await new PolicyReader(store).revisions('old', new RevisionQuery())).rows).toHaveLength(1);
    await expect(editor.rollback('gone', 1, { by })).rejects.toMatchObject({ code: 'policy_not_found' });
    expect(await retention.sweep()).toBe(0);
  });

  it('keeps the grave as long as it keeps a revision of the policy', async () => {
    await ago(11, () => editor.create({ policy_id: 'gone', name: 'gone' }, { by }));
    await ago(9, () => editor.remove('gone', { by }));
    expect(await retention.sweep()).toBe(1);
    expect(await kept()).toEqual(['gone/2']);
    expect(await store.get(POLICY_GRAVES, 'gone')).toMatchObject({ revision: 2 });
    expect((await editor.create({ policy_id: 'gone', name: 'anew' }, { by })).policy.revision).toBe(3);
  });

  it('starts a policy at revision 1 again once all its revisions are removed', async () => {
    await ago(12, () => editor.create({ policy_id: 'gone', name: 'gone' }, { by }));
    await ago(11, () => editor.remove('gone', { by }));
    expect(await retention.sweep()).toBe(2);
    expect(await store.get(POLICY_GRAVES, 'gone')).toBeUndefined();
    expect((await editor.create({ policy_id: 'gone', name: 'anew' }, { by })).policy.revision).toBe(1);
  });

  it('removes many, page by page', async () => {
    await ago(11, async () => {
      await editor.create({ policy_id: 'often', name: '0' }, { by });
      for (let i = 1; i < 230; i += 1) await editor.update('often', { name: String(i) }, { by });
    });
    expect(await retention.sweep()).toBe(229);
    expect(await kept()).toEqual(['often/230']);
  });

  it('leaves a replica with the right policies, although it missed removed revisions', async () => {
    const decides = { effect: 'allow' } as const;
    const snapshots = new SnapshotCache(store, config, editor, silentLogger());
    await ago(13, async () => {
      for (const policy_id of ['kept', 'gone']) {
        await editor.create(
          { policy_id, name: policy_id, rules: [ruleOf({ rule_id: policy_id, ...decides })] },
          { by },
        );
      }
    });
    // It reads once and then follows no more changes.
    await snapshots.onModuleInit();
    snapshots.onModuleDestroy();
    // One write deletes a policy and changes another: the deletion is removed, the change is kept.
    const policies = [{ policy_id: 'kept', name: 'changed', rules: [] }];
    const importer = new PolicyImporter(store, editor, new PolicyReader(store));
    await ago(11, () => importer.import(policies, { mode: 'replace', dryRun: false, by }));
    await retention.sweep();
    expect(await kept()).toEqual(['kept/2']);
    expect([...snapshots.current().snapshot.units.keys()]).toContain('gone');
    await snapshots.refresh();
    const { snapshot } = snapshots.current();
    expect([...snapshot.units.keys()]).toEqual(['kept']);
    expect(snapshot.rules).toEqual([]);
  });
});
