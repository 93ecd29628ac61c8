/**
 * What is read from the store and kept in memory to decide by: policies, API keys.
 *
 * The age of a cache is the time since the moment up to which it holds everything that was committed. It grows while the
 * store is away, while this process is stopped, and while a change is known but not read yet. It is measured by the
 * monotonic clock, so a wall clock that jumps makes nothing older or younger.
 *
 * - Younger than a second: fresh. Older: what is decided by it is marked as stale.
 * - Older than the grace time: nothing is decided by it.
 */
import { messageOf } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { Collection, Store } from './store.js';

/** A change on one replica is followed by the others within this, while they reach the store. */
export const FRESH_MS = 1000;
const RETRY_MS = 500;

/** `expired` is too old to decide by. */
export type Freshness = 'fresh' | 'stale' | 'expired';

export interface Followed<T, C> {
  /** The collection whose commits make the cache read again. */
  collection: Collection<C>;
  /** For the log: `the policies`. */
  what: string;
  maxStaleSeconds: number;
  /** Reads all of it, or what has changed since `held` was read. */
  read(held: T | undefined): Promise<T>;
}

export class FollowedCache<T, C = unknown> {
  /** Grows with each change that is reported. */
  changes = 0;
  private held?: T;
  /** Everything that was committed before this moment is in `held`. */
  private readMs = Number.NEGATIVE_INFINITY;
  /** A change was reported that is not read yet. */
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

  /** Resolves after the first attempt to read, whether or not the store could be reached. */
  async start(): Promise<void> {
    this.stopWatching = this.store.watch(this.followed.collection, () => void this.refresh());
    await this.refresh();
  }

  stop(): void {
    this.stopWatching?.();
    this.stopWatching = undefined;
    clearTimeout(this.retry);
  }

  /** What was read last; nothing before the first read. It may be too old to decide by. */
  get value(): T | undefined {
    return this.held;
  }

  freshness(): Freshness {
    const ageMs = performance.now() - this.completeUntilMs();
    if (ageMs > this.graceMs) return 'expired';
    return ageMs > FRESH_MS ? 'stale' : 'fresh';
  }

  /** No change is known that was not read. */
  get isCurrent(): boolean {
    return !this.changed;
  }

  /** Reads again. Resolves when memory has what was committed before the call, or when reading has failed. */
  refresh(): Promise<void> {
    this.changes += 1;
    if (!this.changed) this.readMs = this.completeUntilMs();
    this.changed = true;
    if (!this.reading) return this.read();
    // The read that is under way may have passed the change already. All callers until it ends share the next one.
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
      this.logger.warn(`Reading ${this.followed.what} failed; trying again.`, { cause: messageOf(error) });
      this.retry = setTimeout(() => void this.refresh(), RETRY_MS).unref();
    }
  }
}
