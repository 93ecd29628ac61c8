/** A cursor is the position of the row in a list after which the next page begins. Users must not interpret it; both backends use the same. */
import { type BrainError, invalid } from '../shared/errors.js';

/** Where a row is in a list. */
export interface RowPosition {
  order: number;
  id: string;
}

export function writeCursor({ order, id }: RowPosition): string {
  return Buffer.from(JSON.stringify([order, id])).toString('base64url');
}

/** For lists of entries, which have no order value: the number of entries before the page. */
export function readOffset(cursor: string | undefined): number {
  if (cursor === undefined) return 0;
  const { order } = readCursor(cursor);
  if (!Number.isSafeInteger(order) || order < 0) throw noCursor();
  return order;
}

export function readCursor(cursor: string): RowPosition {
  try {
    const [order, id] = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')) as [unknown, unknown];
    if (Number.isFinite(order) && typeof id === 'string') return { order: order as number, id };
  } catch {
    // Anything that is not a cursor gets the same error below.
  }
  throw noCursor();
}

function noCursor(): BrainError {
  const detail =
    'This is not a cursor. Send `next_cursor` of the previous page unchanged, or leave `cursor` out.';
  return invalid(detail, [{ pointer: '/cursor', detail, code: 'invalid_cursor' }]);
}
