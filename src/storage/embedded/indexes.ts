/** Ordered indexes and counters of the embedded store. Its commits write them, and its lists walk them. */
import { digest } from '../../shared/ids.js';
import { decode } from '../codec.js';
import { type RowPosition, writeCursor } from '../cursor.js';
import { ALL, countDeltas, indexMoves } from '../index-moves.js';
import { type ReadQuery, readQuery } from '../list-query.js';
import type { AnyCollection } from '../plan.js';
import {
  type Collection,
  type ListQuery,
  MAX_CANDIDATES,
  MAX_COUNTED,
  MAX_PAGE_BYTES,
  type Page,
} from '../store.js';
import type { EmbeddedDatabase, Key } from './database.js';

/** The most rows that one commit builds or clears, so that no commit blocks the event loop for long. */
const CHUNK = 1000;

interface Walk {
  rows: Key;
  size: number;
  others: Key[];
  from: number;
  until: number;
  bounded: boolean;
  /** The width of the counted ranges, if the index has any. */
  rangeWidth?: number;
  ascending: boolean;
}

/** Sorts after every id. */
const LAST = '\u{10ffff}';

export function under(prefix: Key): { start: Key; end: Key } {
  return { start: prefix, end: [...prefix, LAST] };
}

function rowsOf(collection: AnyCollection, name: string, value: string): Key {
  return [collection.name, collection.indexVersion, name, name === ALL ? '' : digest(value)];
}

/** The counter of the rows in one counted range: those whose order value, divided by the width, has the same whole part. */
function rangeCounterOf(rows: Key, order: number, width: number): Key {
  return [...rows, Math.floor(order / width)];
}

function boundsOf({ from, until }: ListQuery): Pick<Walk, 'from' | 'until' | 'bounded'> {
  return {
    from: from ?? -Number.MAX_VALUE,
    until: until ?? Number.MAX_VALUE,
    bounded: from !== undefined || until !== undefined,
  };
}

export class EmbeddedIndex {
  constructor(private readonly db: EmbeddedDatabase) {}

  /** Moves the index rows of a changed document and updates the counters. Only inside a commit. */
  move(collection: AnyCollection, id: string, before: unknown, after: unknown): void {
    for (const { name, from, to } of indexMoves(collection, before, after)) {
      const rangeWidth = collection.countedRanges?.[name];
      const sameValue = from && to && from.value === to.value;
      if (from) {
        const rows = rowsOf(collection, name, from.value);
        this.db.index.removeSync([...rows, from.order, id]);
        if (rangeWidth) this.addToCounter(rangeCounterOf(rows, from.order, rangeWidth), -1);
        if (!sameValue) this.addToCounter(rows, -1);
      }
      if (to) {
        const rows = rowsOf(collection, name, to.value);
        this.db.index.putSync([...rows, to.order, id], '');
        if (rangeWidth) this.addToCounter(rangeCounterOf(rows, to.order, rangeWidth), 1);
        if (!sameValue) this.addToCounter(rows, 1);
      }
    }
    for (const [name, delta] of Object.entries(countDeltas(collection, before, after))) {
      this.addToCounter([collection.name, collection.indexVersion, 'count', name], delta);
    }
  }

  private addToCounter(key: Key, delta: number): void {
    const sum = (this.db.counts.get(key) ?? 0) + delta;
    if (sum === 0) this.db.counts.removeSync(key);
    else this.db.counts.putSync(key, sum);
  }

  async list<T>(collection: Collection<T>, query: ListQuery): Promise<Page<T>> {
    const { filters, limit, counted, after, ascending } = readQuery(query);
    const walk = { ...this.walkOf(collection, filters), ...boundsOf(query), ascending };
    const { rows, last, more } = this.rowsOfPage(collection, walk, limit, after);
    const total = counted ? await this.totalOf(walk) : null;
    return { rows, total, next: more && last ? writeCursor(last) : null };
  }

  private rowsOfPage<T>(
    collection: Collection<T>,
    walk: Walk,
    limit: number,
    after: RowPosition | undefined,
  ): { rows: T[]; last?: RowPosition; more: boolean } {
    const rows: T[] = [];
    let last: RowPosition | undefined;
    let read = 0;
    let bytes = 0;
    const most = walk.others.length === 0 ? limit : MAX_CANDIDATES;
    for (const position of this.rowsIn(walk, after, most + 1)) {
      if (rows.length === limit || read === most) return { rows, last, more: true };
      read += 1;
      const passes = walk.others.every((other) =>
        this.db.index.doesExist([...other, position.order, position.id]),
      );
      const json = passes ? this.db.docs.get([collection.name, position.id]) : undefined;
      bytes += json === undefined ? 0 : Buffer.byteLength(json);
      if (rows.length > 0 && bytes > MAX_PAGE_BYTES) return { rows, last, more: true };
      last = position;
      if (json !== undefined) rows.push(decode(collection, position.id, json));
    }
    return { rows, last, more: false };
  }

  /** The number of rows with one value of an index. */
  rowCount(collection: AnyCollection, name: string, value: string): number {
    return this.db.counts.get(rowsOf(collection, name, value)) ?? 0;
  }

