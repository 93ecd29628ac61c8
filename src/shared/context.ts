/** What is known about the request that the running code serves, wherever it is in the house. */
import { AsyncLocalStorage } from 'node:async_hooks';

export interface RequestContext {
  requestId: string;
  correlationId: string;
  /** Who asks, as it stands in logs and in `created_by`; known once the guard has passed. */
  principal?: string;
  /** The key of the request was checked from memory that is older than a second. */
  staleKey?: boolean;
}

const storage = new AsyncLocalStorage<RequestContext>();

export function runInContext<T>(context: RequestContext, work: () => T): T {
  return storage.run(context, work);
}

/** Nothing outside a request: in background work and in unit tests. */
export function currentContext(): RequestContext | undefined {
  return storage.getStore();
}
