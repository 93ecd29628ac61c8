import { type DynamicModule, Global, Module } from '@nestjs/common';
import type { Config } from '../config/config.js';
import { EventStream } from '../events/event-stream.js';
import { Declares } from '../shared/declarations.js';
import { Logger } from '../shared/logger.js';
import { Retention } from '../storage/retention.js';
import { Store } from '../storage/store.js';
import { AccessGuard } from './access.guard.js';
import { AdminKey } from './admin-key.js';
import { ApiKeys } from './api-keys.js';
import { Denials } from './denials.js';
import { expiredKeys } from './key-expiry.js';
import { KeyRing } from './key-ring.js';
import { KeyUses } from './key-uses.js';
import { KeysController } from './keys.controller.js';
import { KnownAgents } from './principal.js';
import { Rates } from './rates.js';
import { Throttle } from './throttle.js';

/** API keys, roles, and the guard that checks them. `app.setup.ts` puts the guard in front of every route. */
@Declares({
  tags: {
    keys: { description: 'API keys: who may call the service', order: 70 },
  },
  permissions: {
    'keys:manage': [],
    'keys:read_self': ['operator', 'approver', 'viewer', 'gateway', 'agent'],
  },
})
@Global()
@Module({})
export class SecurityModule {
  static with(config: Config): DynamicModule {
    return {
      module: SecurityModule,
      controllers: [KeysController],
      providers: [
        Throttle,
        Rates,
        Denials,
        {
          provide: KeyRing,
          inject: [Store, Logger],
          useFactory: (store: Store, logger: Logger) => new KeyRing(store, logger, config),
        },
        {
          provide: ApiKeys,
          inject: [Store, KeyRing, Logger, { token: EventStream, optional: true }],
          useFactory: (store: Store, ring: KeyRing, logger: Logger, events?: EventStream) =>
            new ApiKeys(store, ring, logger, config, events),
        },
        {
          provide: AdminKey,
          inject: [Store, ApiKeys, KeyRing],
          useFactory: (store: Store, keys: ApiKeys, ring: KeyRing) => new AdminKey(store, keys, ring, config),
        },
        {
          provide: KeyUses,
          inject: [Store, Logger],
          useFactory: (store: Store, logger: Logger) => new KeyUses(store, logger),
        },
        {
          provide: 'key-expiry',
          inject: [Store, Logger, { token: EventStream, optional: true }],
          useFactory: (store: Store, logger: Logger, events?: EventStream) =>
            new Retention(expiredKeys(events), store, config, logger),
        },
        { provide: KnownAgents, useExisting: KeyRing },
        AccessGuard,
      ],
      exports: [AccessGuard, Denials, KnownAgents],
    };
  }
}
