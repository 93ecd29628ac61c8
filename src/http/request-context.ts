/** Gives each request its ids, makes them available to all code that runs for the request, and logs the request. */
import type { NextFunction, Request, Response } from 'express';
import { type RequestContext, runInContext } from '../shared/context.js';
import { randomId } from '../shared/ids.js';
import type { Logger } from '../shared/logger.js';
import { setAnswerHeaders } from './answer-headers.js';

/**
 * Printable ASCII, short enough for every log. Any other id of a client is replaced. A space at an end would be lost in the
 * answer; a header that is sent twice, once empty, has one.
 */
const SANE = /^(?=.{1,128}$)[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/;

export function requestContext(logger: Logger, logRequests: boolean) {
  return (request: Request, response: Response, next: NextFunction): void => {
    const context = contextOf(request);
    response.setHeader('X-Request-ID', context.requestId);
    setAnswerHeaders(request, response);
    if (logRequests && logger.requests) logWhenDone(logger, request, response, context);
    runInContext(context, next);
  };
}

function contextOf(request: Request): RequestContext {
  const serverRequestId = randomId(20);
  const requestId = sane(request.headers['x-request-id']) ?? serverRequestId;
  const traceparent = request.headers.traceparent;
  const trace = typeof traceparent === 'string' ? TRACEPARENT.exec(traceparent)?.[1] : undefined;
  const correlationId = sane(request.headers['x-correlation-id']) ?? trace ?? requestId;
  return { requestId, serverRequestId, correlationId };
}

function sane(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' && SANE.test(header) ? header : undefined;
}

function logWhenDone(logger: Logger, request: Request, response: Response, context: RequestContext): void {
  const startedMs = performance.now();
  response.once('close', () => {
    logger.info('request', {
      method: request.method,
      // The pattern and not the path, so that lines can be counted by route.
      route: (request.route as { path?: string } | undefined)?.path ?? null,
      status: response.writableFinished ? response.statusCode : 499,
      ms: Math.round((performance.now() - startedMs) * 100) / 100,
      principal: context.actor?.id ?? null,
      request_id: context.requestId,
      server_request_id: context.serverRequestId,
      correlation_id: context.correlationId,
    });
  });
}
