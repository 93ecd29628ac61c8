/**
 * Queues for the transactions of this process whose commit met a change. They run again one after the other instead of
 * failing against each other.
 */
import { BrainError } from '../shared/errors.js';

/** One queue for each key of a document, unique value or idempotency record that has changed. */
export class KeyedQueues {
  private readonly tails = new Map<string, Promise<void>>();

  /** Resolves when it is the caller's turn, with the function that leaves the queue. Rejects at the deadline. */
  async enter(what: string, deadlineMs: number): Promise<() => void> {
    const ahead = this.tails.get(what);
    let leave = (): void => {};
    const mine = new Promise<void>((resolve) => {
      leave = resolve;
    });
    const tail = (ahead ?? Promise.resolve()).then(() => mine);
    this.tails.set(what, tail);
    void tail.then(() => {
      if (this.tails.get(what) === tail) this.tails.delete(what);
    });
    if (!ahead) return leave;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), Math.max(0, deadlineMs - performance.now()));
    });
    const first = await Promise.race([ahead.then(() => 'turn' as const), late]);
    clearTimeout(timer);
    if (first === 'turn') return leave;
    leave();
    throw busy();
  }
}

export function busy(): BrainError {
  const detail = 'Too many requests change the same thing at once. This request changed nothing; try again.';
  return new BrainError('unavailable', 'store_busy', detail, { retryAfterSeconds: 1 });
}
