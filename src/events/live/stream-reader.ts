/** One reader of the live stream: what waits for it, and where its patience or ours ends. */
import type { Response } from 'express';
import { atMost } from '../../shared/clock.js';
import type { EventFormat } from '../log/events.dto.js';
import { acceptsFoundOf, acceptsOf, type EventFilter } from '../log/filter.js';
import type { StoredEvent } from '../log/stored-event.js';
import type { Frame } from './sse.js';

/** A reader that is so far behind is cut off; it comes back with the id of its last event and loses nothing. */
const MAX_BACKLOG_BYTES = 1024 * 1024;
/** A reader that takes nothing at all for so long, while history waits for it, is gone. */
const STALL_MS = 60_000;
const LAST_WORDS_MS = 2000;

export interface Reader {
  principal: string;
  filter: EventFilter;
  format: EventFormat;
  /** Whether its key would still be let in. */
  admitted(): boolean;
}

export class StreamReader {
  /** Where it has joined: what comes behind this place it gets as it comes. */
  joint?: string;
  readonly wants: (event: StoredEvent) => boolean;
  /** The same for history, which is read from the log by the index. */
  readonly wantsFound: (event: StoredEvent) => boolean;
  private queue: string[] = [];
  private queuedBytes = 0;
  /** While history is being sent, what comes meanwhile waits behind it. */
  private held = true;

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
    // Proxies that buffer would hold back what is meant to be live.
    this.response.setHeader('X-Accel-Buffering', 'no');
    this.response.socket?.setNoDelay(true);
    this.response.write(first.text);
  }

  /** History is over, or there was none to send. */
  get live(): boolean {
    return !this.held;
  }

  /** From now on it gets what comes behind this place; what is before it is history. */
  join(joint: string): void {
    this.joint = joint;
  }

  /** Before it is live: it has not joined after all, and nothing waits for it. */
  leave(): void {
    this.joint = undefined;
    this.queue = [];
    this.queuedBytes = 0;
  }

  /** Sends a part of history, and waits until the reader has taken it. */
  async send(text: string): Promise<void> {
    if (!this.open || text === '' || this.response.write(text)) return;
    await atMost(STALL_MS, drained(this.response));
    if (this.response.writableNeedDrain) this.cut();
  }

  /** Puts it behind what waits; false where that was too much for this reader. */
  offer({ text, bytes }: Frame): boolean {
    this.queue.push(text);
    this.queuedBytes += bytes;
    if (this.queuedBytes + this.response.writableLength <= MAX_BACKLOG_BYTES) return true;
    this.cut();
    return false;
  }

  /** History is over: from now on what is offered goes out with the next flush. */
  release(): void {
    this.held = false;
  }

  flush(): void {
    if (this.held || this.queue.length === 0) return;
    const text = this.queue.length === 1 ? this.queue[0] : this.queue.join('');
    this.queue = [];
    this.queuedBytes = 0;
    if (this.open) this.response.write(text);
  }

  end(last?: Frame): void {
    if (last) this.queue.push(last.text);
    this.held = false;
    this.flush();
    this.response.end();
    // One that does not take the rest must not hold up a shutdown.
    setTimeout(() => this.response.destroy(), LAST_WORDS_MS).unref();
  }

  cut(): void {
    this.queue = [];
    this.queuedBytes = 0;
    this.response.destroy();
  }
}

/** Takes its listeners away again: a long replay waits thousands of times. */
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
