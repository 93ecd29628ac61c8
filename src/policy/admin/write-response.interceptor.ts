/** The common answer of all routes that change policies. */
import {
  applyDecorators,
  type CallHandler,
  type ExecutionContext,
  Injectable,
  type NestInterceptor,
  UseInterceptors,
} from '@nestjs/common';
import type { Response } from 'express';
import { mergeMap, type Observable } from 'rxjs';
import { DeclaresHeader } from '../../http/response-headers.js';
import { SnapshotCache } from '../decisions/snapshot-cache.js';
import type { Policy, Rule } from '../engine/policy.dto.js';
import type { Written } from './editor.js';
import type { WrittenPolicy, WrittenRule } from './policies.dto.js';

/** The longest wait for this replica; other replicas decide by the write within a second. */
const MAX_WAIT_MS = 1000;

/** What a route returns to the interceptor. */
export interface WriteResult {
  /** The revision of the set of policies after the write. */
  revision: number;
  /** Its revision becomes the ETag. */
  policy?: Policy;
  body?: object;
}

export function policyResult({ policy, revision, warnings }: Written): WriteResult {
  const body: WrittenPolicy = { ...policy, policy_revision: revision, warnings };
  return { revision, policy, body };
}

export function ruleResult({ policy, rule, revision, warnings }: Written & { rule: Rule }): WriteResult {
  const body: WrittenRule = { ...rule, policy_revision: revision, warnings };
  return { revision, policy, body };
}

/** Sets `Policy-Revision` and `ETag`. It answers only when this replica decides by the write, so a caller sees its own write. */
@Injectable()
class WriteResponseInterceptor implements NestInterceptor<WriteResult, object | undefined> {
  constructor(private readonly snapshots: SnapshotCache) {}

  intercept(context: ExecutionContext, next: CallHandler<WriteResult>): Observable<object | undefined> {
    const response = context.switchToHttp().getResponse<Response>();
    return next.handle().pipe(
      mergeMap(async ({ revision, policy, body }) => {
        response.setHeader('Policy-Revision', revision);
        if (policy) response.setHeader('ETag', `"${policy.revision}"`);
        await this.snapshots.waitFor(revision, MAX_WAIT_MS);
        return body;
      }),
    );
  }
}

/** For routes that return a `WriteResult`. */
export const SendsPolicyRevision = (): MethodDecorator =>
  applyDecorators(
    UseInterceptors(WriteResponseInterceptor),
    DeclaresHeader('Policy-Revision', {
      description: 'The revision of the set of policies after the write, for `min_revision`',
      example: '42',
    }),
  );
