/**
 * Bounds the memory of all replays of this replica together. A reader that takes nothing keeps its page in memory until it is
 * disconnected. If too many bytes are unsent, the reader that has waited longest is disconnected at once; it comes back with
 * the id of its last event and loses nothing.
 */
import type { StreamReader } from './stream-reader.js';

const MAX_UNSENT_BYTES = 64 * 1024 * 1024;
/** What is read from the log at one time is in memory before it can be counted. */
const READS_AT_ONCE = 4;

export class UnsentHistory {
  private unsentBytes = 0;
  /** In the order in which they were sent. */
  private readonly waiting = new Map<StreamReader, number>();
  private reads = 0;
  private readonly queue: (() => void)[] = [];

  constructor(private readonly maxBytes = MAX_UNSENT_BYTES) {}

  /** Runs few of these at one time. */
  async read<T>(work: () => Promise<T>): Promise<T> {
    if (this.reads >= READS_AT_ONCE) await new Promise<void>((resolve) => this.queue.push(resolve));
    else this.reads += 1;
    try {
      return await work();
    } finally {
      const next = this.queue.shift();
      // The place goes to the next one.
      if (next) next();
      else this.reads -= 1;
    }
  }

  /** Resolves when the connection has taken the text, or is closed. */
  async send(client: StreamReader, text: string): Promise<void> {
    this.waiting.set(client, text.length);
    this.unsentBytes += text.length;
    this.cutOldest(client);
    try {
      await client.send(text);
    } finally {
      this.forget(client);
    }
  }

  private cutOldest(newest: StreamReader): void {
    for (const [client] of this.waiting) {
      if (this.unsentBytes <= this.maxBytes || client === newest) return;
      client.cut();
      this.forget(client);
    }
  }

  private forget(client: StreamReader): void {
    this.unsentBytes -= this.waiting.get(client) ?? 0;
    this.waiting.delete(client);
  }
}
