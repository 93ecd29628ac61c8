/** How all routes that change policies answer. */
import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import type { Response } from 'express';
import { mergeMap, type Observable } from 'rxjs';
import type { WrittenPolicy, WrittenRule } from '../decisions/routes.dto.js';
import { SnapshotCache } from '../decisions/snapshot-cache.js';
import type { Policy, Rule } from '../engine/policy.dto.js';
import type { Written } from './editor.js';

/** So long a write waits until this replica decides by it; others do within a second. */
const OWN_MS = 1000;

/** A write as its route gives it to the interceptor. */
export interface Done {
  /** Of the whole set, after the write. */
  revision: number;
  /** Whose revision becomes the ETag. */
  policy?: Policy;
  body?: object;
}

export function policyDone({ policy, revision, warnings }: Written): Done {
  const body: WrittenPolicy = { ...policy, policy_revision: revision, warnings };
  return { revision, policy, body };
}

export function ruleDone({ policy, rule, revision, warnings }: Written & { rule: Rule }): Done {
  const body: WrittenRule = { ...rule, policy_revision: revision, warnings };
  return { revision, policy, body };
}

/** Says by which revision the write holds, and answers once this replica decides by it. */
@Injectable()
export class WriteResponseInterceptor implements NestInterceptor<Done, object | undefined> {
  constructor(private readonly snapshots: SnapshotCache) {}

  intercept(context: ExecutionContext, next: CallHandler<Done>): Observable<object | undefined> {
    const response = context.switchToHttp().getResponse<Response>();
    return next.handle().pipe(
      mergeMap(async ({ revision, policy, body }) => {
        response.setHeader('Policy-Revision', revision);
        if (policy) response.setHeader('ETag', `"${policy.revision}"`);
        await this.snapshots.reach(revision, OWN_MS);
        return body;
      }),
    );
  }
}
