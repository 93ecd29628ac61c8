/** Transactions of this process that lost a race wait for one another here, so that the first in the queue wins. */
import { BrainError } from '../shared/errors.js';

/** The queues in which the transactions of this process wait for one another, by what they lost a race on. */
export class KeyedQueues {
  private readonly tails = new Map<string, Promise<void>>();

  /** Resolves with the way to leave when it is this caller's turn, or fails at the deadline. */
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
  const detail =
    'Too many changes to the same thing at once; nothing was changed by this request, try again.';
  return new BrainError('unavailable', 'store_busy', detail, { retryAfterSeconds: 1 });
}
