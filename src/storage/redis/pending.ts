/** Calls that wait for something, each until its own deadline. */
import { LostError, unavailable } from './errors.js';

/** Beyond this number further calls are refused: they would be answered too late. */
const MAX_PENDING = 10_000;

export interface PendingCall {
  /** The deadline on the monotonic clock. */
  dueMs: number;
  fail(error: Error): void;
  /** Resolves a call that waits for the connection. */
  go?(): void;
}

export class PendingCalls {
  private readonly calls = new Set<PendingCall>();

  /** `sent`: Redis may have executed a call of this kind that is too late. */
  constructor(private readonly sent: boolean) {}

  /** @throws when too many calls wait already */
  add(call: PendingCall): void {
    if (this.calls.size >= MAX_PENDING) {
      throw unavailable('store_busy', 'Too many commands wait for Redis. Nothing was changed; try again.');
    }
    this.calls.add(call);
  }

  delete(call: PendingCall): void {
    this.calls.delete(call);
  }

  goAll(): void {
    for (const call of this.calls) call.go?.();
    this.calls.clear();
  }

  failAll(error: Error): void {
    for (const call of this.calls) call.fail(error);
    this.calls.clear();
  }

  /** Fails the calls whose deadline is over. */
  failLate(nowMs: number): void {
    for (const call of this.calls) {
      if (call.dueMs > nowMs) continue;
      this.calls.delete(call);
      call.fail(new LostError(this.sent, 'timed out'));
    }
  }
}
