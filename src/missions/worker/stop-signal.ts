/** Why a run must stop: its mission ended elsewhere, its lease is over, or the replica shuts down. */
export type StopReason = 'ended' | 'lease_lost' | 'stopping';

/** An abort signal that knows its reason. The first reason stays. */
export class StopSignal {
  private readonly controller = new AbortController();
  private first?: StopReason;

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  get reason(): StopReason | undefined {
    return this.first;
  }

  stop(reason: StopReason): void {
    this.first ??= reason;
    this.controller.abort(reason);
  }
}
