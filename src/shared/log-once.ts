/** Limits log lines about the same trouble, so that a store that is down does not fill the log. */

/** As the interval: the line is logged a single time. */
export const ONCE = Number.POSITIVE_INFINITY;

export class LogOnce {
  private readonly lastMs = new Map<string, number>();

  constructor(private readonly everyMs = 1000) {}

  /** True if a line about `trouble` may be logged now. The line then counts as logged. */
  isDue(trouble = ''): boolean {
    const nowMs = performance.now();
    if (nowMs - (this.lastMs.get(trouble) ?? Number.NEGATIVE_INFINITY) < this.everyMs) return false;
    this.lastMs.set(trouble, nowMs);
    return true;
  }
}
