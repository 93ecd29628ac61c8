import { BrainError } from '../shared/errors.js';
import { OneOf } from '../shared/fields.js';
import type { StoreHealth } from '../storage/store.js';

export class HealthAnswer {
  @OneOf(['ok'] as const, {
    name: 'HealthStatus',
    description: 'Always ok; a domain that cannot work answers a problem',
    example: 'ok',
  })
  status!: 'ok';
}

/** A domain can work when its store can; otherwise the answer is the problem of the store. */
export function healthOf(store: StoreHealth): HealthAnswer {
  if (store.ok) return { status: 'ok' };
  const detail = store.detail ?? 'The store cannot be used.';
  throw new BrainError('unavailable', store.code ?? 'store_unreachable', detail);
}
