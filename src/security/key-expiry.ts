/**
 * Reports each key that has expired, once over all replicas. The event and the mark on the key are one commit. So an end that
 * comes while no replica runs is reported by the first one that does.
 */
import type { EventStream } from '../events/event-stream.js';
import { CHUNK, type OldData, untilEmpty } from '../storage/retention.js';
import { keyExpired } from './access.events.js';
import { type ApiKey, KEYS, UNREPORTED } from './api-key.js';

/** With the first sweep 30 s after the start, an end is reported within a minute. */
const EVERY_MS = 30_000;

export function expiredKeys(events?: EventStream): OldData<ApiKey> {
  return {
    lease: 'key-expiry',
    what: 'expired API keys',
    done: 'reported',
    everyMs: EVERY_MS,
    days: () => 0,

    find(store, until) {
      const query = { where: { expiry: UNREPORTED }, until, direction: 'asc', limit: CHUNK } as const;
      return untilEmpty(async () => (await store.list(KEYS, query)).rows);
    },

    /** Reads the key again, because it may have been revoked or reported since it was listed. */
    async remove(tx, { id }, until) {
      const key = await tx.get(KEYS, id);
      if (!key || key.expiry_reported || key.expires_at === null || key.expires_at > until) return false;
      tx.put(KEYS, { ...key, expiry_reported: true });
      events?.publish(keyExpired(key, key.expires_at), tx);
      return true;
    },
  };
}
