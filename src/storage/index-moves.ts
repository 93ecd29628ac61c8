/** What changes in the indexes and counters of a collection when a document does; the same for both backends. */
import type { Collection, IndexEntry } from './store.js';

// biome-ignore lint/suspicious/noExplicitAny: documents of many collections.
type Any = any;

/** What changes in the indexes and counters of a collection when one document becomes another. */
export interface IndexMove {
  name: string;
  from: IndexEntry | null;
  to: IndexEntry | null;
}

/** Every document stands in the index of all under this name. */
export const ALL = '*';

export function indexMoves<T>(
  collection: Collection<T>,
  before: T | undefined,
  after: T | undefined,
): IndexMove[] {
  const moves: IndexMove[] = [];
  const from = before === undefined ? {} : indexEntries(collection, before);
  const to = after === undefined ? {} : indexEntries(collection, after);
  for (const name of indexNames(collection)) {
    const old = from[name] ?? null;
    const now = to[name] ?? null;
    if (old?.value === now?.value && old?.order === now?.order) continue;
    moves.push({ name, from: old, to: now });
  }
  return moves;
}

export function indexNames(collection: Collection<Any>): string[] {
  return [ALL, ...Object.keys(collection.indexes ?? {})];
}

function indexEntries<T>(collection: Collection<T>, doc: T): Record<string, IndexEntry | null> {
  const order = collection.order(doc);
  const entries: Record<string, IndexEntry | null> = { [ALL]: { value: '', order } };
  for (const [name, of] of Object.entries(collection.indexes ?? {})) {
    const entry = of(doc);
    entries[name] = typeof entry === 'string' ? { value: entry, order } : entry;
  }
  return entries;
}

/** The counters that change, by how much; those that stay are left out. */
export function countDeltas<T>(
  collection: Collection<T>,
  before: T | undefined,
  after: T | undefined,
): Record<string, number> {
  const deltas: Record<string, number> = {};
  for (const [doc, sign] of [
    [before, -1],
    [after, 1],
  ] as const) {
    if (doc === undefined) continue;
    for (const [name, amount] of Object.entries({ total: 1, ...collection.counts?.(doc) })) {
      deltas[name] = (deltas[name] ?? 0) + sign * amount;
    }
  }
  for (const name of Object.keys(deltas)) if (deltas[name] === 0) delete deltas[name];
  return deltas;
}
