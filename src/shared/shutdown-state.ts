/** Reserved for the last steps: the clean stop is stored, and the store is closed. */
const LAST_MS = 1000;

/** The progress of a shutdown. First no new requests should come, then answers without an end are ended. */
export class ShutdownState {
  /** Set at the beginning of a shutdown. */
  active = false;
  private endMs = Number.POSITIVE_INFINITY;
  private readonly endings = new Set<() => void>();

  /** Calls back when the service stops to listen. Answers without an end, such as live streams, must end then. */
  onLeave(end: () => void): void {
    this.endings.add(end);
  }

  /** The service stops to listen. The rest of the shutdown may take `graceMs`. */
  leave(graceMs: number): void {
    this.endMs = performance.now() + graceMs;
    for (const end of this.endings) end();
  }

  /** How long the flush of the events may take: the rest of the grace time, and at least a second. */
  leftMs(): number {
    return Math.max(LAST_MS, this.endMs - performance.now() - LAST_MS);
  }
}
