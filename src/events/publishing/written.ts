/** What this process has written into the log lately: up to where, and how old the events are that stand there. */
import { comparePositions, splitPosition } from '../../storage/event-log.js';

/** What was written within so long counts as one. */
const STRETCH_MS = 500;
const MAX_STRETCHES = 1000;
/** An event that rides in a transaction is so old at the most when it is committed. */
export const RIDE_SECONDS = 2;

interface Stretch {
  last: string;
  oldest: number;
}

export class Written {
  private readonly stretches: Stretch[] = [];
  private handedOverAt = Number.NEGATIVE_INFINITY;

  /** A batch: the position of its last event, and the earliest time that one of its events carries, or tells to be missing. */
  add(last: string, oldest: number): void {
    const latest = this.stretches.at(-1);
    const near = latest && Math.abs(splitPosition(last)[0] - splitPosition(latest.last)[0]) < STRETCH_MS;
    if (!near) this.stretches.push({ last, oldest });
    else Object.assign(latest, { last, oldest: Math.min(latest.oldest, oldest) });
    if (this.stretches.length <= MAX_STRETCHES) return;
    // The two oldest become one, so that what is known of them stays true.
    const [gone] = this.stretches.splice(0, 1);
    this.stretches[0].oldest = Math.min(this.stretches[0].oldest, gone.oldest);
  }

  /** An event of this time was handed to a transaction. */
  handedOver(timestamp: number): void {
    this.handedOverAt = Math.max(this.handedOverAt, timestamp);
  }

  /**
   * The earliest time that an event of this process behind this position may carry, or `RIDE_SECONDS` before the position, whichever
   * is earlier; nothing where there may be none.
   */
  oldestBehind(position: string): number | undefined {
    const sinceSeconds = splitPosition(position)[0] / 1000 - RIDE_SECONDS;
    const behind = this.stretches.filter(({ last }) => comparePositions(last, position) > 0);
    const times = behind.map(({ oldest }) => oldest);
    if (this.handedOverAt >= sinceSeconds) times.push(this.handedOverAt);
    return times.length === 0 ? undefined : Math.min(...times);
  }
}
