/**
 * The one way for a domain to say what happened. `publish` returns at once and never throws; what becomes of the event
 * is this class's business:
 * - with a transaction it rides in its commit and shares its fate;
 * - without one it is buffered and flushed in batches; while the log is away the buffer waits, what does not fit any
 *   more is counted, and the first thing written when the log is back is a `stream.gap` that tells how many of which.
 */

import { atMost, nowSeconds, sleep } from '../shared/clock.js';
import { currentContext } from '../shared/context.js';
import { messageOf } from '../shared/errors.js';
import { randomId } from '../shared/ids.js';
import type { Logger } from '../shared/logger.js';
import type { Mask } from '../shared/mask.js';
import type { EventLog, EventRecord } from '../storage/event-log.js';
import type { Tx } from '../storage/store.js';
import type { NewEvent } from './event.js';
import { type StreamGap, streamGap } from './log.events.js';
import { counted, type Loss, Losses } from './publishing/losses.js';
import { type Ready, Sealing, type Waiting } from './publishing/seal.js';
import { Written } from './publishing/written.js';

/** Decisions are in the log at the latest after this. */
const FLUSH_MS = 5;
/** Waiting events are bounded in number and in size, so that a log which hangs for an hour takes no memory. */
const MAX_WAITING = 50_000;
const MAX_WAITING_BYTES = 64 * 1024 * 1024;
/** A batch is one call to the log; larger ones gain little and hold up the others. */
const BATCH = 500;
const BATCH_BYTES = 1024 * 1024;
const FIRST_RETRY_MS = 50;
const MAX_RETRY_MS = 1000;
/** A shutdown waits so long for a log that does not answer; then the start after it tells the gap. */
const CLOSE_MS = 5000;
/** The same trouble is logged at most so often. */
const LOG_EVERY_MS = 1000;
/** What was only counted is in an event ten seconds later at most, the flush of that event included. */
const SUMMARY_MS = 9000;

interface Batch {
  id: string;
  events: Ready[];
  bytes: number;
  /** How many of them came through the buffer. */
  buffered: number;
  /** When it was sent first. */
  sentMs?: number;
}

/** A batch is sent again for so much of the time in which the log knows it: what is sent must also arrive in time. */
const SAFE_SHARE = 23 / 24;

