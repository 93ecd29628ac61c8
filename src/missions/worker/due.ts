/**
 * When a mission is due, by the time of the store. Each replica has a wall clock of its own: by those, a wait would end when the
 * fastest of them says so, and what the fastest makes due would be taken by nobody else.
 */
import type { Store } from '../../storage/store.js';

type Clock = Pick<Store, 'clock'>;

/** What is due now, and up to where what is due stands in the index. */
export function dueNow(store: Clock): number {
  return store.clock().earliest;
}

/** Not before so many seconds are over. */
export function dueIn(store: Clock, seconds: number): number {
  return store.clock().latest + seconds;
}
