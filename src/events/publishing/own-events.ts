/** Remembers what this process has recently written to the log: up to which position, and how old those events are. */
import { comparePositions, splitPosition } from '../../storage/event-log.js';

/** Writes within this time are remembered as one range. */
const RANGE_MS = 500;
const MAX_RANGES = 1000;
/** The greatest age of an event when its transaction commits. */
export const MAX_EVENT_AGE_SECONDS = 2;

interface TimeRange {
  /** The position of its first write, and the latest position. */
  first: string;
  last: string;
  /** The earliest `since` of its events. */
  oldest: number;
}

export class OwnEvents {
  private readonly ranges: TimeRange[] = [];
  /** The latest time of an event that was handed to a transaction. */
  private lastTransactionEvent = Number.NEGATIVE_INFINITY;

  /** Takes a batch or a commit: the position of its last event, and the earliest `since` of its events. */
  add(position: string, oldest: number): void {
    const latest = this.ranges.at(-1);
    if (latest && isNear(latest, position)) extend(latest, position, oldest);
    else this.ranges.push({ first: position, last: position, oldest });
    if (this.ranges.length <= MAX_RANGES) return;
    // The two oldest ranges are merged, so that the answer stays correct, if less exact.
    const [gone] = this.ranges.splice(0, 1);
    extend(this.ranges[0], gone.last, gone.oldest);
  }

  /** An event with this time was handed to a transaction. Its commit may be applied without an answer. */
  noteTransactionEvent(timestamp: number): void {
    this.lastTransactionEvent = Math.max(this.lastTransactionEvent, timestamp);
  }

  /**
   * The earliest possible time of an event of this process after this position. Undefined where there can be none: no write
   * after it was answered, and no event was handed to a transaction since `since`.
   */
  oldestAfter(position: string, since: number): number | undefined {
    const after = this.ranges.filter(({ last }) => comparePositions(last, position) > 0);
    const times = after.map(({ oldest }) => oldest);
    if (this.lastTransactionEvent >= since) times.push(this.lastTransactionEvent);
    return times.length === 0 ? undefined : Math.min(...times);
  }
}

/** Measured from the start of the range: a range that grew with each write would never end. */
function isNear({ first }: TimeRange, position: string): boolean {
  return Math.abs(splitPosition(position)[0] - splitPosition(first)[0]) < RANGE_MS;
}

/** Commits are answered in another order than they were applied, and a new master may have an earlier clock. */
function extend(range: TimeRange, position: string, oldest: number): void {
  if (comparePositions(position, range.last) > 0) range.last = position;
  range.oldest = Math.min(range.oldest, oldest);
}
