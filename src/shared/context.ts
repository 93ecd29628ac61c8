/** The context of the current request, for code in any folder. */
import { AsyncLocalStorage } from 'node:async_hooks';

/** Who causes an event: a principal, or a part of the service. */
export interface Actor {
  readonly id: string;
  /** The role of the principal, or `service`. */
  readonly role: string;
  readonly name: string;
}

export interface RequestContext {
  /** In `X-Request-ID`: the one that the client sent, or else that of the service. In the run of a mission its name. */
  requestId: string;
  /** Made by the service for each request, so no client can choose it. Missing in the run of a mission. */
  serverRequestId?: string;
  correlationId: string;
  /** The principal of the caller, once the guard has found it. In the run of a mission: who started it. */
  actor?: Actor;
  /** The key of the request was checked from stale memory. */
  staleKey?: boolean;
}

const storage = new AsyncLocalStorage<RequestContext>();

export function runInContext<T>(context: RequestContext, work: () => T): T {
  return storage.run(context, work);
}

/** Undefined outside a request: in background work and in unit tests. */
export function currentContext(): RequestContext | undefined {
  return storage.getStore();
}

/** The caller of the request, or else this part of the service, such as `policy`. */
export function currentActor(part: string): Actor {
  return currentContext()?.actor ?? serviceActor(part);
}

const parts = new Map<string, Actor>();

/** No principal has such an id: nobody speaks for ids that begin with `brain:`. */
export function serviceActor(part: string): Actor {
  const known = parts.get(part);
  if (known) return known;
  const actor = { id: `brain:${part}`, role: 'service', name: 'BRAiN Control Plane' };
  parts.set(part, actor);
  return actor;
}
