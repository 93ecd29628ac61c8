/**
 * Removes old revisions of policies. The last revision of each stored policy stays. With the last revision of a deleted
 * policy it also removes the grave.
 */
import { settingsIn } from '../../config/config.js';
import { CHUNK, type OldData } from '../../storage/retention.js';
import type { Page } from '../../storage/store.js';
import { POLICY_SETTINGS } from '../policy.settings.js';
import {
  POLICIES,
  POLICY_GRAVES,
  POLICY_REVISIONS,
  type PolicyRevision,
  revisionId,
} from './policy.collection.js';

export const OLD_REVISIONS: OldData<PolicyRevision> = {
  lease: 'policy-retention',
  what: 'old revisions',
  days: (config) => settingsIn(config, POLICY_SETTINGS).BRAIN_POLICY_REVISIONS_RETENTION_DAYS,

  async *find(store, until) {
    let cursor: string | undefined;
    do {
      const query = { direction: 'asc', limit: CHUNK, cursor } as const;
      const page: Page<PolicyRevision> = await store.list(POLICY_REVISIONS, query);
      // In the order of the writes, up to the first young revision. So a grave is never removed before a revision of its policy.
      const firstYoung = page.rows.findIndex(({ at }) => at >= until);
      const old = firstYoung < 0 ? page.rows : page.rows.slice(0, firstYoung);
      if (old.length > 0) yield old;
      cursor = firstYoung < 0 ? (page.next ?? undefined) : undefined;
    } while (cursor !== undefined);
  },

  /** Reads the policy in the transaction: it may have been deleted or created again since the list was read. */
  async remove(tx, { policy_id, revision }) {
    const id = revisionId(policy_id, revision);
    const policy = await tx.get(POLICIES, policy_id);
    if (policy?.revision === revision || !(await tx.get(POLICY_REVISIONS, id))) return false;
    tx.delete(POLICY_REVISIONS, id);
    const grave = policy ? undefined : await tx.get(POLICY_GRAVES, policy_id);
    if (grave?.revision === revision) tx.delete(POLICY_GRAVES, policy_id);
    return true;
  },
};
