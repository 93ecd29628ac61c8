import { type DynamicModule, Global, Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import type { Config } from '../config/config.js';
import { Logger } from '../shared/logger.js';
import { EmbeddedDatabase } from './embedded/database.js';
import { EmbeddedEventLog } from './embedded/embedded-event-log.js';
import { EmbeddedStore } from './embedded/embedded-store.js';
import { EventLog } from './event-log.js';
import { RedisLink } from './redis/link.js';
import { RedisEventLog } from './redis/redis-event-log.js';
import { RedisStore } from './redis/redis-store.js';
import { ReplicaAck } from './redis/replica-ack.js';
import { Store } from './store.js';

interface Backend {
  store: Store;
  log: EventLog;
}

const BACKEND = Symbol('storage backend');

async function open(config: Config, logger: Logger): Promise<Backend> {
  if (config.redis) {
    const link = new RedisLink(config.redis, config.keyPrefix, logger);
    // Store and log share it, so that commits and batches at the same time share one WAIT.
    const replication = new ReplicaAck(link);
    return { log: new RedisEventLog(link, replication), store: new RedisStore(link, replication) };
  }
  const db = await EmbeddedDatabase.open(config.dataDir, { maxBytes: config.embeddedMaxGib * 2 ** 30 });
  const log = new EmbeddedEventLog(db);
  return { log, store: new EmbeddedStore(db, log) };
}

/** Chooses the backend. All other code uses `Store` and `EventLog` and does not know which backend it is. */
@Global()
@Module({})
export class StorageModule implements OnApplicationShutdown {
  constructor(@Inject(Store) private readonly store: Store) {}

  static for(config: Config): DynamicModule {
    return {
      module: StorageModule,
      providers: [
        { provide: BACKEND, inject: [Logger], useFactory: (logger: Logger) => open(config, logger) },
        { provide: Store, inject: [BACKEND], useFactory: (backend: Backend) => backend.store },
        { provide: EventLog, inject: [BACKEND], useFactory: (backend: Backend) => backend.log },
      ],
      exports: [Store, EventLog],
    };
  }

  /** The last step of a shutdown. All requests have ended and all events are written. */
  async onApplicationShutdown(): Promise<void> {
    await this.store.close();
  }
}
