/**
 * Buffers the events that are published without a transaction, and writes them to the log in batches. While the log cannot
 * be reached the buffer waits. Each principal has a share of the buffer (`Shares`). Events that do not fit are handed back to
 * whoever published them, or else counted in `Losses`; once the log answers again, the first thing written is a `stream.gap`
 * that reports them. A `stream.gap` needs no place in the buffer, so none is lost.
 */
import { atMost, nowSeconds, sleep } from '../../shared/clock.js';
import type { Actor } from '../../shared/context.js';
import { randomId } from '../../shared/ids.js';
import type { EventLog } from '../../storage/event-log.js';
import { type StreamGap, streamGap } from '../log.events.js';
import type { Losses } from './losses.js';
import type { OwnEvents } from './own-events.js';
import type { EventSerializer, SerializedEvent, UnserializedEvent } from './serializer.js';
import { type Share, Shares } from './shares.js';

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
/** How many requests wait for room at one time. Each holds its body in memory. */
const MAX_WAITING = 64;

/** Events that were published together: all of them are buffered, or none is. */
interface Group {
  events: readonly UnserializedEvent[];
  share: Share;
  /** Called if they do not fit. Without it they are lost, and a gap reports them. */
  instead?: () => void;
}

interface BufferedEvent extends SerializedEvent {
  share: Share;
}

interface Batch {
  id: string;
  events: SerializedEvent[];
  /** Those of its events that came through the buffer: none of a batch of gaps. */
  buffered: BufferedEvent[];
  /** When it was first sent. */
  sentMs?: number;
}

export class Sender {
  private readonly shares = new Shares(MAX_BUFFERED, MAX_BUFFERED_BYTES);
  private unserialized: Group[] = [];
  private serialized: BufferedEvent[] = [];
  /** Batches that were sent and may have arrived: each is sent again unchanged, under the same id. */
  private outbox: Batch[] = [];
  /** How many events were buffered, and how many of them were written or counted as lost. */
  private buffered = 0;
  private writtenOrLost = 0;
  /** How many batches were written without a confirmation that they are durable. */
  private unconfirmed = 0;
  private waiters: { until: number; resolve: () => void }[] = [];
  private readonly roomWaiters = new Set<() => void>();
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
    return this.shares.events === 0 && this.outbox.length === 0 && this.losses.size === 0;
  }

  /** Every event from before this time is in the log, or a gap in the log reports that it is lost. */
  get completeUntil(): number {
    let oldest = this.losses.oldest;
    // The clock may have been set back, so the first one need not be the oldest.
    for (const { events } of this.outbox) for (const { since } of events) oldest = Math.min(oldest, since);
    for (const { since } of this.serialized) oldest = Math.min(oldest, since);
    for (const { events } of this.unserialized) oldest = Math.min(oldest, events[0].timestamp);
    return oldest;
  }

  /** Takes events of one actor and one time. `instead`: called if they do not fit; else they count as lost. */
  add(events: readonly UnserializedEvent[], instead?: () => void): void {
    const [{ definition, payload, actor }] = events;
    if (definition.type === streamGap.type) this.losses.report(payload as StreamGap);
    else {
      const share = this.shares.take(actor, events.length);
      if (share) {
        this.unserialized.push({ events, share, instead });
        this.buffered += events.length;
      } else this.drop(events, instead);
    }
    this.schedule();
  }

  /** Waits, at most `ms`, while this actor holds more than half of its share of the buffer. */
  async room(actor: Actor | undefined, ms: number): Promise<void> {
    const endMs = performance.now() + ms;
    while (this.shares.isCrowded(actor) && this.roomWaiters.size < MAX_WAITING && performance.now() < endMs) {
      let wake!: () => void;
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      this.roomWaiters.add(wake);
      await atMost(endMs - performance.now(), woken);
      this.roomWaiters.delete(wake);
    }
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
    if (this.writtenOrLost < until) await atMost(ms, this.whenWritten());
    return this.writtenOrLost >= until && this.unconfirmed === unconfirmed;
  }

  /** Resolves when every event that was added before is in the log, or is counted as lost. */
  whenWritten(): Promise<void> {
    const until = this.buffered;
    if (this.writtenOrLost >= until) return Promise.resolve();
    return new Promise((resolve) => this.waiters.push({ until, resolve }));
  }

  private drop(events: readonly UnserializedEvent[], instead: (() => void) | undefined): void {
    if (instead) instead();
    else
      for (const { definition, timestamp } of events)
        this.losses.add('overflow', { type: definition.type, timestamp });
  }

  /** Runs outside the calls of `publish`, and for at most so many groups, so that it does not block the event loop. */
  private serialize(most: number): void {
    const slice = this.unserialized.length <= most ? this.unserialized : this.unserialized.slice(0, most);
    this.unserialized = this.unserialized.length <= most ? [] : this.unserialized.slice(most);
    for (const { events, share, instead } of slice) {
      const group = events.map((event) => this.bufferedOf(event, share));
      if (this.shares.takeBytes(share, sizeOf(group))) {
        for (const event of group) this.serialized.push(event);
        continue;
      }
      this.shares.release(share, events.length, 0);
      this.drop(events, instead);
      this.noteWrittenOrLost(events.length);
    }
  }

  private bufferedOf(event: UnserializedEvent, share: Share): BufferedEvent {
    const buffered = this.serializer.serialize(event) as BufferedEvent;
    buffered.share = share;
    return buffered;
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
        if (this.losses.size > 0 && this.outbox[0]?.buffered.length !== 0)
          this.outbox.unshift(this.gapBatch());
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
        this.release(batch);
        // The next batch does not wait for the Redis replicas; only decisions that must be durable do.
        if (this.durable) void this.confirm(batch, durable());
        else this.noteWrittenOrLost(batch.buffered.length);
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
    const events = this.serialized.slice(0, count);
    const batch = { id: randomId(16), events, buffered: events };
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
    this.release(batch);
    this.noteWrittenOrLost(batch.buffered.length);
    this.trouble('the log has not answered for so long that events may be missing', 'a gap reports them');
  }

  private async confirm({ buffered }: Batch, durable: Promise<void>): Promise<void> {
    try {
      await durable;
    } catch (error) {
      this.unconfirmed += 1;
      this.trouble('events are in the log, but too few Redis replicas have confirmed them', error);
    }
    this.noteWrittenOrLost(buffered.length);
  }

  private release({ buffered }: Batch): void {
    for (const { share, json } of buffered) this.shares.release(share, 1, json.length);
    for (const wake of this.roomWaiters) wake();
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
    return { id: randomId(16), events: this.losses.take(timestamp).map(serialize), buffered: [] };
  }
}

function sizeOf(events: SerializedEvent[]): number {
  return events.reduce((sum, { json }) => sum + json.length, 0);
}
