/** Waits until as many replicas have a commit as the settings ask for; commits that wait at one time share one WAIT. */
import type { BrainError } from '../shared/errors.js';
import { unavailable } from './errors.redis.js';
import type { RedisLink } from './redis.js';

/** WAIT holds up whatever is sent behind it, so it must end well before the connection counts as silent. */
const WAIT_MS = 500;

export class ReplicationRedis {
  private running: Promise<void> = Promise.resolve();
  private next: Promise<void> | undefined;

  constructor(private readonly link: RedisLink) {}

  /** For what was just committed; nothing where nobody needs to wait. */
  reached(): Promise<void> | undefined {
    if (this.link.waitFor === 0) return undefined;
    const { epoch } = this.link;
    // A WAIT that is under way does not cover this commit; the one behind it does.
    this.next ??= this.running
      .catch(() => undefined)
      .then(() => {
        this.next = undefined;
        this.running = this.wait();
        return this.running;
      });
    return this.next.then(() => {
      // WAIT counts for what this connection wrote. After a new one it says nothing about the commit.
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
