/**
 * Computes when a mission is due, by the clock of the store. The replicas' own clocks differ: the fastest one would end waits early
 * for all, and set times that the other replicas consider to be in the future.
 */
import type { Store } from '../../storage/store.js';

type Clock = Pick<Store, 'clock'>;

/** The time for a mission that is due at once. Every mission in the index up to this time is due. */
export function dueNow(store: Clock): number {
  return store.clock().earliest;
}

/** A time that is reached no earlier than this many seconds from now. */
export function dueIn(store: Clock, seconds: number): number {
  return store.clock().latest + seconds;
}
