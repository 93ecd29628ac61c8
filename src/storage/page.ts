/**
 * A page of a list as an answer: bounded in rows and in bytes, with only the members that were asked for. All lists of the API
 * are made here.
 */
import { writeCursor } from './cursor.js';
import {
  type Collection,
  DEFAULT_PAGE,
  type ListQuery,
  MAX_PAGE_BYTES,
  type Page,
  type Store,
} from './store.js';

/**
 * One step reads up to `MAX_PAGE_BYTES`. Rows without their large members are small, so several steps make a page. This bounds
 * what is read for one answer.
 */
const MAX_STEPS = 4;

/** What a row of the answer has of its document. */
export interface RowShape<T> {
  /** The resource that the API shows for a document. */
  of: (doc: T) => object;
  /** The names of the members that stay. */
  members: readonly string[];
}

/** Filters must be indexes whose rows have the order of the collection, because the page may end between two steps. */
export async function pageOf<T, R>(
  store: Store,
  collection: Collection<T>,
  query: ListQuery,
  { of, members }: RowShape<T>,
): Promise<Page<R>> {
  const { limit = DEFAULT_PAGE } = query;
  const rows: R[] = [];
  let total: number | null = null;
  let next = query.cursor ?? null;
  let bytes = 0;
  for (let step = 1; ; step += 1) {
    const cursor = next ?? undefined;
    const left = limit - rows.length;
    const read: Page<T> = await store.list(collection, {
      ...query,
      limit: left,
      cursor,
      counted: step === 1,
    });
    if (step === 1) total = read.total;
    for (const doc of read.rows) {
      const row = pick(of(doc), members);
      bytes += Buffer.byteLength(JSON.stringify(row));
      if (rows.length > 0 && bytes > MAX_PAGE_BYTES) return { rows, total, next };
      rows.push(row as R);
      next = writeCursor({ order: collection.order?.(doc) ?? 0, id: collection.id(doc) });
    }
    next = read.next;
    if (next === null || rows.length >= limit || step === MAX_STEPS) return { rows, total, next };
  }
}

function pick(resource: object, members: readonly string[]): object {
  const all = resource as Record<string, unknown>;
  return Object.fromEntries(
    members.filter((name) => Object.hasOwn(all, name)).map((name) => [name, all[name]]),
  );
}
