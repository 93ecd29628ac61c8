/** What the next gaps must report, by reason: events that are lost, and gaps that are not in the log yet. */
import type { GapReason, StreamGap } from '../log.events.js';

interface Loss {
  /** How many events of each type; undefined where it is not known. */
  counts?: Record<string, number>;
  from: number;
  to: number;
  /** Undefined: it counts as noticed when it is reported. */
  detected_at?: number;
}

export interface LostEvent {
  type: string;
  timestamp: number;
  /** Its payload, if it is a gap. */
  gap?: StreamGap;
}

export class Losses {
  /** All losses since the start, those that were taken included. */
  total = 0;
  private readonly byReason = new Map<GapReason, Loss>();

  get size(): number {
    return this.byReason.size;
  }

  /** The earliest time of a loss that was not taken; infinity if there is none. */
  get oldest(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...[...this.byReason.values()].map(({ from }) => from));
  }

  /** A gap is not counted but reported again: no other event says what it covers. */
  add(reason: GapReason, { type, timestamp, gap }: LostEvent): void {
    if (gap) {
      this.report(gap);
      return;
    }
    this.total += 1;
    this.byReason.set(reason, counted(this.byReason.get(reason), type, timestamp));
  }

  /** Takes a gap that is to be written. Gaps of one reason become one, so that a log that is away for hours fills no memory. */
  report({ reason, ...gap }: StreamGap): void {
    const before = this.byReason.get(reason);
    this.byReason.set(
      reason,
      before ? joined(before, gap) : { ...gap, counts: gap.counts && { ...gap.counts } },
    );
  }

  /** Removes and returns them, so that each is reported once. */
  take(now: number): StreamGap[] {
    const taken = [...this.byReason].map(([reason, { detected_at = now, ...loss }]) => ({
      ...{ reason, ...loss },
      detected_at,
    }));
    this.byReason.clear();
    return taken;
  }
}

function counted(before: Loss | undefined, type: string, timestamp: number): Loss {
  const loss = before ?? { counts: {}, from: timestamp, to: timestamp };
  if (loss.counts) loss.counts[type] = (loss.counts[type] ?? 0) + 1;
  loss.from = Math.min(loss.from, timestamp);
  loss.to = Math.max(loss.to, timestamp);
  loss.detected_at = undefined;
  return loss;
}

function joined(one: Loss, other: Loss): Loss {
  const counts = one.counts && other.counts && sums(one.counts, other.counts);
  return { counts, from: Math.min(one.from, other.from), to: Math.max(one.to, other.to) };
}

function sums(some: Record<string, number>, others: Record<string, number>): Record<string, number> {
  const all = { ...some };
  for (const [type, count] of Object.entries(others)) all[type] = (all[type] ?? 0) + count;
  return all;
}