  counts(collection: AnyCollection): Record<string, number> {
    const prefix = [collection.name, collection.indexVersion, 'count'];
    const counts: Record<string, number> = {};
    for (const { key, value } of this.db.counts.getRange(under(prefix))) counts[String(key[3])] = value;
    return { total: 0, ...counts };
  }

  /** Rebuilds the indexes and unique values if their version is not that of the declaration. */
  async prepare(collection: AnyCollection): Promise<void> {
    const marker = ['index-version', collection.name];
    const version = String(collection.indexVersion);
    if (this.db.meta.get(marker) === version) return;
    await this.clear(this.db.index, [collection.name]);
    await this.clear(this.db.counts, [collection.name]);
    await this.clear(this.db.uniques, [collection.name]);
    let after: Key = [collection.name];
    for (;;) {
      const range = { ...under([collection.name]), start: after, exclusiveStart: true, limit: CHUNK };
      const chunk = [...this.db.docs.getRange(range)];
      const last = chunk.at(-1);
      if (!last) break;
      await this.db.commit(() => {
        for (const { key, value } of chunk) {
          const id = String(key[1]);
          const doc: unknown = decode(collection, id, value);
          this.move(collection, id, undefined, doc);
          this.claimUniques(collection, id, doc);
        }
      });
      after = last.key;
    }
    await this.db.commit(() => this.db.meta.putSync(marker, version));
  }

  /** The first document with a unique value keeps it. */
  private claimUniques(collection: AnyCollection, id: string, doc: unknown): void {
    for (const [name, valueIn] of Object.entries(collection.unique ?? {})) {
      const value = valueIn(doc);
      if (value === null) continue;
      const key = [collection.name, name, digest(value)];
      if (!this.db.uniques.doesExist(key)) this.db.uniques.putSync(key, id);
    }
  }

  private async clear(table: EmbeddedDatabase['index' | 'counts' | 'uniques'], prefix: Key): Promise<void> {
    for (;;) {
      const keys = [...table.getKeys({ ...under(prefix), limit: CHUNK })];
      if (keys.length === 0) return;
      const remove = (): void => {
        for (const key of keys) table.removeSync(key);
      };
      await this.db.commit(remove, 'none');
    }
  }

  /** Walks the rows of the rarest filter, and looks up each row in the others. */
  private walkOf(
    collection: AnyCollection,
    filters: ReadQuery['filters'],
  ): Pick<Walk, 'rows' | 'size' | 'others' | 'rangeWidth'> {
    const sets = filters.map(([name, value]) => rowsOf(collection, name, value));
    if (sets.length === 0) sets.push(rowsOf(collection, ALL, ''));
    const sized = sets
      .map((rows) => ({ rows, size: this.db.counts.get(rows) ?? 0 }))
      .sort((a, b) => a.size - b.size);
    const [{ rows, size }, ...others] = sized;
    // With several filters the rows are walked one by one, so only a single filter can use counted ranges.
    const rangeWidth = filters.length === 1 ? collection.countedRanges?.[filters[0][0]] : undefined;
    return { rows, size, others: others.map((other) => other.rows), rangeWidth };
  }

  /** The rows between the bounds of the walk, in its direction, after the row `after`. */
  private *rowsIn(walk: Walk, after: RowPosition | undefined, limit: number): Generator<RowPosition> {
    const low: Key = [...walk.rows, walk.from];
    const high: Key = [...walk.rows, walk.until, LAST];
    const last = after && [...walk.rows, after.order, after.id];
    const exclusiveStart = last !== undefined;
    const range = walk.ascending
      ? { start: last ?? low, end: high, exclusiveStart }
      : { start: last ?? high, end: low, reverse: true, exclusiveStart, inclusiveEnd: true };
    for (const key of this.db.index.getKeys({ ...range, limit })) {
      const [order, id] = key.slice(-2) as [number, string];
      yield { order, id };
    }
  }

  private async totalOf(walk: Walk): Promise<number | null> {
    if (walk.others.length === 0 && !walk.bounded) return walk.size;
    if (walk.others.length === 0) return this.totalWithin(walk);
    if (walk.size > MAX_COUNTED) return null;
    let total = 0;
    for (const { order, id } of this.rowsIn({ ...walk, ascending: true }, undefined, MAX_COUNTED)) {
      if (walk.others.every((other) => this.db.index.doesExist([...other, order, id]))) total += 1;
    }
    return total;
  }

  /** The engine walks keys to count them. With counted ranges it walks only the two at the bounds, and adds up those between. */
  private totalWithin({ rows, from, until, rangeWidth }: Walk): number {
    const walked = (start: Key, end: Key): number => this.db.index.getKeysCount({ start, end });
    const start = [...rows, from];
    const end = [...rows, until, LAST];
    if (rangeWidth === undefined) return walked(start, end);
    const first = Math.floor(from / rangeWidth) + 1;
    const last = Math.floor(until / rangeWidth);
    if (first >= last) return walked(start, end);
    let total = walked(start, [...rows, first * rangeWidth]) + walked([...rows, last * rangeWidth], end);
    for (const { value } of this.db.counts.getRange({ start: [...rows, first], end: [...rows, last] })) {
      total += value;
    }
    return total;
  }
}
