/** Asks the service, and writes down when and what it answered: the history that the checker judges. */
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { ADMIN } from '../support/service.js';
import type { Asked, Did, Operation } from './history.js';
import type { Member } from './member.js';

/** Only a stopped process takes longer to answer than this. */
const ANSWER_MS = 10_000;
/** Idle connections are let go before the service does it, so that no request meets one that just ends. */
const IDLE_MS = 2000;

export interface Question {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  path: string;
  body?: object;
  /** An API key other than the admin's. */
  key?: string;
  /** The `Idempotency-Key`. */
  token?: string;
}

export interface Answer extends Asked {
  headers: IncomingMessage['headers'];
  body: unknown;
}

interface Reply {
  status: number;
  headers: IncomingMessage['headers'];
  text: string;
}

export class Recorder {
  readonly operations: Operation[] = [];
  /** As the last write was answered, whichever it was. */
  revision = 0;
  private readonly agent = new Agent({ keepAlive: true, timeout: IDLE_MS });
  private readonly open = new Set<Promise<unknown>>();

  /** Asks, and records what `did` makes of the answer. */
  async do(member: Member, question: Question, did: (answer: Answer) => Did): Promise<Answer> {
    const asking = this.ask(member, question);
    this.open.add(asking);
    const answer = await asking;
    this.open.delete(asking);
    const { headers: _headers, body: _body, ...asked } = answer;
    const done = did(answer);
    this.operations.push({ ...asked, ...done });
    if (done.kind === 'write' && done.revision !== undefined) this.revision = done.revision;
    return answer;
  }

  /** Every request has an end. */
  async settled(): Promise<void> {
    while (this.open.size > 0) await Promise.all(this.open);
  }

  close(): void {
    this.agent.destroy();
  }

  private async ask(member: Member, question: Question): Promise<Answer> {
    const wall = (Date.now() + member.shiftMs) / 1000;
    const startMs = performance.now();
    const common = { member: member.name, startMs, wall };
    try {
      const { status, headers, text } = await this.send(member.url, question);
      const endMs = performance.now();
      const body: unknown = text === '' ? undefined : JSON.parse(text);
      const code = status >= 400 ? (body as { code?: string } | undefined)?.code : undefined;
      return { ...common, endMs, status, code, retryAfter: headers['retry-after'], headers, body };
    } catch (error) {
      const code = String((error as NodeJS.ErrnoException).code ?? error);
      return { ...common, endMs: performance.now(), status: 0, code, headers: {}, body: undefined };
    }
  }

  private send(url: string, { method, path, body, key = ADMIN, token }: Question): Promise<Reply> {
    const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const headers = {
      Authorization: `Bearer ${key}`,
      // Each request comes from an address of its own: who tries revoked keys from one is slowed down.
      'X-Forwarded-For': anyAddress(),
      ...(bytes && { 'Content-Type': 'application/json', 'Content-Length': String(bytes.length) }),
      ...(token && { 'Idempotency-Key': token }),
    };
    return new Promise((done, fail) => {
      const request = httpRequest(url + path, { method, headers, agent: this.agent }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.once('error', fail);
        response.once('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          done({ status: response.statusCode ?? 0, headers: response.headers, text });
        });
      });
      request.setTimeout(ANSWER_MS, () => request.destroy(new Error(`no answer within ${ANSWER_MS} ms`)));
      request.once('error', fail);
      request.end(bytes);
    });
  }
}

function anyAddress(): string {
  const part = (): number => 1 + Math.floor(Math.random() * 250);
  return `10.${part()}.${part()}.${part()}`;
}
