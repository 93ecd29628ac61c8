/** What controllers read from a request besides its body and path, and how OpenAPI documents it. */
import {
  applyDecorators,
  createParamDecorator,
  type ExecutionContext,
  SetMetadata,
  UseFilters,
} from '@nestjs/common';
import { ApiExtension, ApiExtraModels, ApiHeader, ApiResponse, getSchemaPath } from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { BrainError } from '../shared/errors.js';
import { Described, ListOf, Num, Text } from '../shared/fields.js';
import { sha256 } from '../shared/ids.js';
import { DEFAULT_PAGE, type IdempotencyKey, MAX_PAGE } from '../storage/store.js';
import { IGNORES_UNKNOWN } from './input-schemas.js';
import { BadRequestFilter } from './problem.filter.js';

export const Limit = (): PropertyDecorator =>
  Num({
    optional: true,
    integer: true,
    min: 1,
    max: MAX_PAGE,
    default: DEFAULT_PAGE,
    description: 'The largest number of rows on a page',
  });

export const Cursor = (): PropertyDecorator =>
  Text({ optional: true, max: 1024, description: 'The `next_cursor` of the page before, unchanged' });

/** The query of a list. */
export class PageQuery {
  @Limit()
  limit: number = DEFAULT_PAGE;

  @Cursor()
  cursor?: string;
}

/** The number of rows on all pages of a list. */
export const Total = (): PropertyDecorator =>
  Num({
    integer: true,
    nullable: true,
    description: 'The number of rows in the list; null for more than 10,000 with several filters',
    example: 1,
  });

export const NextCursor = (): PropertyDecorator =>
  Text({
    max: 1024,
    nullable: true,
    description: 'The `cursor` of the next page; null at the end',
    example: null,
  });

@Described('One fault of a body or a query')
class ProblemFault {
  @Text({ max: 1024, description: 'Where the fault is, as a JSON pointer', example: '/severity' })
  pointer!: string;

  @Text({
    max: 1024,
    description: 'What is wrong, and what is allowed',
    example: 'must be one of LOW, MEDIUM, HIGH, CRITICAL',
  })
  detail!: string;

  @Text({ max: 64, description: 'The rule that is broken; stable, for programs', example: 'one_of' })
  code!: string;
}

/** RFC 9457, the shape of every error. */
@Described('An error, by RFC 9457')
class ProblemDetails {
  @Text({ max: 256, description: 'The code as a URN', example: 'urn:brain:problem:invalid_request' })
  type!: string;

  @Text({ max: 128, description: 'What the status means', example: 'Invalid request' })
  title!: string;

  @Num({ integer: true, description: 'The HTTP status', example: 422 })
  status!: number;

  @Text({
    max: 4096,
    description: 'What is wrong and what to do about it',
    example: 'The body has a fault; see errors.',
  })
  detail!: string;

  @Text({ max: 64, description: 'Stable, for programs', example: 'invalid_request' })
  code!: string;

  @Text({
    max: 128,
    nullable: true,
    description: 'The id of the request, as in the log and in X-Request-ID',
    example: 'k3v9x2abq8w1z4m7p0t5',
  })
  request_id!: string | null;

  @Text({
    max: 64,
    optional: true,
    description:
      'The id that the service made for the request, as in the log and in `meta` of its events. Only where the client sent an X-Request-ID; else `request_id` is that id',
    example: '8w1z4m7p0t5k3v9x2abq',
  })
  server_request_id?: string;

  @ListOf(() => ProblemFault, { optional: true, description: 'Every fault of the body or the query' })
  errors?: ProblemFault[];
}

const PROBLEMS: Record<number, string> = {
  400: 'The body is not JSON, or the request cannot be understood',
  401: 'There is no key, or it is not valid',
  403: 'The key lacks the permission of this route',
  404: 'There is nothing with this id',
  409: 'The current state does not allow it',
  412: 'The resource was changed: its ETag is no longer that of `If-Match`',
  413: 'The body is too large',
  415: 'The body is not JSON in UTF-8, or it is compressed',
  422: 'The body or the query breaks the schema; `errors` names every fault',
  429: 'Too many wrong keys from this address, too many requests of this principal (`rate_limited`), too many live streams, or a replica that is overloaded (`shedding_load`); `Retry-After` says when to come back',
  503: 'The store cannot be reached, is full or refuses writes, or the policies or keys in memory are too old; see `code`, and `Retry-After` for when to come back',
};

