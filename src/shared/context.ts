/** The context of the current request, for code in any folder. */
import { AsyncLocalStorage } from 'node:async_hooks';

export interface RequestContext {
  requestId: string;
  correlationId: string;
  /** The id of the caller's principal, once the guard has admitted the request. */
  principal?: string;
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
