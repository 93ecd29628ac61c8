/** The events that did not get into the log, by reason: how many of each type, from when to when. */
import type { GapReason, StreamGap } from '../log.events.js';

export interface Loss {
  counts: Record<string, number>;
  from: number;
  to: number;
}

export class Losses {
  /** All losses since the start, those that were taken included. */
  total = 0;
  private readonly byReason = new Map<GapReason, Loss>();

  get size(): number {
    return this.byReason.size;
  }

  add(reason: GapReason, type: string, timestamp: number): void {
    this.total += 1;
    this.byReason.set(reason, counted(this.byReason.get(reason), type, timestamp));
  }

  /** Removes and returns them, so that each is reported once. */
  take(): Pick<StreamGap, 'reason' | 'counts' | 'from' | 'to'>[] {
    const taken = [...this.byReason].map(([reason, loss]) => ({ reason, ...loss }));
    this.byReason.clear();
    return taken;
  }
}

export function counted(before: Loss | undefined, type: string, timestamp: number): Loss {
  const loss = before ?? { counts: {}, from: timestamp, to: timestamp };
  loss.counts[type] = (loss.counts[type] ?? 0) + 1;
  loss.from = Math.min(loss.from, timestamp);
  loss.to = Math.max(loss.to, timestamp);
  return loss;
}
