import { applyDecorators, Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { PublicHealth } from '../security/access.decorator.js';
import { BrainError } from '../shared/errors.js';
import { Described, OneOf } from '../shared/fields.js';
import type { StoreHealth } from '../storage/store.js';
import { Problems } from './request.js';

@Described('A domain that can work')
export class HealthAnswer {
  @OneOf(['ok'] as const, {
    name: 'HealthStatus',
    description: 'Always ok; a domain that cannot work answers a problem',
    example: 'ok',
  })
  status!: 'ok';
}

/** The route that tells whether a domain can work. */
export const HealthRoute = (summary: string): MethodDecorator =>
  applyDecorators(
    Get('health'),
    PublicHealth(),
    ApiOperation({
      summary,
      description: 'Checks the store. No key is needed, unless BRAIN_PUBLIC_HEALTH is off.',
    }),
    ApiOkResponse({ type: HealthAnswer, description: 'The store works' }),
    Problems(503),
  );

/** A domain works if its store works. Otherwise the answer is the problem of the store. */
export function healthAnswer(store: StoreHealth): HealthAnswer {
  if (store.ok) return { status: 'ok' };
  const detail = store.detail ?? 'The store does not answer. Check its address and the log of the service.';
  throw new BrainError('unavailable', store.code ?? 'store_unreachable', detail);
}
