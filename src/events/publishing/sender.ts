/**
 * Buffers the events that are published without a transaction, and writes them to the log in batches. While the log cannot
 * be reached the buffer waits. Events that do not fit into it are counted in `Losses`; once the log answers again, the
 * first thing written is a `stream.gap` that reports them. A `stream.gap` needs no place in the buffer, so none is lost.
 */
import { atMost, nowSeconds, sleep } from '../../shared/clock.js';
import { randomId } from '../../shared/ids.js';
import type { EventLog } from '../../storage/event-log.js';
import { type StreamGap, streamGap } from '../log.events.js';
import type { Losses } from './losses.js';
import type { OwnEvents } from './own-events.js';
import type { EventSerializer, SerializedEvent, UnserializedEvent } from './serializer.js';

/** The longest time before a decision is in the log. */
const FLUSH_MS = 5;
/** The buffer is bounded in number and in size, so that a log that hangs for an hour does not fill the memory. */
const MAX_BUFFERED = 50_000;
const MAX_BUFFERED_BYTES = 64 * 1024 * 1024;
/** A batch is one call to the log. Larger ones are hardly faster, and other calls wait longer for them. */
const BATCH = 500;
const BATCH_BYTES = 1024 * 1024;
const FIRST_RETRY_MS = 50;
const MAX_RETRY_MS = 1000;
/** A batch is sent again only in this share of `batchKnownMs`, because it must also arrive within that time. */
const SAFE_SHARE = 23 / 24;

interface Batch {
  id: string;
  events: SerializedEvent[];
  bytes: number;
  /** How many of its events came through the buffer: none of a batch of gaps. */
  buffered: number;
  /** When it was first sent. */
  sentMs?: number;
}

export class Sender {
  private unserialized: UnserializedEvent[] = [];
  private serialized: SerializedEvent[] = [];
  private serializedBytes = 0;
  /** Batches that were sent and may have arrived: each is sent again unchanged, under the same id. */
  private outbox: Batch[] = [];
  /** How many events were buffered, and how many of them were written or counted as lost. */
  private buffered = 0;
  private writtenOrLost = 0;
  /** How many batches were written without a confirmation that they are durable. */
  private unconfirmed = 0;
  private waiters: { until: number; resolve: () => void }[] = [];
  private timer?: NodeJS.Timeout;
  private writing?: Promise<void>;
  private unreachable = false;

  constructor(
    private readonly log: EventLog,
    private readonly serializer: EventSerializer,
    private readonly losses: Losses,
    private readonly ownEvents: OwnEvents,
    private readonly trouble: (what: string, error: unknown) => void,
    /** Whether a batch counts as written only when it is as durable as an acknowledged commit. */
    private readonly durable: boolean,
  ) {}

  /** Every event that was added is in the log, or a gap in the log reports that it is lost. */
  get isComplete(): boolean {
    return this.unwritten === 0 && this.losses.size === 0;
  }

  /** Every event from before this time is in the log, or a gap in the log reports that it is lost. */
  get completeUntil(): number {
    let oldest = this.losses.oldest;
    // The clock may have been set back, so the first one need not be the oldest.
    for (const { events } of this.outbox) for (const { since } of events) oldest = Math.min(oldest, since);
    for (const { since } of this.serialized) oldest = Math.min(oldest, since);
    for (const { timestamp } of this.unserialized) oldest = Math.min(oldest, timestamp);
    return oldest;
  }

  private get unwritten(): number {
    const sent = this.outbox.reduce((sum, batch) => sum + batch.events.length, 0);
    return this.unserialized.length + this.serialized.length + sent;
  }

  add(event: UnserializedEvent): void {
    const { definition, payload, timestamp } = event;
    if (definition.type === streamGap.type) this.losses.report(payload as StreamGap);
    else if (this.unwritten >= MAX_BUFFERED)
      this.losses.add('overflow', { type: definition.type, timestamp });
    else {
      this.unserialized.push(event);
      this.buffered += 1;
    }
    this.schedule();
  }

