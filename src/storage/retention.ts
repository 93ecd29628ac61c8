/**
 * Removes old data in the background, on one replica at a time. A domain declares what is old. The lease, the timer, the
 * commits and the log lines are the same for all domains.
 */
import type { FactoryProvider, OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common';
import { CONFIG, type Config } from '../config/config.js';
import { DAY_SECONDS, pause } from '../shared/clock.js';
import { messageOf } from '../shared/errors.js';
import { Logger } from '../shared/logger.js';
import { Store, type Tx } from './store.js';

/** How many rows one commit removes. */
export const CHUNK = 100;
const FIRST_MS = 30_000;
const EVERY_MS = 10 * 60_000;
/** The lease is renewed after each commit, so a commit must be shorter than this. */
const LEASE_MS = 60_000;

/** One kind of old data: how it is found, and how it is removed. */
export interface OldData<T> {
  /** The name of the lease. Over all replicas one sweep of this name runs at a time. */
  lease: string;
  /** The name of the removed data in log lines. */
  what: string;
  /** What happens to it, in log lines; by default it is removed. */
  done?: string;
  /** The pause between two sweeps; by default 10 minutes. */
  everyMs?: number;
  /** How many days the data is kept. */
  days(config: Config): number;
  /** Lists the rows that one commit removes, and then the next ones. Ends when nothing old is left. */
  find(store: Store, until: number, config: Config): AsyncIterable<T[]>;
  /** Removes one row. Returns false if the row is no longer old: it may have changed since it was listed. */
  remove(tx: Tx, row: T, until: number): Promise<boolean>;
}

/** Lists until a list is empty: the next list is without the rows that were removed. */
export async function* untilEmpty<T>(list: () => Promise<T[]>): AsyncGenerator<T[]> {
  for (let rows = await list(); rows.length > 0; rows = await list()) yield rows;
}

export function retentionOf<T>(old: OldData<T>): FactoryProvider<Retention<T>> {
  return {
    provide: old.lease,
    inject: [Store, CONFIG, Logger],
    useFactory: (store: Store, config: Config, logger: Logger) => new Retention(old, store, config, logger),
  };
}

export class Retention<T> implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly stopping = new AbortController();
  private running?: Promise<void>;

  constructor(
    private readonly old: OldData<T>,
    private readonly store: Store,
    private readonly config: Config,
    private readonly logger: Logger,
  ) {}

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
    const lease = await this.store.acquire(this.old.lease, LEASE_MS);
    if (!lease) return 0;
    let removed = 0;
    try {
      // By the store's time: a replica whose own clock is ahead must not remove young data.
      const until = this.store.clock().earliest - this.old.days(this.config) * DAY_SECONDS;
      for await (const rows of this.old.find(this.store, until, this.config)) {
        removed += await this.remove(rows, until);
        if (this.stopping.signal.aborted || !(await this.store.renew(lease, LEASE_MS))) break;
      }
    } finally {
      await this.store.release(lease);
    }
    return removed;
  }

  private remove(rows: T[], until: number): Promise<number> {
    return this.store.transaction(async (tx) => {
      const removed = await Promise.all(rows.map((row) => this.old.remove(tx, row, until)));
      return removed.filter(Boolean).length;
    });
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    const { what, done = 'removed', everyMs = EVERY_MS } = this.old;
    for (await pause(FIRST_MS, signal); !signal.aborted; await pause(everyMs, signal)) {
      try {
        const removed = await this.sweep();
        if (removed > 0) this.logger.info(`${what} were ${done}`, { [done]: removed });
      } catch (error) {
        this.logger.warn(`${what} could not be ${done}`, { reason: messageOf(error) });
      }
    }
  }
}
