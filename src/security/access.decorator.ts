/** The decorators by which a route declares who may call it. The guard refuses a route without one. */
import { applyDecorators, createParamDecorator, type ExecutionContext, SetMetadata } from '@nestjs/common';
import { ApiBearerAuth, ApiExtension } from '@nestjs/swagger';
import type { Request } from 'express';
import { Problems } from '../http/request.js';
import type { Permission, Principal } from './principal.js';

/** The name of the security scheme in the OpenAPI document. */
export const KEY_SCHEME = 'key';

/** The permission is null on a route that is open to everybody on purpose. */
export interface Access {
  permission: Permission | null;
  cost?: Cost;
  /** The health of a domain: open, unless `BRAIN_PUBLIC_HEALTH` is off. Then any valid key will do. */
  health?: true;
}

/**
 * What a route costs, for the limits of requests (`rates.ts`): a decision is cheap, a list is heavy with several filters, and a
 * heavy route always is. A route without a cost counts as a write, unless it only reads.
 */
export type Cost = 'decision' | 'list' | 'heavy';

const ACCESS = 'access';

/** The caller needs this permission. Also documents it in OpenAPI, with the problems that the guard answers. */
export const Access = (permission: Permission, cost?: Cost): MethodDecorator =>
  applyDecorators(
    SetMetadata(ACCESS, { permission, cost } satisfies Access),
    ApiBearerAuth(KEY_SCHEME),
    ApiExtension('x-permission', permission),
    Problems(401, 403, 429, 503),
  );

/** Opens the route to everybody. The principal of a caller with a valid key is still found. */
export const Public = (): MethodDecorator => SetMetadata(ACCESS, { permission: null } satisfies Access);

/** The same for the health of a domain, which `BRAIN_PUBLIC_HEALTH=off` closes to callers without a valid key. */
export const PublicHealth = (): MethodDecorator =>
  applyDecorators(
    SetMetadata(ACCESS, { permission: null, health: true } satisfies Access),
    Problems(401, 429, 503),
  );

/** What a handler declares, for the guard and for the tests of every route. */
export function accessOf(handler: object): Access | undefined {
  return Reflect.getMetadata(ACCESS, handler) as Access | undefined;
}

/** A request behind the guard. */
export interface PrincipalRequest extends Request {
  principal?: Principal;
  /** Counts further decisions or writes of a request that has many. Undefined without a limit. */
  charge?: (more: number) => void;
}

/** A request to a route that demands a permission. */
export interface KnownRequest extends Request {
  principal: Principal;
}

/** Counts the decisions of a batch, of which the guard has counted the first. */
export const Charge = createParamDecorator(
  (_: unknown, context: ExecutionContext): ((more: number) => void) =>
    context.switchToHttp().getRequest<PrincipalRequest>().charge ?? noCharge,
);

function noCharge(): void {}

/** The principal of the caller. Undefined on a public route without a valid key. */
export const CurrentPrincipal = createParamDecorator(
  (_: unknown, context: ExecutionContext): Principal | undefined =>
    context.switchToHttp().getRequest<PrincipalRequest>().principal,
);
