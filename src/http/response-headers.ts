/** The headers of answers in OpenAPI. The decorator that sets a header also declares it. */
import {
  applyDecorators,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
  UseInterceptors,
} from '@nestjs/common';
import { ApiExtension } from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { type Observable, tap } from 'rxjs';

interface HeaderOfAnswer {
  description: string;
  example: string;
  /** Only answers with this status have it. Without a status every success has it. */
  status?: number;
}

/** Declarations are extensions of an operation until `declareHeaders` moves them to its answers. */
const DECLARED = 'x-answer-header-';

export const DeclaresHeader = (name: string, header: HeaderOfAnswer): MethodDecorator =>
  ApiExtension(DECLARED + name, header);

const REQUEST_ID = {
  description: 'The id of the request: that of the client, or a new one',
  example: 'k3v9x2abq8w1z4m7p0t5',
};
const RETRY_AFTER = { description: 'After how many seconds to come back', example: '1' };
const RATE_LIMIT = {
  description:
    'How many requests of this class the principal has left (`r`), and after how many seconds it has all of them again (`t`). ' +
    'Every answer to a request that a limit counts has it',
  example: '"writes";r=99;t=1',
};
const RATE_LIMIT_POLICY = {
  description: 'The limit: so many requests at once (`q`), and as many again in `w` seconds',
  example: '"writes";q=100;w=5',
};
/** What `ProblemFilter` and the limits of requests add to a problem. */
const OF_PROBLEMS: Record<string, [name: string, header: HeaderOfAnswer][]> = {
  401: [['WWW-Authenticate', { description: 'How to send a key', example: 'Bearer' }]],
  429: [
    ['Retry-After', RETRY_AFTER],
    ['RateLimit', RATE_LIMIT],
    ['RateLimit-Policy', RATE_LIMIT_POLICY],
  ],
  503: [['Retry-After', RETRY_AFTER]],
};

export type WithAnswers = Record<string, unknown> & {
  responses: Record<string, { headers?: Record<string, object> }>;
};

/** Adds the headers to the answers of an operation. `known` gets each of them once; the answers refer to it. */
export function declareHeaders(operation: WithAnswers, known: Record<string, object>): void {
  const add = (name: string, { description, example }: HeaderOfAnswer): object => {
    known[name] ??= { description, schema: { type: 'string', examples: [example] } };
    return { [name]: { $ref: `#/components/headers/${name}` } };
  };
  const declared = Object.entries(operation).filter(([key]) => key.startsWith(DECLARED));
  for (const [key] of declared) delete operation[key];
  for (const [status, answer] of Object.entries(operation.responses)) {
    answer.headers = { ...answer.headers, ...add('X-Request-ID', REQUEST_ID) };
    for (const [name, header] of OF_PROBLEMS[status] ?? []) Object.assign(answer.headers, add(name, header));
    for (const [key, header] of declared as [string, HeaderOfAnswer][]) {
      const has = header.status === undefined ? status.startsWith('2') : status === String(header.status);
      if (has) Object.assign(answer.headers, add(key.slice(DECLARED.length), header));
    }
  }
}

class LocationInterceptor implements NestInterceptor<object> {
  constructor(private readonly idName: string) {}

  intercept(context: ExecutionContext, next: CallHandler<object>): Observable<object> {
    const http = context.switchToHttp();
    const { path } = http.getRequest<Request>();
    const response = http.getResponse<Response>();
    return next.handle().pipe(
      tap((made) => {
        if (response.statusCode !== 201) return;
        const id = (made as Record<string, string>)[this.idName] ?? '';
        response.setHeader('Location', `${path}/${encodeURIComponent(id)}`);
      }),
    );
  }
}

/** A new resource has its path in `Location`: the path of the request, and its id. */
export const SendsLocation = (idName: string): MethodDecorator =>
  applyDecorators(
    UseInterceptors(new LocationInterceptor(idName)),
    DeclaresHeader('Location', {
      description: 'The path of the new resource',
      example: '/api/threats/7b6a3d0e-5c1f-4e57-9a55-0d7c2f1a9b3c',
      status: 201,
    }),
  );
