/** Remembers what this process has recently written to the log: up to which position, and how old those events are. */
import { comparePositions, splitPosition } from '../../storage/event-log.js';

/** Batches within this time are remembered as one stretch. */
const STRETCH_MS = 500;
const MAX_STRETCHES = 1000;
/** The greatest age of an event when its transaction commits. */
export const RIDE_SECONDS = 2;

interface Stretch {
  last: string;
  oldest: number;
}

export class Written {
  private readonly stretches: Stretch[] = [];
  private handedOverAt = Number.NEGATIVE_INFINITY;

  /** Takes a written batch: the position of its last event, and the earliest `since` of its events. */
  add(last: string, oldest: number): void {
    const latest = this.stretches.at(-1);
    const near = latest && Math.abs(splitPosition(last)[0] - splitPosition(latest.last)[0]) < STRETCH_MS;
    if (!near) this.stretches.push({ last, oldest });
    else Object.assign(latest, { last, oldest: Math.min(latest.oldest, oldest) });
    if (this.stretches.length <= MAX_STRETCHES) return;
    // The two oldest stretches are merged, so that the answer stays correct, if less exact.
    const [gone] = this.stretches.splice(0, 1);
    this.stretches[0].oldest = Math.min(this.stretches[0].oldest, gone.oldest);
  }

  /** An event with this time was handed to a transaction. */
  handedOver(timestamp: number): void {
    this.handedOverAt = Math.max(this.handedOverAt, timestamp);
  }

  /**
   * The earliest possible time of an event of this process after this position. Undefined where there can be none: no batch
   * was written after it, and no event was handed to a transaction from `RIDE_SECONDS` before it.
   */
  oldestBehind(position: string): number | undefined {
    const sinceSeconds = splitPosition(position)[0] / 1000 - RIDE_SECONDS;
    const behind = this.stretches.filter(({ last }) => comparePositions(last, position) > 0);
    const times = behind.map(({ oldest }) => oldest);
    if (this.handedOverAt >= sinceSeconds) times.push(this.handedOverAt);
    return times.length === 0 ? undefined : Math.min(...times);
  }
}