export class EventStream {
  /** How many events were lost since the start, for whatever reason; each loss is told by a gap as well. */
  lost = 0;
  /** The log is nearly full: what its definition calls noise is counted, and told by a gap within ten seconds. */
  condensing = false;
  private readonly sealing: Sealing;
  private waiting: Waiting[] = [];
  private ready: Ready[] = [];
  private readyBytes = 0;
  private readonly losses = new Losses();
  private readonly behind = new Written();
  private summary?: Loss;
  private summaryTimer?: NodeJS.Timeout;
  /** What was sent and may have arrived: it is sent again as it is, under the same id. */
  private outbox: Batch[] = [];
  /** How many were buffered, and how many of them were written or given up; what waits for the one waits for the other. */
  private buffered = 0;
  private settled = 0;
  /** How many batches were written of which nobody can say that they are durable. */
  private unconfirmed = 0;
  private waiters: { until: number; resolve: () => void }[] = [];
  private timer?: NodeJS.Timeout;
  private pumping?: Promise<void>;
  private away = false;
  private loggedMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly log: EventLog,
    private readonly logger: Logger,
    mask: Mask = (payload) => payload,
    /** Whether a batch counts as written only when it is as durable as an acknowledged commit. */
    private readonly durable = false,
  ) {
    this.sealing = new Sealing(mask, (what, error) => this.trouble(what, error));
  }

  publish(event: NewEvent, tx?: Tx): void {
    try {
      const { definition, payload } = event;
      const correlation = currentContext()?.correlationId ?? null;
      const waiting = { definition, payload, timestamp: nowSeconds(), correlation };
      if (tx) this.ride(waiting, tx);
      else this.buffer(waiting);
    } catch (error) {
      this.trouble('an event could not be published', error);
    }
  }

  /** Everything published so far is in the log, or the log is away. */
  async flush(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.serialize(Number.POSITIVE_INFINITY);
    await this.pump();
  }

  /**
   * Waits until everything published so far is in the log, durable where that is demanded, or was told to be missing; false
   * where that takes longer, or where it is not known to be durable.
   */
  async written(ms: number): Promise<boolean> {
    const until = this.buffered;
    const { unconfirmed } = this;
    if (this.settled < until) {
      const settled = new Promise<void>((resolve) => this.waiters.push({ until, resolve }));
      await atMost(ms, settled);
    }
    return this.settled >= until && this.unconfirmed === unconfirmed;
  }

  /** The event as it stands in the log, for what the log writes by itself. */
  seal({ definition, payload }: NewEvent): EventRecord {
    const correlation = currentContext()?.correlationId ?? null;
    return this.sealing.seal({ definition, payload, timestamp: nowSeconds(), correlation });
  }

  /** All that was published before this time is in the log. */
  completeUntil(): number {
    const queues = [this.outbox[0]?.events ?? [], this.ready, this.waiting];
    const waiting = queues.flatMap(([first]) => (first ? [first.timestamp] : []));
    return Math.min(nowSeconds(), this.summary?.from ?? nowSeconds(), ...waiting);
  }

  /** The earliest time that an event of this process behind this position may carry; nothing where there may be none. */
  writtenBehind(position: string): number | undefined {
    return this.behind.oldestBehind(position);
  }

  /** True when everything was written; waits no longer than `mostMs` for a log that does not answer. */
  async close(mostMs = CLOSE_MS): Promise<boolean> {
    this.summarize();
    await atMost(Math.min(mostMs, CLOSE_MS), this.flush());
    return this.unwritten() === 0;
  }

  private ride(waiting: Waiting, tx: Tx): void {
    const ready = this.sealing.seal(waiting);
    ready.refused = (reason) => {
      this.lose('refused', ready);
      this.trouble('the log refused an event; the state it tells of stands', reason);
      this.schedule();
    };
    this.behind.rode(ready.timestamp);
    tx.record(ready);
  }

  private buffer(waiting: Waiting): void {
    const { definition, payload, timestamp } = waiting;
    if (this.condensing && definition.noise?.(payload)) {
      this.summary = counted(this.summary, definition.type, timestamp);
      this.summaryTimer ??= setTimeout(() => this.summarize(), SUMMARY_MS).unref();
      return;
    }
    if (this.unwritten() >= MAX_WAITING) {
      this.lose('overflow', { type: definition.type, timestamp });
      return;
    }
    this.waiting.push(waiting);
    this.buffered += 1;
    this.schedule();
  }

  private schedule(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.serialize(BATCH);
      void this.pump();
      if (this.waiting.length > 0) this.schedule();
    }, FLUSH_MS);
  }

  /** Serializes in slices, off the stack of those who publish, and so that no slice holds up the event loop. */
  private serialize(most: number): void {
    const slice = this.waiting.length <= most ? this.waiting : this.waiting.slice(0, most);
    this.waiting = this.waiting.length <= most ? [] : this.waiting.slice(most);
    for (const waiting of slice) {
      const ready = this.sealing.seal(waiting);
      if (this.readyBytes + ready.json.length > MAX_WAITING_BYTES) {
        this.lose('overflow', ready);
        this.finish({ bytes: 0, buffered: 1 });
        continue;
      }
      this.readyBytes += ready.json.length;
      this.ready.push(ready);
    }
  }

  /** One batch after another until nothing waits; those who call meanwhile wait for the same run. */
  private pump(): Promise<void> {
    this.pumping ??= this.drain().finally(() => {
      this.pumping = undefined;
    });
    return this.pumping;
  }

  private async drain(): Promise<void> {
    let retryMs = FIRST_RETRY_MS;
    while (this.ready.length > 0 || this.outbox.length > 0 || this.losses.size > 0) {
      try {
        // Asked before the losses are summed up: so one gap tells them all, however long the log is away.
        if (this.away || this.losses.size > 0) await this.log.bounds();
        // The gap goes before what waits, so that whoever reads the log meets it before what came after.
        if (this.losses.size > 0) this.outbox.unshift(this.gapBatch());
        const batch = this.outbox[0] ?? this.nextBatch();
        if (this.isForgotten(batch)) {
          this.giveUp(batch);
          continue;
        }
        batch.sentMs ??= performance.now();
        const durable = this.log.watchDurability();
        const last = await this.log.append(batch.id, batch.events);
        this.behind.add(last, Math.min(...batch.events.map(({ since }) => since)));
        this.outbox.shift();
        this.readyBytes -= batch.bytes;
        // What comes behind it need not wait for the replicas, only the decisions that demand it.
        if (this.durable) void this.confirm(batch, durable());
        else this.settle(batch.buffered);
        this.away = false;
        retryMs = FIRST_RETRY_MS;
        this.serialize(BATCH);
      } catch (error) {
        this.away = true;
        this.trouble('the event log is away; events wait', error);
        await sleep(retryMs);
        retryMs = Math.min(MAX_RETRY_MS, retryMs * 2);
      }
    }
  }

  private nextBatch(): Batch {
    let bytes = 0;
    let count = 0;
    while (count < this.ready.length && count < BATCH && bytes < BATCH_BYTES) {
      bytes += this.ready[count].json.length;
      count += 1;
    }
    const batch = { id: randomId(16), events: this.ready.slice(0, count), bytes, buffered: count };
    this.ready = this.ready.slice(count);
    this.outbox.push(batch);
    return batch;
  }

  private isForgotten({ sentMs }: Batch): boolean {
    return sentMs !== undefined && performance.now() - sentMs > this.log.batchKnownMs * SAFE_SHARE;
  }

  /**
   * It may have arrived, but the log does not know it any more and would take it a second time. What it says is missing is
   * told anew; of the rest a gap says that it may be missing.
   */
  private giveUp(batch: Batch): void {
    this.outbox.shift();
    const gaps: Ready[] = [];
    for (const event of batch.events) {
      if (event.type === streamGap.type) gaps.push(this.again(event));
      else this.lose('unanswered', event);
    }
    if (gaps.length > 0) this.outbox.unshift({ id: randomId(16), events: gaps, bytes: 0, buffered: 0 });
    this.finish(batch);
    this.trouble('the log has not answered for so long that events may be missing', 'a gap tells it');
  }

  private again({ json }: Ready): Ready {
    const { payload } = JSON.parse(json) as { payload: StreamGap };
    return this.gapOf(payload);
  }

  private async confirm({ buffered }: Batch, durable: Promise<void>): Promise<void> {
    try {
      await durable;
    } catch (error) {
      this.unconfirmed += 1;
      this.trouble('events are in the log, but too few replicas have confirmed them', error);
    }
    this.settle(buffered);
  }

  private finish({ bytes, buffered }: Pick<Batch, 'bytes' | 'buffered'>): void {
    this.readyBytes -= bytes;
    this.settle(buffered);
  }

  private settle(buffered: number): void {
    this.settled += buffered;
    if (this.waiters.length === 0) return;
    for (const { until, resolve } of this.waiters) if (until <= this.settled) resolve();
    this.waiters = this.waiters.filter(({ until }) => until > this.settled);
  }

  private gapBatch(): Batch {
    const detected_at = nowSeconds();
    const events = this.losses.take().map((loss) => this.gapOf({ ...loss, detected_at }));
    return { id: randomId(16), events, bytes: 0, buffered: 0 };
  }

  private gapOf(gap: StreamGap): Ready {
    return this.sealing.seal({ ...streamGap(gap), timestamp: nowSeconds(), correlation: null });
  }

  private unwritten(): number {
    const sent = this.outbox.reduce((sum, batch) => sum + batch.events.length, 0);
    return this.waiting.length + this.ready.length + sent;
  }

  private lose(reason: StreamGap['reason'], { type, timestamp }: { type: string; timestamp: number }): void {
    this.lost += 1;
    this.losses.add(reason, type, timestamp);
  }

  private summarize(): void {
    clearTimeout(this.summaryTimer);
    this.summaryTimer = undefined;
    if (!this.summary) return;
    const { counts, from, to } = this.summary;
    this.summary = undefined;
    this.publish(streamGap({ reason: 'overflow', counts, from, to, detected_at: nowSeconds() }));
  }

  private trouble(what: string, error: unknown): void {
    if (performance.now() - this.loggedMs < LOG_EVERY_MS) return;
    this.loggedMs = performance.now();
    this.logger.warn(what, { reason: messageOf(error), lost: this.lost });
  }
}
