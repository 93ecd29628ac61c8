/** The place in a list after which the next page begins: opaque to users, the same on both stores. */
import { invalid } from '../shared/errors.js';

export interface Place {
  order: number;
  id: string;
}

export function writeCursor(place: Place): string {
  return Buffer.from(JSON.stringify([place.order, place.id])).toString('base64url');
}

export function readCursor(cursor: string): Place {
  try {
    const [order, id] = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')) as [unknown, unknown];
    if (typeof order === 'number' && typeof id === 'string') return { order, id };
  } catch {
    // Falls through to the one answer for whatever is no cursor of ours.
  }
  const detail = 'Take `cursor` from `next_cursor` of the page before, unchanged, or leave it out.';
  throw invalid(detail, [{ pointer: '/cursor', detail, code: 'invalid_cursor' }]);
}
