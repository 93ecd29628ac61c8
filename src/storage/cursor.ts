/** The place in a list after which the next page begins: opaque to users, the same on both stores. */
import { type BrainError, invalid } from '../shared/errors.js';

export interface Place {
  order: number;
  id: string;
}

export function writeCursor(place: Place): string {
  return Buffer.from(JSON.stringify([place.order, place.id])).toString('base64url');
}

/** The number of entries before the page, where entries are only counted. */
export function readOffset(cursor: string | undefined): number {
  if (cursor === undefined) return 0;
  const { order } = readCursor(cursor);
  if (!Number.isSafeInteger(order) || order < 0) throw noCursor();
  return order;
}

export function readCursor(cursor: string): Place {
  try {
    const [order, id] = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')) as [unknown, unknown];
    if (Number.isFinite(order) && typeof id === 'string') return { order: order as number, id };
  } catch {
    // Falls through to the one answer for whatever is no cursor of ours.
  }
  throw noCursor();
}

function noCursor(): BrainError {
  const detail = 'Take `cursor` from `next_cursor` of the page before, unchanged, or leave it out.';
  return invalid(detail, [{ pointer: '/cursor', detail, code: 'invalid_cursor' }]);
}
