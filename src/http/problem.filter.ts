/** Turns errors into answers (RFC 9457). No other file knows the HTTP status of an error. */
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, Optional } from '@nestjs/common';
import type { Request, Response } from 'express';
import { Denials } from '../security/denials.js';
import { currentContext, type RequestContext } from '../shared/context.js';
import { BrainError, type ErrorKind, type Fault } from '../shared/errors.js';
import { Logger } from '../shared/logger.js';

export const STATUS: Record<ErrorKind, number> = {
  malformed: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  wrong_method: 405,
  conflict: 409,
  stale_version: 412,
  too_large: 413,
  unsupported: 415,
  invalid: 422,
  too_many: 429,
  unavailable: 503,
};

const TITLES: Record<number, string> = {
  400: 'Malformed request',
  401: 'Authentication required',
  403: 'Not permitted',
  404: 'Not found',
  405: 'Method not allowed',
  408: 'Too slow',
  409: 'Conflict',
  412: 'Changed since it was read',
  413: 'Too large',
  415: 'Unsupported content type',
  422: 'Invalid request',
  429: 'Too many requests',
  431: 'Headers too large',
  500: 'Internal error',
  503: 'Unavailable',
};

/** Without `Retry-After` all clients would try again at once. */
const RETRY_AFTER_SECONDS = 1;

type RequestIds = Pick<RequestContext, 'requestId' | 'serverRequestId'>;

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  request_id: string | null;
  /** Only where the client has chosen the other one. */
  server_request_id?: string;
  errors?: Fault[];
}

@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(
    private readonly logger: Logger,
    @Optional() public denials?: Denials,
  ) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    this.answer(error, http.getRequest<Request>(), http.getResponse<Response>());
  }

  answer(error: unknown, request: Request, response: Response): void {
    if (response.headersSent || response.destroyed) {
      response.destroy();
      return;
    }
    const { problem, retryAfterSeconds } = this.problemOf(error, request);
    if (isDenial(problem)) this.denials?.count(request, problem);
    const body = Buffer.from(JSON.stringify(problem));
    response.statusCode = problem.status;
    response.setHeader('Content-Type', 'application/problem+json; charset=utf-8');
    response.setHeader('Content-Length', body.length);
    // The handler may have set another one.
    response.setHeader('Cache-Control', 'no-store');
    // A client that waits for 100 Continue must not send the body now. Its next request comes on a new connection.
    if (request.headers.expect !== undefined && !request.complete) response.setHeader('Connection', 'close');
    if (problem.status === 401) response.setHeader('WWW-Authenticate', 'Bearer');
    if (retryAfterSeconds !== undefined) response.setHeader('Retry-After', String(retryAfterSeconds));
    response.end(body);
  }

  private problemOf(error: unknown, request: Request): { problem: Problem; retryAfterSeconds?: number } {
    const known = error instanceof BrainError ? error : translated(error, request);
    if (!known) {
      const stack = error instanceof Error ? error.stack : String(error);
      this.logger.error('a request failed because of a fault of this service', {
        stack,
        url: pathOf(request),
      });
      const detail =
        'This is a fault of the service, not of the request; its log says more under this request_id.';
      return { problem: problem(500, 'internal_error', detail) };
    }
    const status = STATUS[known.kind];
    const made = Object.assign(problem(status, known.code, known.detail), known.more.members);
    if (known.more.errors) made.errors = known.more.errors;
    if (status !== 429 && status !== 503) return { problem: made };
    if (status === 503) this.logger.warn(known.detail, { code: known.code, cause: causeOf(known) });
    return { problem: made, retryAfterSeconds: known.more.retryAfterSeconds ?? RETRY_AFTER_SECONDS };
  }
}

/**
 * For protocols that only have 400 for every fault of a request. Like every filter of a controller it also gets the errors
 * of the guards, such as a wrong content type.
 */
@Catch(BrainError)
export class BadRequestFilter extends ProblemFilter {
  override catch(error: BrainError, host: ArgumentsHost): void {
    const { kind, code, detail, more } = error;
    const isBad = kind === 'unsupported' || kind === 'invalid';
    super.catch(isBad ? new BrainError('malformed', code, detail, more) : error, host);
  }
}

function isDenial({ status, code }: Problem): boolean {
  return status === 401 || status === 403 || code === 'too_many_failures';
}

/** Errors of Express and Nest: a missing route, or a path that cannot be decoded. */
function translated(error: unknown, request: Request): BrainError | undefined {
  const status =
    error instanceof HttpException ? error.getStatus() : (error as { status?: unknown } | null)?.status;
  if (status === 404) return noSuchRoute(request);
  if (typeof status !== 'number' || status < 400 || status > 499) return undefined;
  return unreadable();
}

export function noSuchRoute(request: Request): BrainError {
  const detail = `There is no ${request.method} ${pathOf(request)}; /docs lists all routes.`;
  return new BrainError('not_found', 'no_such_route', detail);
}

export function wrongMethod(request: Request, methods: string[]): BrainError {
  const detail = `There is no ${request.method} ${pathOf(request)}; this path has ${methods.join(', ')}.`;
  return new BrainError('wrong_method', 'method_not_allowed', detail);
}

export function unreadable(
  detail = 'The request line or the headers could not be understood; check the path, its encoding, and Host.',
): BrainError {
  return new BrainError('malformed', 'malformed_request', detail);
}

export function problem(status: number, code: string, detail: string, ids?: RequestIds): Problem {
  const { requestId = null, serverRequestId } = ids ?? currentContext() ?? {};
  const title = TITLES[status] ?? 'Error';
  const made = { type: `urn:brain:problem:${code}`, title, status, detail, code, request_id: requestId };
  const isChosen = serverRequestId !== undefined && serverRequestId !== requestId;
  return isChosen ? { ...made, server_request_id: serverRequestId } : made;
}

/** The path without the query, which may have secrets. It is shortened, because a client chooses it. */
function pathOf(request: Request): string {
  return (request.url.split('?')[0] ?? '').slice(0, 200);
}

function causeOf({ more }: BrainError): string | undefined {
  return more.cause instanceof Error ? more.cause.message : undefined;
}
