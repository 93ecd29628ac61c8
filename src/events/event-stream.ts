/**
 * How a domain publishes events. `publish` returns at once and never throws. With a transaction the event is part of its
 * commit: both are stored, or neither. Without one it goes into the buffer of `Sender`, which writes it within milliseconds.
 */

import { atMost, nowSeconds } from '../shared/clock.js';
import { currentContext } from '../shared/context.js';
import { messageOf } from '../shared/errors.js';
import { LogOnce } from '../shared/log-once.js';
import type { Logger } from '../shared/logger.js';
import type { Mask } from '../shared/mask.js';
import type { EventLog, EventRecord } from '../storage/event-log.js';
import type { Tx } from '../storage/store.js';
import type { NewEvent } from './event.js';
import { Losses } from './publishing/losses.js';
import { OwnEvents } from './publishing/own-events.js';
import { Sender } from './publishing/sender.js';
import { EventSerializer, type UnserializedEvent } from './publishing/serializer.js';

/** How long a shutdown waits for a log that does not answer. After that, the next start reports the gap. */
const CLOSE_MS = 5000;

/** A part of the service that sums up what happened, and publishes the sums later. */
export interface Summing {
  /** The earliest time of anything that is in no published sum yet; infinity if there is nothing. */
  readonly since: number;
  publish(): void;
}

export class EventStream {
  /** The log is nearly full: allowed decisions are summed up and not stored one by one. */
  condensing = false;
  private readonly serializer: EventSerializer;
  private readonly losses = new Losses();
  private readonly ownEvents = new OwnEvents();
  private readonly sender: Sender;
  private readonly summing: Summing[] = [];
  private readonly troubleLog = new LogOnce();

  constructor(
    log: EventLog,
    private readonly logger: Logger,
    mask: Mask = (payload) => payload,
    /** Whether an event counts as written only when it is as durable as an acknowledged commit. */
    durable = false,
  ) {
    const trouble = (what: string, error: unknown): void => this.trouble(what, error);
    this.serializer = new EventSerializer(mask, trouble);
    this.sender = new Sender(log, this.serializer, this.losses, this.ownEvents, trouble, durable);
  }

  /** How many events were lost since the start, for any reason. A gap reports each of them. */
  get lost(): number {
    return this.losses.total;
  }

  publish(event: NewEvent, tx?: Tx): void {
    try {
      const unserialized = unserializedOf(event);
      if (tx) this.addTo(tx, unserialized);
      else this.sender.add([unserialized]);
    } catch (error) {
      this.trouble('an event could not be published', error);
    }
  }

  /** Publishes all of the events, or none of them. If they do not fit into the buffer, it calls `instead`. */
  publishTogether(events: readonly NewEvent[], instead: () => void): void {
    try {
      this.sender.add(events.map(unserializedOf), instead);
    } catch (error) {
      this.trouble('events could not be published', error);
    }
  }

  /**
   * Waits, at most `ms`, while the caller has used more than half of its share of the buffer. For requests that publish many
   * events.
   */
  room(ms: number): Promise<void> {
    return this.sender.room(currentContext()?.actor, ms);
  }

  /** The sums are published before the end of the service, and the log does not look complete without them. */
  addSumming(summing: Summing): void {
    this.summing.push(summing);
  }

  /** Resolves when every event published so far is in the log. */
  flush(): Promise<void> {
    return this.sender.flush();
  }

  /**
   * Waits until every event published so far is in the log, durable where that is demanded, or is counted as lost.
   * False where that takes longer than `ms`, or where nobody confirms that the events are durable.
   */
  written(ms: number): Promise<boolean> {
    return this.sender.written(ms);
  }

  /** Resolves when every event published so far is in the log, or is counted as lost. */
  whenWritten(): Promise<void> {
    return this.sender.whenWritten();
  }

  /** The event as the log stores it, for an event that another part of the service appends. */
  serialize(event: NewEvent): EventRecord {
    return this.serializer.serialize(unserializedOf(event));
  }

  /** All events that were published before this time are in the log, or a gap in the log reports that they are lost. */
  completeUntil(): number {
    const summed = this.summing.map(({ since }) => since);
    return Math.min(nowSeconds(), ...summed, this.sender.completeUntil);
  }

  /**
   * The earliest possible time of an event of this process after this position; undefined where there can be none.
   * `since` is the earliest time by the clock of this process at which an event was handed to a commit after it.
   */
  oldestWrittenAfter(position: string, since: number): number | undefined {
    return this.ownEvents.oldestAfter(position, since);
  }

  /** True when every event was written, or a gap that reports it as lost. Waits at most `mostMs` for a log that does not answer. */
  async close(mostMs = CLOSE_MS): Promise<boolean> {
    for (const summing of this.summing) summing.publish();
    await atMost(Math.min(mostMs, CLOSE_MS), this.flush());
    return this.sender.isComplete;
  }

  private addTo(tx: Tx, event: UnserializedEvent): void {
    const serialized = this.serializer.serialize(event);
    serialized.written = (position) => this.ownEvents.add(position, serialized.since);
    serialized.refused = (reason) => {
      this.losses.add('refused', serialized);
      this.trouble('the log refused an event; the change of state is stored', reason);
      this.sender.schedule();
    };
    this.ownEvents.noteTransactionEvent(serialized.timestamp);
    tx.record(serialized);
  }

  private trouble(what: string, error: unknown): void {
    if (this.troubleLog.isDue()) this.logger.warn(what, { reason: messageOf(error), lost: this.lost });
  }
}

/** An event with its time and its cause, before it is serialized. */
function unserializedOf({ definition, payload }: NewEvent): UnserializedEvent {
  const { correlationId: correlation = null, serverRequestId: request, actor } = currentContext() ?? {};
  return { definition, payload, timestamp: nowSeconds(), correlation, request, actor };
}
