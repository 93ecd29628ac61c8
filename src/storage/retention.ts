/**
 * Forgets what is over, in the background and on one replica at a time: nothing is kept for ever. A domain says what that
 * is; the lease, the timer and the log line are the same for all.
 */
import type { OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common';
import { DAY_SECONDS, pause } from '../shared/clock.js';
import { messageOf } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { Store } from './store.js';

const FIRST_MS = 30_000;
/** Held anew after each commit, so a commit must not take as long. */
const LEASE_MS = 60_000;

export abstract class Retention implements OnApplicationBootstrap, OnModuleDestroy {
  /** Names the lease: one sweep of this name at a time, over all replicas. */
  protected abstract readonly lease: string;
  /** What is forgotten, for the log. */
  protected abstract readonly what: string;
  protected readonly everyMs: number = 10 * 60_000;
  private readonly stopping = new AbortController();
  private running?: Promise<void>;

  constructor(
    protected readonly store: Store,
    private readonly logger: Logger,
  ) {}

  /** Removes commit by commit and says of each how much went; ends when nothing is left to forget. */
  protected abstract forget(): AsyncIterable<number>;

  /** By the store's time: a replica whose own clock is far ahead must not forget what is young. */
  protected daysAgo(days: number): number {
    return this.store.clock().earliest - days * DAY_SECONDS;
  }

  onApplicationBootstrap(): void {
    this.running = this.run();
  }

  /** A commit that is under way is waited for. */
  async onModuleDestroy(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  /** Returns how much was forgotten: nothing where another replica is at it. */
  async sweep(): Promise<number> {
    const lease = await this.store.acquire(this.lease, LEASE_MS);
    if (!lease) return 0;
    let forgotten = 0;
    try {
      for await (const count of this.forget()) {
        forgotten += count;
        if (this.stopping.signal.aborted || !(await this.store.renew(lease, LEASE_MS))) break;
      }
    } finally {
      await this.store.release(lease);
    }
    return forgotten;
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    for (await pause(FIRST_MS, signal); !signal.aborted; await pause(this.everyMs, signal)) {
      try {
        const removed = await this.sweep();
        if (removed > 0) this.logger.info(`${this.what} were forgotten`, { removed });
      } catch (error) {
        this.logger.warn(`${this.what} could not be forgotten`, { reason: messageOf(error) });
      }
    }
  }
}
