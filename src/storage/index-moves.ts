/** How a change of a document changes the indexes and counters of its collection. The same for both backends. */
import type { AnyCollection } from './plan.js';
import type { Collection, IndexEntry } from './store.js';

/** The row of a document in one index, before and after the change. */
export interface IndexMove {
  name: string;
  from: IndexEntry | null;
  to: IndexEntry | null;
}

/** The name of the index that has every document. */
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

export function indexNames(collection: AnyCollection): string[] {
  return [ALL, ...Object.keys(collection.indexes ?? {})];
}

function indexEntries<T>(collection: Collection<T>, doc: T): Record<string, IndexEntry | null> {
  const order = collection.order?.(doc) ?? 0;
  const entries: Record<string, IndexEntry | null> = { [ALL]: { value: '', order } };
  for (const [name, of] of Object.entries(collection.indexes ?? {})) {
    const entry = of(doc);
    entries[name] = typeof entry === 'string' ? { value: entry, order } : entry;
  }
  return entries;
}

/** The changes of the counters. A counter that stays as it is is left out. */
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
