import {
  type BeforeApplicationShutdown,
  type DynamicModule,
  Global,
  Inject,
  Module,
  type OnApplicationBootstrap,
  Optional,
} from '@nestjs/common';
import type { Config } from '../config.js';
import { Logger } from '../shared/logger.js';
import { EventLog } from '../storage/event-log.js';
import { Store } from '../storage/store.js';
import { CatalogController } from './catalog.controller.js';
import { EventKeeper } from './event-keeper.js';
import { EventReader } from './event-reader.js';
import { EventStream } from './event-stream.js';
import { EventsController } from './events.controller.js';
import { compileMask } from './mask.js';

/** With events off nobody provides the stream, and whoever asks for it as `@Optional()` works on silently. */
@Global()
@Module({})
export class EventsModule implements OnApplicationBootstrap, BeforeApplicationShutdown {
  constructor(
    @Optional() @Inject(EventStream) private readonly stream?: EventStream,
    @Optional() @Inject(EventKeeper) private readonly keeper?: EventKeeper,
  ) {}

  static for(config: Config): DynamicModule {
    if (!config.events) return { module: EventsModule, controllers: [EventsController, CatalogController] };
    return {
      module: EventsModule,
      controllers: [EventsController, CatalogController],
      providers: [
        {
          provide: EventStream,
          inject: [EventLog, Logger],
          useFactory: (log: EventLog, logger: Logger) =>
            new EventStream(log, logger, compileMask(config.mask)),
        },
        {
          provide: EventKeeper,
          inject: [Store, EventLog, EventStream, Logger],
          useFactory: (store: Store, log: EventLog, stream: EventStream, logger: Logger) =>
            new EventKeeper(store, log, stream, logger),
        },
        { provide: EventReader, inject: [EventLog], useFactory: (log: EventLog) => new EventReader(log) },
      ],
      exports: [EventStream],
    };
  }

  onApplicationBootstrap(): void {
    this.keeper?.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    const flushed = await this.stream?.close();
    await this.keeper?.stop(flushed === true);
  }
}