  schedule(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.serialize(BATCH);
      void this.writeBatches();
      if (this.unserialized.length > 0) this.schedule();
    }, FLUSH_MS);
  }

  /** Resolves when every event that was added before is in the log. Waits for a log that cannot be reached. */
  async flush(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.serialize(Number.POSITIVE_INFINITY);
    await this.writeBatches();
  }

  /**
   * Waits until every event that was added before is in the log, durable where that is demanded, or is counted as lost.
   * False where that takes longer than `ms`, or where nobody confirms that the events are durable.
   */
  async written(ms: number): Promise<boolean> {
    const until = this.buffered;
    const { unconfirmed } = this;
    if (this.writtenOrLost < until) {
      const reached = new Promise<void>((resolve) => this.waiters.push({ until, resolve }));
      await atMost(ms, reached);
    }
    return this.writtenOrLost >= until && this.unconfirmed === unconfirmed;
  }

  /** Runs outside the calls of `publish`, and for at most so many events, so that it does not block the event loop. */
  private serialize(most: number): void {
    const slice = this.unserialized.length <= most ? this.unserialized : this.unserialized.slice(0, most);
    this.unserialized = this.unserialized.length <= most ? [] : this.unserialized.slice(most);
    for (const event of slice) {
      const serialized = this.serializer.serialize(event);
      if (this.serializedBytes + serialized.json.length > MAX_BUFFERED_BYTES) {
        this.losses.add('overflow', serialized);
        this.noteWrittenOrLost(1);
        continue;
      }
      this.serializedBytes += serialized.json.length;
      this.serialized.push(serialized);
    }
  }

  /** Writes one batch after another until none is left. Calls during a run wait for the same run. */
  private writeBatches(): Promise<void> {
    this.writing ??= this.writeAll().finally(() => {
      this.writing = undefined;
    });
    return this.writing;
  }

  private async writeAll(): Promise<void> {
    let retryMs = FIRST_RETRY_MS;
    while (this.serialized.length > 0 || this.outbox.length > 0 || this.losses.size > 0) {
      try {
        // The losses are added up only after the log answers, so that one gap reports them all.
        if (this.unreachable || this.losses.size > 0) await this.log.bounds();
        // The gap is written before the buffered events, so that readers see it before the events that came later. One
        // batch of gaps waits at most: a log that answers but takes nothing would otherwise get more and more of them.
        if (this.losses.size > 0 && this.outbox[0]?.buffered !== 0) this.outbox.unshift(this.gapBatch());
        const batch = this.outbox[0] ?? this.nextBatch();
        if (this.isForgotten(batch)) {
          this.giveUp(batch);
          continue;
        }
        batch.sentMs ??= performance.now();
        const durable = this.log.watchDurability();
        const last = await this.log.append(batch.id, batch.events);
        this.ownEvents.add(last, Math.min(...batch.events.map(({ since }) => since)));
        this.outbox.shift();
        this.serializedBytes -= batch.bytes;
        // The next batch does not wait for the Redis replicas; only decisions that must be durable do.
        if (this.durable) void this.confirm(batch, durable());
        else this.noteWrittenOrLost(batch.buffered);
        this.unreachable = false;
        retryMs = FIRST_RETRY_MS;
        this.serialize(BATCH);
      } catch (error) {
        this.unreachable = true;
        this.trouble('the event log cannot be reached; events wait in memory', error);
        await sleep(retryMs);
        retryMs = Math.min(MAX_RETRY_MS, retryMs * 2);
      }
    }
  }

  private nextBatch(): Batch {
    let bytes = 0;
    let count = 0;
    while (count < this.serialized.length && count < BATCH && bytes < BATCH_BYTES) {
      bytes += this.serialized[count].json.length;
      count += 1;
    }
    const batch = { id: randomId(16), events: this.serialized.slice(0, count), bytes, buffered: count };
    this.serialized = this.serialized.slice(count);
    this.outbox.push(batch);
    return batch;
  }

  private isForgotten({ sentMs }: Batch): boolean {
    return sentMs !== undefined && performance.now() - sentMs > this.log.batchKnownMs * SAFE_SHARE;
  }

  /**
   * The batch may have arrived, but the log no longer knows its id and would store it twice. Its events are counted as
   * unanswered, and a new gap says that they may be missing.
   */
  private giveUp(batch: Batch): void {
    this.outbox.shift();
    for (const event of batch.events) this.losses.add('unanswered', event);
    this.serializedBytes -= batch.bytes;
    this.noteWrittenOrLost(batch.buffered);
    this.trouble('the log has not answered for so long that events may be missing', 'a gap reports them');
  }

  private async confirm({ buffered }: Batch, durable: Promise<void>): Promise<void> {
    try {
      await durable;
    } catch (error) {
      this.unconfirmed += 1;
      this.trouble('events are in the log, but too few Redis replicas have confirmed them', error);
    }
    this.noteWrittenOrLost(buffered);
  }

  private noteWrittenOrLost(buffered: number): void {
    this.writtenOrLost += buffered;
    if (this.waiters.length === 0) return;
    for (const { until, resolve } of this.waiters) if (until <= this.writtenOrLost) resolve();
    this.waiters = this.waiters.filter(({ until }) => until > this.writtenOrLost);
  }

  private gapBatch(): Batch {
    const timestamp = nowSeconds();
    const serialize = (gap: StreamGap): SerializedEvent =>
      this.serializer.serialize({ ...streamGap(gap), timestamp, correlation: null });
    return { id: randomId(16), events: this.losses.take(timestamp).map(serialize), bytes: 0, buffered: 0 };
  }
}
