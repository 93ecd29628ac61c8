/** Decides whether a request is admitted, before its body is read. Refuses a route that declares nothing. */
import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import type { Response } from 'express';
import { CONFIG, type Config } from '../config/config.js';
import { currentContext } from '../shared/context.js';
import { declaredPermissions } from '../shared/declarations.js';
import { BrainError, isBrainError } from '../shared/errors.js';
import { Logger } from '../shared/logger.js';
import { type Access, accessOf, type PrincipalRequest } from './access.decorator.js';
import { isWellFormedKey, MAX_KEY_LENGTH } from './api-key.js';
import { KeyRing } from './key-ring.js';
import { KeyUses } from './key-uses.js';
import { expectPermission, type Permission, type Principal, permits } from './principal.js';
import { Rates } from './rates.js';
import { addressOf, Throttle } from './throttle.js';

const BEARER = /^Bearer +([\x21-\x7e]+) *$/i;
const WRONG_KEY =
  'This API key is unknown: it was mistyped, revoked or never made. Check it, or ask an admin for a new one.';

type NamedFunction = object & { name: string };

@Injectable()
export class AccessGuard implements CanActivate {
  /** Reading metadata by reflection for each request would cost more than the key check. */
  private readonly declared = new WeakMap<object, Access>();

  constructor(
    private readonly keys: KeyRing,
    private readonly throttle: Throttle,
    private readonly rates: Rates,
    private readonly uses: KeyUses,
    private readonly logger: Logger,
    @Inject(CONFIG) private readonly settings: Pick<Config, 'publicHealth'>,
  ) {}

  /** Checks at the start what a handler declares. Returns a sentence for each fault; the service must not start with one. */
  prepare(controller: { name: string }, handler: NamedFunction): string[] {
    const permission = accessOf(handler)?.permission;
    if (!permission || declaredPermissions().includes(permission)) return [];
    const where = `${controller.name}.${handler.name}`;
    return [`${where} demands the permission ${permission}, which no module declares; see @Declares.`];
  }

  /** Decides at once about a key in memory. For another key it returns a promise, which waits for the store. */
  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const access = this.accessTo(context);
    const http = context.switchToHttp();
    const request = http.getRequest<PrincipalRequest>();
    const admitted = this.checkKey(request, access);
    const count = (): true => this.count(request, access, http.getResponse<Response>());
    return admitted === true ? count() : admitted.then(count);
  }

  /** Decides about the key and the permission alone. For a request that was admitted before its body arrived. */
  check(context: ExecutionContext): true | Promise<true> {
    return this.checkKey(context.switchToHttp().getRequest<PrincipalRequest>(), this.accessTo(context));
  }

  /** Whether the caller would still be admitted. For long answers such as live streams, during which a key may be revoked. */
  isStillAdmitted(request: PrincipalRequest, permission: Permission): boolean {
    try {
      const known = this.keys.recall(presentedKey(request));
      if (known) this.uses.note(known.principal.id);
      return known !== undefined && permits(known.principal.role, permission);
    } catch {
      // The key has expired, or the grace time is over.
      return false;
    }
  }

  private checkKey(request: PrincipalRequest, { permission, health }: Access): true | Promise<true> {
    if (permission === null && (!health || this.settings.publicHealth)) return this.open(request);
    const key = presentedKey(request);
    const known = this.recall(key);
    if (known) return this.admit(request, known, permission);
    return this.resolve(request, key).then((principal) => this.admit(request, principal, permission));
  }

  /** Refuses a request beyond the limits of its principal. A public route has none. */
  private count(request: PrincipalRequest, { permission, cost }: Access, response: Response): true {
    if (permission !== null && request.principal)
      this.rates.admit(request, request.principal, cost, response);
    return true;
  }

  private accessTo(context: ExecutionContext): Access {
    const handler = context.getHandler();
    const access = this.declared.get(handler) ?? accessOf(handler);
    if (access) {
      this.declared.set(handler, access);
      return access;
    }
    const where = `${context.getClass().name}.${handler.name}`;
    this.logger.error(`${where} declares neither @Access nor @Public and is refused; this is a bug.`);
    const detail =
      'This route does not declare who may call it, so it is closed; this is a fault of the service.';
    throw new BrainError('forbidden', 'access_undeclared', detail);
  }

  /** Finds the principal of a caller with a valid key, and admits every other caller without one. */
  private open(request: PrincipalRequest): true | Promise<true> {
    if (request.headers.authorization === undefined) return true;
    try {
      const key = presentedKey(request);
      const known = this.recall(key);
      if (known) return this.enter(request, known);
      return this.resolve(request, key).then((principal) => this.enter(request, principal), anonymous);
    } catch (error) {
      return anonymous(error);
    }
  }

  /** Finds the principal of a key in memory. A key that may have been revoked is marked as stale in the context. */
  private recall(key: string): Principal | undefined {
    const known = this.keys.recall(key);
    if (!known?.stale) return known?.principal;
    const context = currentContext();
    if (context) context.staleKey = true;
    return known.principal;
  }

  /** Finds the principal of a key in the store. This costs the address an attempt, which it gets back unless the key is wrong. */
  private async resolve(request: PrincipalRequest, key: string): Promise<Principal> {
    const address = addressOf(request.ip);
    if (this.keys.isLookingFor(key)) return (await this.keys.find(key)) ?? this.refuse(address, 0);
    const waitSeconds = this.throttle.take(address);
    const mayLook = isWellFormedKey(key) && (waitSeconds === 0 || this.throttle.takeSpare());
    let found: Principal | undefined;
    let wrong = false;
    try {
      found = mayLook ? await this.keys.find(key) : undefined;
      wrong = found === undefined;
    } finally {
      if (!wrong && waitSeconds === 0) this.throttle.giveBack(address);
    }
    return found ?? this.refuse(address, waitSeconds);
  }

  private admit(request: PrincipalRequest, principal: Principal, permission: Permission | null): true {
    this.enter(request, principal);
    if (permission !== null) expectPermission(principal, permission);
    return true;
  }

  private enter(request: PrincipalRequest, principal: Principal): true {
    request.principal = principal;
    const context = currentContext();
    const { id, role, name } = principal;
    this.uses.note(id);
    if (context) context.actor = { id, role, name };
    return true;
  }

  private refuse(address: string, waitSeconds: number): never {
    const failures = this.throttle.failed(address);
    if (failures > 0) this.logger.warn('Wrong API key', { address, failures, throttled: waitSeconds > 0 });
    if (waitSeconds === 0) throw unauthenticated(WRONG_KEY);
    const detail = `Too many wrong API keys came from this address. Wait ${waitSeconds} s, then send a valid key.`;
    throw new BrainError('too_many', 'too_many_failures', detail, { retryAfterSeconds: waitSeconds });
  }
}

function presentedKey(request: PrincipalRequest): string {
  const { authorization } = request.headers;
  if (authorization === undefined)
    throw unauthenticated('The request has no API key; send it as `Authorization: Bearer <key>`.');
  const key = BEARER.exec(authorization)?.[1];
  if (key === undefined || key.length > MAX_KEY_LENGTH)
    throw unauthenticated('The Authorization header is malformed; it must be `Authorization: Bearer <key>`.');
  return key;
}

/** A public route is open, also if the key is wrong or the store is away. A bug is still an error. */
function anonymous(error: unknown): true {
  if (isBrainError(error)) return true;
  throw error;
}

function unauthenticated(detail: string): BrainError {
  return new BrainError('unauthenticated', 'unauthenticated', detail);
}
