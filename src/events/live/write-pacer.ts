/**
 * Decides when the queues of the readers are written: at once if writing is fast, else so rarely that writing takes at most
 * a third of the time.
 */
import { setImmediate as turn } from 'node:timers/promises';

/** Under load, writes are collected for at most this time. */
const MAX_GATHER_MS = 50;
/** Readers that are written to before other work gets its turn. */
const SLICE = 200;

export class WritePacer {
  /** There may be something to write that the current or next run does not write. */
  private requested = false;
  /** A run is due, or is going on. */
  private scheduled = false;
  private lastRunMs = 0;
  private lastCostMs = 0;

  constructor(private readonly readers: ReadonlySet<{ flush(): void }>) {}

  /** Call it when something was added to the queue of a reader. */
  request(): void {
    this.requested = true;
    if (this.scheduled || this.readers.size === 0) return;
    this.scheduled = true;
    const gatherMs = Math.min(MAX_GATHER_MS, 2 * this.lastCostMs);
    const waitMs = this.lastRunMs + gatherMs - performance.now();
    if (waitMs < 1) setImmediate(() => void this.run());
    else setTimeout(() => void this.run(), waitMs);
  }

  private async run(): Promise<void> {
    this.requested = false;
    let written = 0;
    let costMs = 0;
    let sinceMs = performance.now();
    for (const reader of [...this.readers]) {
      reader.flush();
      written += 1;
      if (written % SLICE > 0) continue;
      costMs += performance.now() - sinceMs;
      await turn();
      sinceMs = performance.now();
    }
    this.lastRunMs = performance.now();
    this.lastCostMs = costMs + this.lastRunMs - sinceMs;
    this.scheduled = false;
    if (this.requested) this.request();
  }
}
