/** What a route says about who may call it; a route that says nothing is refused by the guard. */
import { applyDecorators, createParamDecorator, type ExecutionContext, SetMetadata } from '@nestjs/common';
import { ApiBearerAuth, ApiExtension } from '@nestjs/swagger';
import type { Request } from 'express';
import { Problems } from '../http/request.js';
import type { Permission, Principal } from './principal.js';

/** The name of the security scheme in the OpenAPI document. */
export const KEY_SCHEME = 'key';

/** Null is open to everybody, on purpose. */
export interface Access {
  permission: Permission | null;
}

const ACCESS = 'access';

/** Only who has this permission may call the route; OpenAPI learns of it, and of the problems that the guard answers with. */
export const Access = (permission: Permission): MethodDecorator =>
  applyDecorators(
    SetMetadata(ACCESS, { permission } satisfies Access),
    ApiBearerAuth(KEY_SCHEME),
    ApiExtension('x-permission', permission),
    Problems(401, 403, 429, 503),
  );

/** Everybody may call the route; who brings a valid key is known all the same. */
export const Public = (): MethodDecorator => SetMetadata(ACCESS, { permission: null } satisfies Access);

/** What a handler has declared; the guard and the tests that walk the routes read it here. */
export function accessOf(handler: object): Access | undefined {
  return Reflect.getMetadata(ACCESS, handler) as Access | undefined;
}

/** A request as the guard leaves it. */
export interface PrincipalRequest extends Request {
  principal?: Principal;
}

/** Who asks; on a public route nobody, where no valid key came with the request. */
export const CurrentPrincipal = createParamDecorator(
  (_: unknown, context: ExecutionContext): Principal | undefined =>
    context.switchToHttp().getRequest<PrincipalRequest>().principal,
);
