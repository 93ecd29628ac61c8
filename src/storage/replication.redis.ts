/** Waits until as many replicas have something as the settings ask for; those that wait at one time share one WAIT. */
import type { BrainError } from '../shared/errors.js';
import { unavailable } from './errors.redis.js';
import type { RedisLink } from './redis.js';

/** WAIT holds up whatever is sent behind it, so it must end well before the connection counts as silent. */
const WAIT_MS = 500;

export class ReplicationRedis {
  private running: Promise<void> = Promise.resolve();
  private next: Promise<void> | undefined;

  constructor(private readonly link: RedisLink) {}

  /** For what this connection has just written; nothing where nobody needs to wait. */
  ofWritten(): Promise<void> | undefined {
    return this.link.waitFor === 0 ? undefined : this.reached(this.link.epoch);
  }

  /**
   * For what this connection has just read, whoever wrote it. WAIT counts what its own connection has written, so
   * something is written behind it.
   */
  ofRead(): Promise<void> | undefined {
    return this.link.waitFor === 0 ? undefined : this.behindRead(this.link.epoch);
  }

  private async behindRead(epoch: number): Promise<void> {
    await this.link.command('set', [this.link.keys.barrier, epoch]);
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
      reached = Number(await this.link.command('wait', [this.link.waitFor, WAIT_MS]));
    } catch {
      throw notReplicated();
    }
    if (reached < this.link.waitFor) throw notReplicated();
  }
}

function notReplicated(): BrainError {
  const detail =
    'The change was written, but too few replicas of Redis have confirmed it (BRAIN_REDIS_WAIT): it may be lost ' +
    'in a failover. See to the replicas; sending it again with the same Idempotency-Key is safe.';
  return unavailable('store_not_replicated', detail);
}
