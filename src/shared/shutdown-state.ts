/** Reserved for the last steps: removing the sign of an unclean stop, and closing the store. */
const LAST_MS = 1000;

/** How far a shutdown is: first no new requests should come, then answers without an end are ended. */
export class ShutdownState {
  /** Set at the beginning of a shutdown. */
  active = false;
  private endMs = Number.POSITIVE_INFINITY;
  private readonly endings = new Set<() => void>();

  /** Calls back when the service stops to listen: answers without an end are ended then. */
  onLeave(end: () => void): void {
    this.endings.add(end);
  }

  /** `graceMs` is how long all that follows may take together. */
  leave(graceMs: number): void {
    this.endMs = performance.now() + graceMs;
    for (const end of this.endings) end();
  }

  /** What is left of the grace time to flush the events: a second at least, also where requests have used it up. */
  leftMs(): number {
    return Math.max(LAST_MS, this.endMs - performance.now() - LAST_MS);
  }
}
