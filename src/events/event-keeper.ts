/**
 * Keeps the log honest about what it cannot know by itself. Each process leaves a mark when it starts and takes it away
 * when it stops; a mark whose process is gone means an unclean stop, and whoever finds it tells the gap. What a failover took
 * back is looked for with each beat (Rollbacks).
 */

import { nowSeconds } from '../shared/clock.js';
import { messageOf } from '../shared/errors.js';
import { randomId } from '../shared/ids.js';
import type { Logger } from '../shared/logger.js';
import type { EventLog } from '../storage/event-log.js';
import type { Collection, Lease, Store } from '../storage/store.js';
import type { EventStream } from './event-stream.js';
import type { MissedGap } from './resume.js';
import { Rollbacks } from './rollbacks.js';
import { streamGap } from './stream.events.js';

interface Mark {
  id: string;
  started_at: number;
  seen_at: number;
}

const MARKS: Collection<Mark> = {
  name: 'processes',
  item: 'process',
  version: 1,
  indexVersion: 1,
  id: (mark) => mark.id,
  order: (mark) => mark.started_at,
};

const BEAT_MS = 2000;
/** Longer than any pause of a healthy process; an unclean stop is told at most this long after the next start. */
const ALIVE_MS = 8000;

export class EventKeeper {
  private readonly mark: Mark;
  private readonly rollbacks: Rollbacks;
  private lease?: Lease;
  private timer?: NodeJS.Timeout;
  private beating?: Promise<void>;
  private stopped = false;
  private awayMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly store: Store,
    log: EventLog,
    private readonly events: EventStream,
    private readonly logger: Logger,
  ) {
    store.declare(MARKS);
    this.rollbacks = new Rollbacks(store, log, events, logger);
    this.mark = { id: randomId(12), started_at: nowSeconds(), seen_at: nowSeconds() };
  }

  /** Does not wait for a store that is away: the first beat that reaches it leaves the mark. */
  start(): void {
    this.beat();
  }

  /** What another reader of the log missed: it saw more of the end than a look every two seconds does. */
  missed(gap: MissedGap): void {
    this.rollbacks.missed(gap);
  }

  /** Called after the stream was flushed; an unflushed one leaves its mark, and the next start tells the gap. */
  async stop(flushed: boolean): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.beating;
    if (!flushed) return;
    try {
      await this.store.transaction(async (tx) => {
        if (await tx.get(MARKS, this.mark.id)) tx.delete(MARKS, this.mark.id);
      });
      if (this.lease) await this.store.release(this.lease);
    } catch (error) {
      // The mark stays, and the next start tells a gap: rather one too many than one too few.
      this.logger.warn('the mark of this process could not be taken away', { reason: messageOf(error) });
    }
  }

  private beat(): void {
    this.beating = this.once()
      .catch((error: unknown) => {
        this.awayMs = performance.now();
        this.logger.debug('the mark of this process waits', { reason: messageOf(error) });
      })
      .finally(() => {
        if (this.stopped) return;
        this.timer = setTimeout(() => this.beat(), BEAT_MS);
        this.timer.unref();
      });
  }

  private async once(): Promise<void> {
    await this.rollbacks.look();
    await this.renewMark();
    await this.tellUncleanStops();
  }

  private async renewMark(): Promise<void> {
    const held = this.lease && (await this.store.renew(this.lease, ALIVE_MS));
    if (!held) this.lease = await this.store.acquire(leaseOf(this.mark.id), ALIVE_MS);
    const { lease } = this;
    if (!lease) return;
    this.mark.seen_at = this.events.completeUntil();
    await this.store.transaction(async (tx) => {
      // A mark that stands without its lease, be it that the store was emptied in between, is taken for that of a dead process.
      tx.demand(lease);
      if (await tx.get(MARKS, this.mark.id)) tx.put(MARKS, this.mark);
      else tx.insert(MARKS, this.mark);
    });
  }

  private async tellUncleanStops(): Promise<void> {
    // While the store was away nobody could say that it lives; so they get as long as a lease to say it.
    if (performance.now() - this.awayMs < ALIVE_MS) return;
    const { rows } = await this.store.list(MARKS, { direction: 'asc' });
    for (const { id } of rows) {
      if (id === this.mark.id) continue;
      const lease = await this.store.acquire(leaseOf(id), ALIVE_MS);
      if (!lease) continue;
      await this.store.transaction(async (tx) => {
        const gone = await tx.get(MARKS, id);
        if (!gone) return;
        tx.delete(MARKS, id);
        const now = nowSeconds();
        this.events.publish(
          streamGap({ reason: 'unclean_stop', from: gone.seen_at, to: now, detected_at: now }),
          tx,
        );
      });
      await this.store.release(lease);
      this.logger.warn('a process ended without flushing its events; a gap tells it', { process: id });
    }
  }
}

function leaseOf(id: string): string {
  return `process:${id}`;
}
