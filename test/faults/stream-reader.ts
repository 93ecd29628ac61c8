/** A reader of the live stream that comes back whenever it is cut off, and writes down all that it was given. */
import { sleep } from '../../src/shared/clock.js';
import { comparePositions, LOG_START } from '../../src/storage/event-log.js';
import { type Received, SseClient } from '../support/sse-client.js';

/** Sooner than the service asks for, so that a test does not wait for it. */
const COME_BACK_MS = 50;

export class StreamReader {
  /** How often it was let in. */
  connections = 0;
  private readonly client: SseClient;
  private readonly running: Promise<void>;
  private stopped = false;

  /**
   * Reads from the beginning. `url` is asked before each connection: who comes back may come to another replica.
   * `staysMs` makes it leave by itself after a time.
   */
  constructor(
    url: () => string,
    private readonly staysMs?: () => number,
  ) {
    this.client = new SseClient(() => `${url()}/api/events/stream`);
    this.client.lastEventId = LOG_START;
    this.running = this.follow();
  }

  /** The events of the log, in the order of arrival. */
  get events(): Received[] {
    return this.client.events.filter(({ event }) => event !== 'gap');
  }

  /** What the stream said about itself to this reader alone. */
  get gaps(): Received[] {
    return this.client.events.filter(({ event }) => event === 'gap');
  }

  get positions(): string[] {
    return this.events.map(({ data }) => data.position as string);
  }

  /** The positions that came after a greater one, or twice. */
  get disordered(): string[] {
    const { positions } = this;
    return positions.filter((position, i) => i > 0 && comparePositions(positions[i - 1], position) >= 0);
  }

  leave(): void {
    this.client.close();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.client.close();
    await this.running;
  }

  private async follow(): Promise<void> {
    while (!this.stopped) {
      try {
        await this.client.connect();
        if (this.client.status === 200) await this.stay();
      } catch {
        // Nobody listens there at the moment.
      }
      if (!this.stopped) await sleep(COME_BACK_MS);
    }
  }

  private async stay(): Promise<void> {
    this.connections += 1;
    const timer = this.staysMs && setTimeout(() => this.leave(), this.staysMs());
    if (this.stopped) this.leave();
    await this.client.ended();
    clearTimeout(timer);
  }
}
