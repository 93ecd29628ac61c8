/**
 * Removes old data in the background, on one replica at a time. A domain says what is old. The lease, the timer and the
 * log lines are the same for all domains.
 */
import type { OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common';
import { DAY_SECONDS, pause } from '../shared/clock.js';
import { messageOf } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { Store } from './store.js';

const FIRST_MS = 30_000;
/** The lease is renewed after each commit, so a commit must be shorter than this. */
const LEASE_MS = 60_000;

export abstract class Retention implements OnApplicationBootstrap, OnModuleDestroy {
  /** The name of the lease. Over all replicas one sweep of this name runs at a time. */
  protected abstract readonly lease: string;
  /** The name of the removed data in log lines. */
  protected abstract readonly what: string;
  protected readonly everyMs: number = 10 * 60_000;
  private readonly stopping = new AbortController();
  private running?: Promise<void>;

  constructor(
    protected readonly store: Store,
    private readonly logger: Logger,
  ) {}

  /** Removes old data commit by commit and yields the number of each. Ends when nothing old is left. */
  protected abstract forget(): AsyncIterable<number>;

  /** Uses the store's time: a replica whose own clock is ahead must not remove young data. */
  protected daysAgo(days: number): number {
    return this.store.clock().earliest - days * DAY_SECONDS;
  }

  onApplicationBootstrap(): void {
    this.running = this.run();
  }

  /** Waits for a running commit. */
  async onModuleDestroy(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  /** Returns the number of removals; 0 if another replica holds the lease. */
  async sweep(): Promise<number> {
    const lease = await this.store.acquire(this.lease, LEASE_MS);
    if (!lease) return 0;
    let removed = 0;
    try {
      for await (const count of this.forget()) {
        removed += count;
        if (this.stopping.signal.aborted || !(await this.store.renew(lease, LEASE_MS))) break;
      }
    } finally {
      await this.store.release(lease);
    }
    return removed;
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    for (await pause(FIRST_MS, signal); !signal.aborted; await pause(this.everyMs, signal)) {
      try {
        const removed = await this.sweep();
        if (removed > 0) this.logger.info(`${this.what} were removed`, { removed });
      } catch (error) {
        this.logger.warn(`${this.what} could not be removed`, { reason: messageOf(error) });
      }
    }
  }
}
