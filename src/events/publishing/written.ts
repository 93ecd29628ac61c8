/** Remembers what this process has recently written to the log: up to which position, and how old those events are. */
import { comparePositions, splitPosition } from '../../storage/event-log.js';

/** Writes within this time are remembered as one stretch. */
const STRETCH_MS = 500;
const MAX_STRETCHES = 1000;
/** The greatest age of an event when its transaction commits. */
export const RIDE_SECONDS = 2;

interface Stretch {
  first: string;
  last: string;
  oldest: number;
}

export class Written {
  private readonly stretches: Stretch[] = [];
  private handedOverAt = Number.NEGATIVE_INFINITY;

  /** Takes a batch or a commit: the position of its last event, and the earliest `since` of its events. */
  add(position: string, oldest: number): void {
    const latest = this.stretches.at(-1);
    if (latest && isNear(latest, position)) extend(latest, position, oldest);
    else this.stretches.push({ first: position, last: position, oldest });
    if (this.stretches.length <= MAX_STRETCHES) return;
    // The two oldest stretches are merged, so that the answer stays correct, if less exact.
    const [gone] = this.stretches.splice(0, 1);
    extend(this.stretches[0], gone.last, gone.oldest);
  }

  /** An event with this time was handed to a transaction. Its commit may be applied without an answer. */
  handedOver(timestamp: number): void {
    this.handedOverAt = Math.max(this.handedOverAt, timestamp);
  }

  /**
   * The earliest possible time of an event of this process after this position. Undefined where there can be none: no write
   * after it was answered, and no event was handed to a transaction since `since`.
   */
  oldestBehind(position: string, since: number): number | undefined {
    const behind = this.stretches.filter(({ last }) => comparePositions(last, position) > 0);
    const times = behind.map(({ oldest }) => oldest);
    if (this.handedOverAt >= since) times.push(this.handedOverAt);
    return times.length === 0 ? undefined : Math.min(...times);
  }
}

/** Measured from the begin of the stretch: a stretch that grew with each write would never end. */
function isNear({ first }: Stretch, position: string): boolean {
  return Math.abs(splitPosition(position)[0] - splitPosition(first)[0]) < STRETCH_MS;
}

/** Commits are answered in another order than they were applied, and a new master may have an earlier clock. */
function extend(stretch: Stretch, position: string, oldest: number): void {
  if (comparePositions(position, stretch.last) > 0) stretch.last = position;
  stretch.oldest = Math.min(stretch.oldest, oldest);
}
