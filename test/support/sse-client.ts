/** A reader of Server-Sent Events. Like a browser it keeps the last id, and can reconnect with it. */
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { sleep } from '../../src/shared/clock.js';
import { ADMIN } from './service.js';

export interface Received {
  id: string;
  event: string;
  data: Record<string, unknown>;
}

export class SseClient {
  /** Every event so far, of all connections. */
  readonly events: Received[] = [];
  lastEventId = '';
  retryMs: number | undefined;
  comments = 0;
  headers: IncomingMessage['headers'] = {};
  status = 0;
  private text = '';
  private problem = '';
  private request?: ClientRequest;
  private response?: IncomingMessage;
  private closed: Promise<void> = Promise.resolve();

  constructor(
    private readonly url: () => string,
    private readonly key = ADMIN,
  ) {}

  static async open(url: string, key?: string, lastEventId?: string): Promise<SseClient> {
    const client = new SseClient(() => url, key);
    if (lastEventId !== undefined) client.lastEventId = lastEventId;
    await client.connect();
    return client;
  }

  get open(): boolean {
    return this.response !== undefined && !this.response.destroyed;
  }

  /** The body of an answer that is no stream. */
  get body(): Record<string, unknown> {
    return JSON.parse(this.problem) as Record<string, unknown>;
  }

  /** Resolves with the headers of the answer, or rejects where there is none. */
  async connect(): Promise<void> {
    const headers = {
      Authorization: `Bearer ${this.key}`,
      ...(this.lastEventId && { 'Last-Event-ID': this.lastEventId }),
    };
    this.text = '';
    await new Promise<void>((connected, failed) => {
      this.request = request(this.url(), { headers, agent: false }, (response) => {
        this.take(response);
        connected();
      });
      this.request.once('error', failed);
      this.request.end();
    });
    if (this.status !== 200) await this.closed;
  }

  close(): void {
    this.request?.destroy();
    this.response?.destroy();
  }

  /** Resolves when the service has ended the connection. */
  ended(): Promise<void> {
    return this.closed;
  }

  pause(): void {
    this.response?.pause();
    this.response?.socket.pause();
  }

  resume(): void {
    this.response?.socket.resume();
    this.response?.resume();
  }

  /** Waits until so many events have come. */
  async received(count: number, ms = 10_000): Promise<Received[]> {
    const endMs = Date.now() + ms;
    while (this.events.length < count && Date.now() < endMs) await sleep(10);
    if (this.events.length >= count) return this.events;
    throw new Error(`${this.events.length} of ${count} events came within ${ms} ms`);
  }

  private take(response: IncomingMessage): void {
    this.response = response;
    this.status = response.statusCode ?? 0;
    this.headers = response.headers;
    response.setEncoding('utf8');
    response.on('data', (part: string) => {
      if (this.status === 200) this.parse(part);
      else this.problem += part;
    });
    response.on('error', () => undefined);
    this.closed = new Promise((done) => response.once('close', done));
  }

  private parse(part: string): void {
    this.text += part;
    const blocks = this.text.split('\n\n');
    this.text = blocks.pop() ?? '';
    for (const block of blocks) this.dispatch(block.split('\n'));
  }

  private dispatch(lines: string[]): void {
    const data: string[] = [];
    let event = 'message';
    for (const line of lines) {
      const colon = line.indexOf(':');
      const value = line.slice(colon + 1).replace(/^ /, '');
      if (colon === 0) this.comments += 1;
      else if (line.startsWith('id:')) this.lastEventId = value;
      else if (line.startsWith('event:')) event = value;
      else if (line.startsWith('retry:')) this.retryMs = Number(value);
      else if (line.startsWith('data:')) data.push(value);
    }
    if (data.length === 0) return;
    this.events.push({
      id: this.lastEventId,
      event,
      data: JSON.parse(data.join('\n')) as Record<string, unknown>,
    });
  }
}
