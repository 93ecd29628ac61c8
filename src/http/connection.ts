/**
 * Bounds what one connection can make the service do at one time. Node reads up to 64 KiB at once and starts all requests in
 * them, so a client that does not wait for its answers would get thousands of them into memory.
 *
 * A few requests of a connection are under way; the others wait in their order, and meanwhile the connection is not read.
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

const MAX_UNDER_WAY = 8;
/** Waiting requests of all connections. Each takes a few KiB. One read of one connection has at most half as many. */
const MAX_WAITING = 4000;

/** The requests that wait, over all connections of a server. */
export class Waiting {
  count = 0;
  readonly connections = new Set<Connection>();

  /** Closes the connection with the most waiting requests, so that nobody loses a place to a client that sends more. */
  makeRoom(): void {
    let most: Connection | undefined;
    for (const one of this.connections) if (!most || one.waits > most.waits) most = one;
    most?.close();
  }
}

export class Connection {
  private finished = false;
  /** The requests that are served and not yet answered, in their order. */
  private readonly underWay = new Set<ServerResponse>();
  /** The last request; kept only while an answer is due, because it holds its body. */
  private latest?: ServerResponse;
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

  /** Whether nothing more of it is served, because it is uncertain where its last request ends. */
  get isFinished(): boolean {
    return this.finished;
  }

  /** How many of its requests wait. */
  get waits(): number {
    return this.queue.length;
  }

  /** Closes the connection after this answer. */
  finish(response: ServerResponse): void {
    response.setHeader('Connection', 'close');
    this.finished = true;
  }

  /** Closes the connection after the answers to all requests so far. Returns whether there are any, each with its whole body. */
  finishAfterAnswers(): boolean {
    if (!this.latest?.req.complete) return false;
    this.finished = true;
    return true;
  }

  /** Serves the request at once, or when earlier answers of its connection were sent. */
  take(response: ServerResponse, serve: () => void): void {
    // Node parses the rest of what it has read from a connection that was ended.
    if (this.socket.destroyed) return;
    this.latest = response;
    if (this.underWay.size >= MAX_UNDER_WAY) this.hold(response, serve);
    else {
      this.follow(response);
      serve();
    }
  }

  close(): void {
    this.leave();
    this.socket.destroy();
  }

  private hold(response: ServerResponse, serve: () => void): void {
    const { waiting, queue, socket } = this;
    queue.push(() => {
      this.follow(response);
      serve();
    });
    waiting.count += 1;
    waiting.connections.add(this);
    if (waiting.count > MAX_WAITING) waiting.makeRoom();
    socket.pause();
  }

  private follow(response: ServerResponse): void {
    this.underWay.add(response);
    response.once('close', () => {
      this.underWay.delete(response);
      if (this.underWay.size === 0 && this.queue.length === 0) this.latest = undefined;
      this.next();
    });
  }

  private next(): void {
    if (this.socket.destroyed) return;
    const serve = this.queue.shift();
    if (serve) {
      this.waiting.count -= 1;
      if (this.queue.length === 0) this.waiting.connections.delete(this);
      serve();
    }
    // Node has resumed the connection for the body of the request that was answered.
    if (this.queue.length > 0) this.socket.pause();
    else if (serve) this.socket.resume();
    else if (this.finished && this.underWay.size === 0) this.socket.end();
  }

  /** Node says only of the answer that was being sent that its connection is closed; those behind it would wait for ever. */
  private drop(): void {
    this.leave();
    for (const response of [...this.underWay]) if (response.socket === null) response.emit('close');
  }

  private leave(): void {
    this.waiting.count -= this.queue.length;
    this.waiting.connections.delete(this);
    this.queue.length = 0;
  }
}
