/**
 * Data of the store that is kept in memory for decisions: policies and API keys.
 *
 * The cache contains every commit up to some moment. Its age is the time since that moment. It grows while the store is
 * away, while this process is stopped, and while a reported change is not read yet. The monotonic clock measures it, so a
 * jump of the wall clock changes no age.
 *
 * - Up to a second: fresh. Older: decisions are marked as stale.
 * - Older than the grace time: expired. Nothing may be decided by it.
 */
import { isStoreAway, messageOf } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { Collection, Store } from './store.js';

/** A replica that reaches the store has the changes of all others within this time. */
export const FRESH_MS = 1000;
const RETRY_MS = 500;

export type Freshness = 'fresh' | 'stale' | 'expired';

export interface Followed<T, C> {
  /** A commit to this collection makes the cache read again. */
  collection: Collection<C>;
  /** The name of the data in log lines, such as `the policies`. */
  what: string;
  maxStaleSeconds: number;
  /** Reads everything, or only the changes since `held` was read. */
  read(held: T | undefined): Promise<T>;
}

export class FollowedCache<T, C = unknown> {
  /** The number of reported changes. */
  changes = 0;
  private held?: T;
  /** `held` has every commit before this moment. */
  private readMs = Number.NEGATIVE_INFINITY;
  /** A reported change is not read yet. */
  private changed = true;
  private readonly graceMs: number;
  private reading?: Promise<void>;
  private queued?: Promise<void>;
  private retry?: NodeJS.Timeout;
  private stopWatching?: () => void;
  private readonly waiting = new Set<() => void>();

  constructor(
    private readonly store: Store,
    private readonly logger: Logger,
    private readonly followed: Followed<T, C>,
  ) {
    this.graceMs = Math.max(FRESH_MS, followed.maxStaleSeconds * 1000);
  }

  /** Resolves after the first attempt to read, even if it has failed. */
  async start(): Promise<void> {
    this.stopWatching = this.store.watch(this.followed.collection, () => void this.refresh());
    await this.refresh();
  }

  stop(): void {
    this.stopWatching?.();
    this.stopWatching = undefined;
    clearTimeout(this.retry);
  }

  /** The value of the last read; undefined before it. It may be expired. */
  get value(): T | undefined {
    return this.held;
  }

  freshness(): Freshness {
    const ageMs = performance.now() - this.completeUntilMs();
    if (ageMs > this.graceMs) return 'expired';
    return ageMs > FRESH_MS ? 'stale' : 'fresh';
  }

  /** Every reported change has been read. */
  get isCurrent(): boolean {
    return !this.changed;
  }

  /** Reads again. Resolves when the cache has every commit before the call, or when the read has failed. */
  refresh(): Promise<void> {
    this.changes += 1;
    if (!this.changed) this.readMs = this.completeUntilMs();
    this.changed = true;
    if (!this.reading) return this.read();
    // The running read may have started before the change. All callers until its end share the next read.
    this.queued ??= this.reading.then(() => {
      this.queued = undefined;
      return this.read();
    });
    return this.queued;
  }

  /** Resolves with the next successful read. */
  nextRead(): { done: Promise<void>; forget: () => void } {
    let wake = (): void => undefined;
    const done = new Promise<void>((resolve) => {
      wake = resolve;
    });
    this.waiting.add(wake);
    return { done, forget: () => this.waiting.delete(wake) };
  }

  private completeUntilMs(): number {
    return this.changed ? this.readMs : Math.max(this.readMs, this.store.watchedUntilMs());
  }

  private read(): Promise<void> {
    this.reading ??= this.readOnce().finally(() => {
      this.reading = undefined;
    });
    return this.reading;
  }

  private async readOnce(): Promise<void> {
    clearTimeout(this.retry);
    const startedMs = performance.now();
    const { changes } = this;
    try {
      this.held = await this.followed.read(this.held);
      this.readMs = startedMs;
      this.changed = changes !== this.changes;
      for (const wake of this.waiting) wake();
      this.waiting.clear();
    } catch (error) {
      if (!this.stopWatching) return;
      if (!isStoreAway(error))
        this.logger.warn(`Could not read ${this.followed.what}; trying again.`, { cause: messageOf(error) });
      this.retry = setTimeout(() => void this.refresh(), RETRY_MS).unref();
    }
  }
}