/** Documents the problems that a route can answer with. */
export function Problems(...statuses: number[]): MethodDecorator & ClassDecorator {
  return applyDecorators(...statuses.map((status) => ProblemIf(status, PROBLEMS[status])));
}

/** Documents a further cause of a problem. The descriptions of one status are put together. */
export function ProblemIf(status: number, description: string): MethodDecorator & ClassDecorator {
  const content = { 'application/problem+json': { schema: { $ref: getSchemaPath(ProblemDetails) } } };
  return applyDecorators(ApiExtraModels(ProblemDetails), ApiResponse({ status, description, content }));
}

/** Documents that unknown members of the body are ignored. Other routes refuse them. */
export const IgnoresUnknownMembers = (): MethodDecorator => ApiExtension(IGNORES_UNKNOWN, true);

/** Documents the refusal of an agent or a role that is not in the lists of the key. */
export const ForeignAgent = (): MethodDecorator =>
  ProblemIf(403, 'Or the key may not name this agent (`agent_not_yours`) or role (`role_not_yours`)');

/** A wrong content type and a body with faults get 400, for protocols that have no other status for them. */
export const OnlyBadRequests = (): ClassDecorator => UseFilters(BadRequestFilter);

/** What the guards add to a request. */
interface Guarded {
  principal?: { id: string };
  rawBody?: string;
  route?: { path: string };
}

/** A signal that is aborted when the connection closes before the answer is sent: nobody waits for the work any more. */
export const CallerGone = createParamDecorator((_: unknown, context: ExecutionContext): AbortSignal => {
  const response = context.switchToHttp().getResponse<Response>();
  const gone = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) gone.abort();
  });
  return gone.signal;
});

const KEY = /^[\x21-\x7e]{1,255}$/;

/** The `Idempotency-Key` of a create. It is only valid for this caller and this route. */
export const Idempotency = createParamDecorator(
  (_: unknown, context: ExecutionContext): IdempotencyKey | undefined => {
    const request = context.switchToHttp().getRequest<Request & Guarded>();
    const key = request.headers['idempotency-key'];
    if (key === undefined) return undefined;
    if (typeof key !== 'string' || !KEY.test(key)) {
      const detail =
        'Idempotency-Key must be 1 to 255 printable characters without spaces; a UUID does well.';
      throw new BrainError('invalid', 'invalid_idempotency_key', detail);
    }
    const { path } = (request.route as { path: string } | undefined) ?? request;
    // The path parameters are a part of it: the same rule for two policies is two creates.
    const route = [request.method, path, ...Object.values(request.params)].join(' ');
    return { key: `${request.principal?.id ?? ''} ${route} ${key}`, body: sha256(request.rawBody ?? '') };
  },
);

/** Documents `Idempotency-Key` on a create. */
export const Idempotent = (repeated = 'the first answer again'): MethodDecorator =>
  ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description: `For 24 hours a request with the same key and the same body gets ${repeated}, and one with another body gets 422`,
    schema: { type: 'string', maxLength: 255 },
  });

const MIB = 1024 * 1024;

export interface BodyRules {
  maxBytes: number;
  /** Whether `application/yaml` is accepted too. The handler gets it as text, because parsing it is slow. */
  yaml: boolean;
}

const BODY = 'body';
export const USUAL_BODY_BYTES = MIB / 4;
const USUAL: BodyRules = { maxBytes: USUAL_BODY_BYTES, yaml: false };

/** Allows a larger body for a route, or YAML. */
export const BodyOf = ({ maxMib, yaml = false }: { maxMib: number; yaml?: boolean }): MethodDecorator =>
  SetMetadata(BODY, { maxBytes: maxMib * MIB, yaml } satisfies BodyRules);

export function bodyRulesOf(handler: object): BodyRules {
  return (Reflect.getMetadata(BODY, handler) as BodyRules | undefined) ?? USUAL;
}

const OWN_CHECK = 'own body check';

/** The service behind the handler checks the body itself, so `@Body()` needs no class. */
export const ChecksOwnBody = (): MethodDecorator => SetMetadata(OWN_CHECK, true);

export function checksItsBody(handler: object): boolean {
  return Reflect.getMetadata(OWN_CHECK, handler) === true;
}
