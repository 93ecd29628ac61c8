/**
 * Answers a problem if Node's parser refuses a request: a header block that is too large, a broken chunk, no HTTP at all.
 * Node itself would only send a status line.
 */
import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { randomId } from '../shared/ids.js';
import { ANSWER_HEADERS } from './answer-headers.js';
import { type Problem, problem, unreadable } from './problem.filter.js';

const REASONS: Record<number, string> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  413: 'Payload Too Large',
  431: 'Request Header Fields Too Large',
};

/** Node keeps the current answer of a connection here. */
type Connection = Duplex & { _httpMessage?: ServerResponse | null };

export function refuseUnparsed(error: NodeJS.ErrnoException, socket: Connection): void {
  const running = socket._httpMessage;
  // The client would read a second answer as a part of the current one.
  if (error.code === 'ECONNRESET' || !socket.writable || running?.headersSent) {
    socket.destroy();
    return;
  }
  const known = running?.getHeader('X-Request-ID');
  const requestId = typeof known === 'string' ? known : randomId(20);
  socket.end(answerTo(problemOf(error.code, requestId), requestId), () => socket.destroy());
}

function problemOf(code: string | undefined, requestId: string): Problem {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return problem(
        431,
        'headers_too_large',
        'The headers may have at most 16 KiB together; send fewer headers.',
        { requestId },
      );
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return problem(
        413,
        'body_too_large',
        'The extensions of the chunks are too large; send the body without chunk extensions.',
        { requestId },
      );
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return problem(408, 'request_timeout', 'The request did not arrive in time; send it again.', {
        requestId,
      });
    default:
      return problem(400, unreadable().code, unreadable().detail, { requestId });
  }
}

function answerTo(answer: Problem, requestId: string): string {
  const body = JSON.stringify(answer);
  return [
    `HTTP/1.1 ${answer.status} ${REASONS[answer.status]}`,
    `X-Request-ID: ${requestId}`,
    'Content-Type: application/problem+json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...Object.entries(ANSWER_HEADERS).map(([name, value]) => `${name}: ${value}`),
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}
