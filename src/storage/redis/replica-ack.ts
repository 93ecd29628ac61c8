/** Waits until enough Redis replicas have confirmed a write (BRAIN_REDIS_WAIT). Calls at the same time share one WAIT. */
import type { BrainError } from '../../shared/errors.js';
import { unavailable } from './errors.js';
import type { RedisLink } from './link.js';

/** WAIT blocks all commands after it. So it must end well before the connection counts as silent. */
const WAIT_MS = 500;
/** While the replicas are away WAIT is short, so that other commands go on. A long WAIT is tried at this interval. */
const SHORT_WAIT_MS = 50;
const LONG_WAIT_EVERY_MS = 2000;
const BARRIER_SECONDS = 10 * 365 * 86_400;

export class ReplicaAck {
  private running: Promise<void> = Promise.resolve();
  private next: Promise<void> | undefined;
  private failing = false;
  private longWaitMs = Number.NEGATIVE_INFINITY;

  constructor(private readonly link: RedisLink) {}

  /** Waits for the writes of the connection of this epoch. Undefined if the settings require no replica. */
  ofWritten(epoch = this.link.epoch): Promise<void> | undefined {
    return this.link.waitFor === 0 ? undefined : this.reached(epoch);
  }

  /**
   * Waits for what this connection has just read, even if another process wrote it. WAIT only covers the writes of its own
   * connection, so the barrier is written first.
   */
  ofRead(): Promise<void> | undefined {
    return this.link.waitFor === 0 ? undefined : this.afterBarrier(this.link.epoch);
  }

  private async afterBarrier(epoch: number): Promise<void> {
    const { barrier } = this.link.keys;
    try {
      // EXPIRE needs no memory, so it also works in a full Redis. Only the first call must create the key.
      const there = await this.link.command('expire', [barrier, BARRIER_SECONDS]);
      if (there === 0) await this.link.command('set', [barrier, '', 'EX', BARRIER_SECONDS]);
    } catch {
      throw notReplicated();
    }
    await this.reached(epoch);
  }

  private reached(epoch: number): Promise<void> {
    // A WAIT that already runs does not cover this commit. The next one does.
    this.next ??= this.running
      .catch(() => undefined)
      .then(() => {
        this.next = undefined;
        this.running = this.wait();
        return this.running;
      });
    return this.next.then(() => {
      // A WAIT on a new connection says nothing about the writes and reads of the old one.
      if (this.link.epoch !== epoch) throw notReplicated();
    });
  }

  private async wait(): Promise<void> {
    let reached = 0;
    try {
      reached = Number(await this.link.command('wait', [this.link.waitFor, this.patienceMs()]));
    } catch {
      throw notReplicated();
    }
    this.failing = reached < this.link.waitFor;
    if (this.failing) throw notReplicated();
  }

  private patienceMs(): number {
    const nowMs = performance.now();
    if (this.failing && nowMs - this.longWaitMs < LONG_WAIT_EVERY_MS) return SHORT_WAIT_MS;
    this.longWaitMs = nowMs;
    return WAIT_MS;
  }
}

function notReplicated(): BrainError {
  const detail =
    'The change was written, but too few Redis replicas have confirmed it (BRAIN_REDIS_WAIT). A failover may lose it. ' +
    'Check the replicas. To send the request again with the same Idempotency-Key is safe.';
  return unavailable('store_not_replicated', detail);
}
