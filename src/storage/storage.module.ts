import { type DynamicModule, Global, Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import type { Config } from '../config.js';
import { EmbeddedDatabase } from './database.embedded.js';
import { EventLog } from './event-log.js';
import { EventLogEmbedded } from './event-log.embedded.js';
import { Store } from './store.js';
import { StoreEmbedded } from './store.embedded.js';

interface Backend {
  store: Store;
  log: EventLog;
}

const BACKEND = Symbol('storage backend');

async function openEmbedded(config: Config): Promise<Backend> {
  const db = new EmbeddedDatabase(config.dataDir);
  const log = new EventLogEmbedded(db);
  return { log, store: new StoreEmbedded(db, log) };
}

/** Chooses the backend once; everybody else asks for `Store` and `EventLog` and cannot tell which it is. */
@Global()
@Module({})
export class StorageModule implements OnApplicationShutdown {
  constructor(@Inject(Store) private readonly store: Store) {}

  static for(config: Config): DynamicModule {
    return {
      module: StorageModule,
      providers: [
        { provide: BACKEND, useFactory: () => openEmbedded(config) },
        { provide: Store, inject: [BACKEND], useFactory: (backend: Backend) => backend.store },
        { provide: EventLog, inject: [BACKEND], useFactory: (backend: Backend) => backend.log },
      ],
      exports: [Store, EventLog],
    };
  }

  /** The last thing of a shutdown: by then requests have ended and the events are flushed. */
  async onApplicationShutdown(): Promise<void> {
    await this.store.close();
  }
}
