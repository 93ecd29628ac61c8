/** ETags and `If-Match`: a change happens only to the version that the caller knows. */
import {
  applyDecorators,
  type CallHandler,
  createParamDecorator,
  type ExecutionContext,
  type NestInterceptor,
  UseInterceptors,
} from '@nestjs/common';
import { ApiHeader } from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { map, type Observable } from 'rxjs';
import { BrainError } from '../shared/errors.js';
import type { Versions } from '../shared/expect-version.js';
import { DeclaresHeader } from './response-headers.js';

const TAG = '(?:W/)?"[\\x21\\x23-\\x7e]*"';
const TAGS = new RegExp(`^${TAG}(?:[ \\t]*,[ \\t]*${TAG})*$`);
/** Every tag of a list, and its version if it is an ETag of this service. A weak tag never matches. */
const EACH = /(W\/)?"(?:(0|[1-9]\d{0,14})|[^"]*)"/g;

/** The versions that `If-Match` accepts; undefined if it accepts any. */
export function versionsIn({ headers }: Pick<Request, 'headers'>): Versions | undefined {
  const header = headers['if-match']?.trim();
  if (header === undefined || header === '*') return undefined;
  if (!TAGS.test(header)) {
    const detail =
      'If-Match must be the ETag of the resource as it was sent, with its quotes, or several with commas, or *.';
    throw new BrainError('stale_version', 'invalid_if_match', detail);
  }
  return [...header.matchAll(EACH)].flatMap(([, weak, version]) =>
    weak === undefined && version !== undefined ? [Number(version)] : [],
  );
}

export const IfMatch = createParamDecorator((_: unknown, context: ExecutionContext): Versions | undefined =>
  versionsIn(context.switchToHttp().getRequest<Request>()),
);

/** Documents `If-Match` on a change. */
export const Conditional = (): MethodDecorator =>
  ApiHeader({
    name: 'If-Match',
    required: false,
    description:
      'The ETag that the resource must still have, or several; otherwise the answer is 412 and nothing is changed',
    schema: { type: 'string', examples: ['"3"'] },
  });

interface Versioned {
  version: number;
}

class ETagInterceptor implements NestInterceptor<Versioned, Versioned> {
  intercept(context: ExecutionContext, next: CallHandler<Versioned>): Observable<Versioned> {
    const response = context.switchToHttp().getResponse<Response>();
    return next.handle().pipe(
      map((resource) => {
        response.setHeader('ETag', `"${resource.version}"`);
        return resource;
      }),
    );
  }
}

/** For routes that set the ETag themselves. */
export const DeclaresETag = (): MethodDecorator =>
  DeclaresHeader('ETag', { description: 'The version of the resource, for `If-Match`', example: '"3"' });

/** The answer is one resource, and its version is the ETag. */
export const SendsETag = (): MethodDecorator =>
  applyDecorators(UseInterceptors(ETagInterceptor), DeclaresETag());
