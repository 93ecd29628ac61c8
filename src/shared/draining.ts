/** How far a shutdown has come: first nobody should send new work here, then what would never end by itself has to. */
export class Draining {
  /** Set at the beginning of a shutdown. */
  active = false;
  private readonly endings = new Set<() => void>();

  /** Calls back when the service stops to listen: answers without an end are ended then. */
  onLeave(end: () => void): void {
    this.endings.add(end);
  }

  leave(): void {
    for (const end of this.endings) end();
  }
}
