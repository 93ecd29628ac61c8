import {
  type BeforeApplicationShutdown,
  type DynamicModule,
  Global,
  Inject,
  Module,
  type OnApplicationBootstrap,
  Optional,
} from '@nestjs/common';
import { EventEmitter2, EventEmitterModule } from '@nestjs/event-emitter';
import type { Config } from '../config/config.js';
import { Logger } from '../shared/logger.js';
import { compileMask } from '../shared/mask.js';
import { Draining } from '../shared/shutdown-state.js';
import { EventLog } from '../storage/event-log.js';
import { Store } from '../storage/store.js';
import { CatalogController } from './catalog/catalog.controller.js';
import { EventStream } from './event-stream.js';
import { EventFollower } from './live/follower.js';
import { StreamController } from './live/live-stream.controller.js';
import { EventChannel } from './live/live-stream.js';
import { EventsController } from './log/events.controller.js';
import { EventKeeper } from './log/gap-detector.js';
import { EventReader } from './log/reader.js';
import { EventTrimmer } from './trimmer.js';

/** With events off nobody provides the stream, and whoever asks for it as `@Optional()` works on silently. */
@Global()
@Module({})
export class EventsModule implements OnApplicationBootstrap, BeforeApplicationShutdown {
  constructor(
    private readonly draining: Draining,
    @Optional() @Inject(EventStream) private readonly stream?: EventStream,
    @Optional() @Inject(EventKeeper) private readonly keeper?: EventKeeper,
  ) {}

  static for(config: Config): DynamicModule {
    const controllers = [StreamController, EventsController, CatalogController];
    if (!config.events) return { module: EventsModule, controllers };
    return {
      module: EventsModule,
      imports: [EventEmitterModule.forRoot({ wildcard: true, maxListeners: 0 })],
      controllers,
      providers: [
        {
          provide: EventStream,
          inject: [EventLog, Logger],
          useFactory: (log: EventLog, logger: Logger) =>
            new EventStream(log, logger, compileMask(config.mask), config.durableDecisions),
        },
        {
          provide: EventKeeper,
          inject: [Store, EventLog, EventStream, EventFollower, Logger],
          useFactory: (
            store: Store,
            log: EventLog,
            stream: EventStream,
            follower: EventFollower,
            logger: Logger,
          ) => {
            const keeper = new EventKeeper(store, log, stream, logger, config);
            follower.onGap((gap) => keeper.missed(gap));
            return keeper;
          },
        },
        {
          provide: EventFollower,
          inject: [EventLog, EventEmitter2, Logger],
          useFactory: (log: EventLog, emitter: EventEmitter2, logger: Logger) =>
            new EventFollower(log, emitter, logger),
        },
        {
          provide: EventChannel,
          inject: [EventLog, EventFollower, Draining],
          useFactory: (log: EventLog, follower: EventFollower, draining: Draining) => {
            const channel = new EventChannel(log, follower, config);
            draining.onLeave(() => channel.end());
            return channel;
          },
        },
        {
          provide: EventTrimmer,
          inject: [Store, EventLog, EventStream, Logger],
          useFactory: (store: Store, log: EventLog, stream: EventStream, logger: Logger) =>
            new EventTrimmer(store, log, stream, logger, config),
        },
        { provide: EventReader, inject: [EventLog], useFactory: (log: EventLog) => new EventReader(log) },
      ],
      exports: [EventStream, EventTrimmer],
    };
  }

  onApplicationBootstrap(): void {
    this.keeper?.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    const flushed = await this.stream?.close(this.draining.leftMs());
    await this.keeper?.stop(flushed === true);
  }
}
