/**
 * Bounds what one connection can make the service do at one time. Node reads up to 64 KiB at once and starts all requests in
 * them, so a client that does not wait for its answers would get thousands of them into memory.
 *
 * A few requests of a connection are under way; the others wait in their order, and meanwhile the connection is not read.
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

const MAX_UNDER_WAY = 8;
/** Waiting requests of all connections. Each takes a few KiB. */
const MAX_WAITING = 2000;

/** The number of requests that wait, over all connections of a server. */
export interface Waiting {
  count: number;
}

export class Connection {
  private finished = false;
  private latest?: ServerResponse;
  /** Counted only while requests arrive before the answers to earlier ones are sent; most clients never do that. */
  private underWay = 0;
  private readonly queue: (() => void)[] = [];

  constructor(
    private readonly socket: Socket,
    private readonly waiting: Waiting,
  ) {
    socket.once('close', () => this.drop());
  }

  /** Ends a connection on which nothing was sent. */
  endIfUnused(): void {
    if (this.socket.bytesRead === 0) this.socket.destroy();
  }

  /** Whether nothing more of it is read, because it is uncertain where its last request ends. */
  get isFinished(): boolean {
    return this.finished;
  }

  /** Closes the connection after this answer. */
  finish(response: ServerResponse): void {
    response.setHeader('Connection', 'close');
    this.finished = true;
  }

  /** Serves the request at once, or when earlier answers of its connection were sent. */
  take(response: ServerResponse, serve: () => void): void {
    const { latest, socket } = this;
    // Node parses the rest of what it has read from a connection that was ended.
    if (socket.destroyed) return;
    this.latest = response;
    if (this.underWay === 0) {
      if (latest === undefined || latest.writableFinished) {
        serve();
        return;
      }
      this.follow(latest);
    }
    if (this.underWay < MAX_UNDER_WAY) {
      this.follow(response);
      serve();
    } else this.hold(response, serve);
  }

  private hold(response: ServerResponse, serve: () => void): void {
    if (this.waiting.count >= MAX_WAITING) {
      this.socket.destroy();
      return;
    }
    this.waiting.count += 1;
    this.queue.push(() => {
      this.follow(response);
      serve();
    });
    this.socket.pause();
  }

  private follow(response: ServerResponse): void {
    this.underWay += 1;
    response.once('close', () => this.next());
  }

  private next(): void {
    this.underWay -= 1;
    if (this.socket.destroyed) return;
    const serve = this.queue.shift();
    if (!serve) return;
    this.waiting.count -= 1;
    serve();
    // Node has resumed the connection for the body of the request that was answered.
    if (this.queue.length > 0) this.socket.pause();
    else this.socket.resume();
  }

  private drop(): void {
    this.waiting.count -= this.queue.length;
    this.queue.length = 0;
  }
}
