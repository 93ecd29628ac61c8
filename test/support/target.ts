/** An HTTP server that steps call. It records every request, and each test sets its answers. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Asked {
  method: string;
  path: string;
  headers: IncomingMessage['headers'];
  body: string;
  atMs: number;
}

type Answer = (request: Asked, response: ServerResponse) => void;

export class Target {
  readonly asked: Asked[] = [];
  private readonly answers = new Map<string, Answer>();
  private readonly server = createServer((request, response) => {
    let body = '';
    request.on('data', (part: Buffer) => {
      body += part.toString('utf8');
    });
    request.once('end', () => {
      const { method = '', url = '', headers } = request;
      const asked = { method, path: url, headers, body, atMs: performance.now() };
      this.asked.push(asked);
      const answer = this.answers.get(new URL(url, this.url).pathname);
      if (answer) answer(asked, response);
      else json(response, { path: url });
    });
  });

  static async start(): Promise<Target> {
    const target = new Target();
    await target.listen();
    return target;
  }

  async listen(): Promise<void> {
    await new Promise<void>((done) => this.server.listen(0, '127.0.0.1', done));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  on(path: string, answer: Answer): void {
    this.answers.set(path, answer);
  }

  /** How many requests each Idempotency-Key had. */
  keys(path: string): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { headers } of this.asked.filter((one) => one.path === path)) {
      const key = String(headers['idempotency-key']);
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    return counts;
  }

  times(path: string): number {
    return this.asked.filter((one) => one.path === path).length;
  }

  async stop(): Promise<void> {
    const closed = new Promise((done) => this.server.close(done));
    this.server.closeAllConnections();
    await closed;
  }
}

export function json(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
}
