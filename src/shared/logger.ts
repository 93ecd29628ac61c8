/** The log of the process, as JSON lines or as readable lines for a terminal. Callers must not log secrets. */
import type { LoggerService } from '@nestjs/common';
import { type Logger as Pino, pino } from 'pino';
import { currentContext } from './context.js';

export interface LogOptions {
  level: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  format: 'json' | 'pretty';
}

export class Logger implements LoggerService {
  private readonly pino: Pino;

  constructor(options: LogOptions, out: { write(line: string): unknown } = process.stdout) {
    const sink = options.format === 'json' ? out : { write: (line: string) => out.write(pretty(line)) };
    this.pino = pino(
      {
        level: options.level,
        base: null,
        timestamp: () => `,"time":${Date.now() / 1000}`,
        formatters: { level: (label) => ({ level: label }) },
        mixin: () => {
          const context = currentContext();
          if (!context) return {};
          const { requestId, serverRequestId, correlationId } = context;
          const own = serverRequestId === undefined ? {} : { server_request_id: serverRequestId };
          return { request_id: requestId, ...own, correlation_id: correlationId };
        },
      },
      sink,
    );
  }

  /** Whether a line for each request would be written. */
  get requests(): boolean {
    return this.pino.isLevelEnabled('info');
  }

  info(message: string, fields: object = {}): void {
    this.pino.info(fields, message);
  }

  warn(message: unknown, ...rest: unknown[]): void {
    this.pino.warn(fieldsOf(rest), String(message));
  }

  error(message: unknown, ...rest: unknown[]): void {
    this.pino.error(fieldsOf(rest), String(message));
  }

  debug(message: unknown, ...rest: unknown[]): void {
    this.pino.debug(fieldsOf(rest), String(message));
  }

  /** Nest calls this for its lines about modules and routes. They help developers and not operators, so they are debug lines. */
  log(message: unknown, ...rest: unknown[]): void {
    this.pino.debug(fieldsOf(rest), String(message));
  }

  fatal(message: unknown, ...rest: unknown[]): void {
    this.error(message, ...rest);
  }
}

/** Our own code passes one object. Nest passes strings: a context, and before it a stack if there is an error. */
function fieldsOf(rest: unknown[]): object {
  const [first] = rest;
  if (typeof first === 'object' && first !== null)
    return first instanceof Error ? { stack: first.stack } : first;
  const texts = rest.filter((part) => typeof part === 'string');
  const context = texts.at(-1);
  const stack = texts.length > 1 ? texts[0] : undefined;
  return { ...(context !== undefined && { context }), ...(stack !== undefined && { stack }) };
}

function pretty(line: string): string {
  try {
    const { level, time, msg, stack, ...fields } = JSON.parse(line) as Record<string, unknown> & {
      stack?: string;
    };
    const at = new Date(Number(time) * 1000).toISOString().slice(11, 23);
    const rest = Object.entries(fields)
      .map(([key, value]) => ` ${key}=${shown(value)}`)
      .join('');
    // The lines of a stack stay lines. They are indented, so that none looks like a line of the log.
    const trace = stack === undefined ? '' : `\n${stack}`.split('\n').map(escaped).join('\n    ');
    return `${at} ${String(level).toUpperCase().padEnd(5)} ${escaped(String(msg))}${rest}${trace}\n`;
  } catch {
    return line;
  }
}

/** A client chooses some values, such as ids. In quotes none of them looks like another field. */
function shown(value: unknown): string {
  return typeof value === 'string' && /^[^\s"=]+$/.test(value)
    ? escaped(value)
    : escaped(JSON.stringify(value));
}

/** Without control characters and invisible ones: they could move the cursor, hide text, or begin another line. */
function escaped(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (one) => `\\u{${(one.codePointAt(0) ?? 0).toString(16)}}`,
  );
}
