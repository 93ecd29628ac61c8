/** Reads a `ListQuery` in the same way for both backends: defaults, limits, and the row after which the page begins. */
import { type RowPosition, readCursor } from './cursor.js';
import { DEFAULT_PAGE, type ListQuery, MAX_PAGE } from './store.js';

export interface ReadQuery {
  /** The name of an index, and the value that its rows must have. */
  filters: [name: string, value: string][];
  limit: number;
  counted: boolean;
  after: RowPosition | undefined;
  ascending: boolean;
}

export function readQuery({
  where = {},
  limit = DEFAULT_PAGE,
  counted = true,
  cursor,
  direction,
}: ListQuery): ReadQuery {
  const filters: ReadQuery['filters'] = [];
  for (const [name, value] of Object.entries(where)) if (value !== undefined) filters.push([name, value]);
  return {
    filters,
    limit: Math.min(limit, MAX_PAGE),
    counted,
    after: cursor === undefined ? undefined : readCursor(cursor),
    ascending: direction === 'asc',
  };
}
