/** How a rotation changes a key, and what its successor is. Pure. */
import type { ApiKey, KeyLists } from './api-key.js';

interface Rotation {
  /** The successor. */
  id: string;
  hash: string;
  created_at: number;
  created_by: string;
  /** The store's time, and how long the old key stays valid beside the new one. */
  latest: number;
  overlapSeconds: number;
}

/** @param lists what the old key may name: a key of an earlier release has them from its role and its name */
export function rotated(
  old: ApiKey,
  lists: KeyLists,
  { latest, overlapSeconds, ...made }: Rotation,
): { before: ApiKey & { expires_at: number }; after: ApiKey & KeyLists } {
  const { name, role, owner = null } = old;
  const lifetime_seconds = lifetimeOf(old);
  const end = latest + overlapSeconds;
  // Never lengthened: a key that ends before the overlap keeps its end.
  const expires_at = old.expires_at === null ? end : Math.min(old.expires_at, end);
  const before = { ...old, expires_at, replaced_by: made.id, lifetime_seconds };
  const expiry = lifetime_seconds === null ? null : latest + lifetime_seconds;
  const who = { name, role, ...lists, owner, rotated_from: old.id };
  return { before, after: { ...made, ...who, expires_at: expiry, lifetime_seconds } };
}

/** Null for a key without an end. */
function lifetimeOf({ lifetime_seconds, created_at, expires_at }: ApiKey): number | null {
  if (lifetime_seconds !== undefined) return lifetime_seconds;
  return expires_at === null ? null : expires_at - created_at;
}
