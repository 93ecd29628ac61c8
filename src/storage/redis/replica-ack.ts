/** Waits until as many replicas have something as the settings ask for; those that wait at one time share one WAIT. */
import type { BrainError } from '../../shared/errors.js';
import { unavailable } from './errors.js';
import type { RedisLink } from './link.js';

/** WAIT holds up whatever is sent behind it, so it must end well before the connection counts as silent. */
const WAIT_MS = 500;
/** While the replicas are known to be away everything else goes on, and they are given all of the time only so often. */
const SHORT_WAIT_MS = 50;
const LONG_WAIT_EVERY_MS = 2000;
const BARRIER_SECONDS = 10 * 365 * 86_400;

export class ReplicaAck {
  private running: Promise<void> = Promise.resolve();
  private next: Promise<void> | undefined;
  private failing = false;
  private longWaitMs = Number.NEGATIVE_INFINITY;

  constructor(private readonly link: RedisLink) {}

  /** For what the connection of this epoch has written; nothing where nobody needs to wait. */
  ofWritten(epoch = this.link.epoch): Promise<void> | undefined {
    return this.link.waitFor === 0 ? undefined : this.reached(epoch);
  }

  /**
   * For what this connection has just read, whoever wrote it. WAIT counts what its own connection has written, so
   * something is written behind it.
   */
  ofRead(): Promise<void> | undefined {
    return this.link.waitFor === 0 ? undefined : this.behindRead(this.link.epoch);
  }

  private async behindRead(epoch: number): Promise<void> {
    const { barrier } = this.link.keys;
    try {
      // A write that needs no memory, so that a full Redis still answers what was stored before. Only the first one makes the key.
      const there = await this.link.command('expire', [barrier, BARRIER_SECONDS]);
      if (there === 0) await this.link.command('set', [barrier, '', 'EX', BARRIER_SECONDS]);
    } catch {
      throw notReplicated();
    }
    await this.reached(epoch);
  }

  private reached(epoch: number): Promise<void> {
    // A WAIT that is under way does not cover this commit; the one behind it does.
    this.next ??= this.running
      .catch(() => undefined)
      .then(() => {
        this.next = undefined;
        this.running = this.wait();
        return this.running;
      });
    return this.next.then(() => {
      // After a new connection WAIT says nothing about what the one before it wrote or read.
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
    'The change was written, but too few replicas of Redis have confirmed it (BRAIN_REDIS_WAIT): it may be lost ' +
    'in a failover. See to the replicas; sending it again with the same Idempotency-Key is safe.';
  return unavailable('store_not_replicated', detail);
}
