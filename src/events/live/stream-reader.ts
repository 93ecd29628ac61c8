/** One reader of the live stream: its connection, its queue, and when it is disconnected. */
import type { Response } from 'express';
import { atMost } from '../../shared/clock.js';
import type { EventFormat } from '../log/events.dto.js';
import { acceptsFoundOf, acceptsOf, type EventFilter } from '../log/filter.js';
import type { StoredEvent } from '../log/stored-event.js';
import type { Frame } from './sse.js';

/** A reader with a larger backlog is disconnected; it comes back with the id of its last event and loses nothing. */
const MAX_BACKLOG_BYTES = 1024 * 1024;
/** A reader that takes nothing for so long is disconnected. */
const STALL_MS = 60_000;
/** How long an ended connection may take to send the rest. */
const END_MS = 2000;

export interface Reader {
  principal: string;
  filter: EventFilter;
  format: EventFormat;
  /** Whether its key is still valid and has the permission. */
  admitted(): boolean;
}

export class StreamReader {
  /** The live events after this position are queued for it. Undefined while it only gets history. */
  liveFrom?: string;
  readonly wants: (event: StoredEvent) => boolean;
  /** The same for history, which is read from the log by the index. */
  readonly wantsFound: (event: StoredEvent) => boolean;
  private queue: string[] = [];
  private queuedBytes = 0;
  /** Bytes that the connection has taken, and when that last grew. */
  private takenBytes = 0;
  private takenMs = performance.now();
  /** History is being sent, so live events wait in the queue. */
  private replaying = true;

  constructor(
    readonly reader: Reader,
    private readonly response: Response,
  ) {
    this.wants = acceptsOf(reader.filter);
    this.wantsFound = acceptsFoundOf(reader.filter);
  }

  get open(): boolean {
    return !this.response.destroyed && !this.response.writableEnded;
  }

  begin(first: Frame): void {
    this.response.status(200);
    this.response.setHeader('Content-Type', 'text/event-stream; charset=utf-8');
    this.response.setHeader('Cache-Control', 'no-store, no-transform');
    // A proxy must not buffer a live stream.
    this.response.setHeader('X-Accel-Buffering', 'no');
    this.response.socket?.setNoDelay(true);
    this.response.write(first.text);
  }

  /** The history was sent, or there was none. */
  get live(): boolean {
    return !this.replaying;
  }

  startQueueing(liveFrom: string): void {
    this.liveFrom = liveFrom;
  }

  /** Undoes `startQueueing` before the reader is live. */
  stopQueueing(): void {
    this.liveFrom = undefined;
    this.queue = [];
    this.queuedBytes = 0;
  }

  /** Sends a part of history and waits until the connection has taken it. */
  async send(text: string): Promise<void> {
    if (!this.open || text === '' || this.response.write(text)) return;
    await atMost(STALL_MS, drained(this.response));
    if (this.response.writableNeedDrain) this.cut();
  }

  /** Adds a live event to the queue; false if the backlog is too large and the reader was disconnected. */
  offer({ text, bytes }: Frame): boolean {
    this.queue.push(text);
    this.queuedBytes += bytes;
    if (this.queuedBytes + this.response.writableLength <= MAX_BACKLOG_BYTES) return true;
    this.cut();
    return false;
  }

  /** The history was sent: the next flush sends the queue. */
  goLive(): void {
    this.replaying = false;
  }

  flush(): void {
    if (this.replaying || this.queue.length === 0) return;
    if (this.stalls()) this.cut();
    const text = this.queue.length === 1 ? this.queue[0] : this.queue.join('');
    this.queue = [];
    this.queuedBytes = 0;
    if (this.open) this.response.write(text);
  }

  /** Node's own timeout of a connection starts again with each heartbeat, also if nobody reads it. */
  private stalls(): boolean {
    const { socket } = this.response;
    const taken = socket ? socket.bytesWritten - socket.writableLength : 0;
    if (taken !== this.takenBytes || this.response.writableLength === 0) {
      this.takenBytes = taken;
      this.takenMs = performance.now();
    }
    return performance.now() - this.takenMs > STALL_MS;
  }

  end(last?: Frame): void {
    if (last) this.queue.push(last.text);
    this.replaying = false;
    this.flush();
    this.response.end();
    // A reader that does not take the rest must not delay a shutdown.
    setTimeout(() => this.response.destroy(), END_MS).unref();
  }

  cut(): void {
    this.queue = [];
    this.queuedBytes = 0;
    this.response.destroy();
  }
}

/** Removes its listeners, because a long replay waits thousands of times. */
function drained(response: Response): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}
