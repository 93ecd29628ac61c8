/** HTTP byte by byte over a plain socket, for what no client library would send. */
import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  status: number;
  headers: Record<string, string>;
  body: string;
  json(): Record<string, unknown>;
}

/** Shorter than the limit of a test, so that the error can name what the test waited for. */
const PATIENCE_MS = 10_000;

export class RawConnection {
  /** What has arrived and is not part of a returned answer. */
  private received = Buffer.alloc(0);
  private open = true;
  private wake: () => void = () => undefined;

  private constructor(private readonly socket: Socket) {
    socket.on('data', (bytes) => {
      this.received = Buffer.concat([this.received, bytes]);
      this.wake();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.open = false;
      this.wake();
    });
  }

  static async to(port: number): Promise<RawConnection> {
    const socket = connect(port, '127.0.0.1');
    await new Promise((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    socket.setNoDelay(true);
    return new RawConnection(socket);
  }

  send(bytes: string | Buffer): void {
    this.socket.write(bytes);
  }

  /** The next answer, also an interim one (100). Undefined if the connection ends without one. */
  async answer(patienceMs = PATIENCE_MS, ofHead = false): Promise<RawAnswer | undefined> {
    const endMs = Date.now() + patienceMs;
    for (;;) {
      const found = this.take(ofHead);
      if (found) return found;
      if (!this.open) return undefined;
      const leftMs = endMs - Date.now();
      if (leftMs <= 0) throw new Error(`No answer within ${patienceMs} ms; so far: ${this.text()}`);
      await this.change(leftMs);
    }
  }

  /** Whether nothing at all comes for this long. */
  async isSilentFor(ms: number): Promise<boolean> {
    const endMs = Date.now() + ms;
    while (this.received.length === 0 && this.open && Date.now() < endMs)
      await this.change(endMs - Date.now());
    return this.received.length === 0 && this.open;
  }

  async ended(patienceMs = PATIENCE_MS): Promise<void> {
    const endMs = Date.now() + patienceMs;
    while (this.open) {
      if (Date.now() >= endMs) throw new Error(`The connection is still open after ${patienceMs} ms`);
      await this.change(endMs - Date.now());
    }
  }

  close(): void {
    this.socket.destroy();
  }

  private text(): string {
    return JSON.stringify(this.received.toString('latin1').slice(0, 500));
  }

  private change(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, withinMs);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  private take(ofHead: boolean): RawAnswer | undefined {
    const end = this.received.indexOf('\r\n\r\n');
    if (end < 0) return undefined;
    const [first = '', ...lines] = this.received.subarray(0, end).toString('latin1').split('\r\n');
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1]);
    const headers = Object.fromEntries(
      lines.map((line) => [line.split(':')[0]?.toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    ) as Record<string, string>;
    const rest = this.received.subarray(end + 4);
    // A stream of events has no end; that it began is the answer.
    const endless = status === 200 && headers['content-type']?.startsWith('text/event-stream');
    const chunked = headers['transfer-encoding'] === 'chunked';
    const none = status < 200 || status === 204 || status === 304 || ofHead || endless;
    if (chunked && !none) {
      const joined = unchunked(rest);
      if (!joined) return undefined;
      this.received = Buffer.from(rest.subarray(joined.size));
      return answerOf(status, headers, joined.body);
    }
    const length = none ? 0 : Number(headers['content-length'] ?? Number.NaN);
    // What has no length ends with the connection.
    if (Number.isNaN(length) ? this.open : rest.length < length) return undefined;
    const size = Number.isNaN(length) ? rest.length : length;
    const body = rest.subarray(0, size).toString('utf8');
    this.received = Buffer.from(rest.subarray(size));
    return answerOf(status, headers, body);
  }
}

function answerOf(status: number, headers: Record<string, string>, body: string): RawAnswer {
  return { status, headers, body, json: () => JSON.parse(body) as Record<string, unknown> };
}

/** A body that came in chunks, and how many bytes it took; nothing while the last of them is missing. */
function unchunked(bytes: Buffer): { body: string; size: number } | undefined {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = bytes.indexOf('\r\n', at);
    if (end < 0) return undefined;
    const length = Number.parseInt(bytes.toString('latin1', at, end), 16);
    const next = end + 2 + length + 2;
    if (bytes.length < next) return undefined;
    if (length === 0) return { body: Buffer.concat(parts).toString('utf8'), size: next };
    parts.push(bytes.subarray(end + 2, next - 2));
    at = next;
  }
}

/** The bytes of one request; header lines as they are given, Host and nothing else added. */
export function requestBytes(
  line: string,
  headers: (string | undefined)[] = [],
  body: string | Buffer = '',
): Buffer {
  const lines = [`${line} HTTP/1.1`, 'Host: brain.test', ...headers.filter((one) => one !== undefined)];
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), Buffer.from(body)]);
}
