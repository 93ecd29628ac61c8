/** Reads a page of a list with one call of `scripts/list.lua`. */
import { decode } from '../codec.js';
import { writeCursor } from '../cursor.js';
import { ALL } from '../index-moves.js';
import { readQuery } from '../list-query.js';
import {
  type Collection,
  type ListQuery,
  MAX_CANDIDATES,
  MAX_COUNTED,
  MAX_PAGE_BYTES,
  type Page,
} from '../store.js';
import type { RedisLink } from './link.js';
import { decodeOrder, encodeOrder, ORDER_LENGTH } from './order.js';
import { SCRIPTS } from './scripts.js';

type Answer = [total: number, more: 0 | 1, last: string, ...documents: string[]];

export async function listPage<T>(
  link: RedisLink,
  collection: Collection<T>,
  query: ListQuery,
): Promise<Page<T>> {
  const { keys } = link;
  const { filters, limit, counted, after, ascending } = readQuery(query);
  const sets = filters.map(([name, value]) => keys.rows(collection, name, value));
  if (sets.length === 0) sets.push(keys.rows(collection, ALL, ''));
  const args = [
    collection.name,
    collection.indexVersion,
    keys.document(collection, ''),
    ascending ? 'asc' : 'desc',
    boundOf(query.from),
    boundOf(query.until),
    after === undefined ? '' : encodeOrder(after.order) + after.id,
    limit,
    MAX_CANDIDATES,
    MAX_COUNTED,
    MAX_PAGE_BYTES,
    counted ? 1 : 0,
  ];
  const answer = (await link.script(SCRIPTS.list, [keys.collections, ...sets], args)) as Answer;
  const [total, more, last, ...documents] = answer;
  const rows: T[] = [];
  for (let i = 0; i < documents.length; i += 2) {
    rows.push(decode(collection, documents[i], documents[i + 1]));
  }
  const position = { order: decodeOrder(last), id: last.slice(ORDER_LENGTH) };
  const next = more === 1 && limit > 0 ? writeCursor(position) : null;
  return { rows, total: total < 0 ? null : total, next };
}

/** An infinite bound becomes the largest number, beyond which there are no rows. */
function boundOf(order: number | undefined): string {
  if (order === undefined) return '';
  return encodeOrder(Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, order)));
}
