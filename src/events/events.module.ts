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
import { Declares } from '../shared/declarations.js';
import { Logger } from '../shared/logger.js';
import { compileMask } from '../shared/mask.js';
import { ShutdownState } from '../shared/shutdown-state.js';
import { EventLog } from '../storage/event-log.js';
import { Store } from '../storage/store.js';
import { CatalogController } from './catalog/catalog.controller.js';
import { EventStream } from './event-stream.js';
import { LogFollower } from './live/follower.js';
import { LiveStream } from './live/live-stream.js';
import { StreamController } from './live/stream.controller.js';
import { EventsController } from './log/events.controller.js';
import { GapDetector } from './log/gap-detector.js';
import { EventReader } from './log/reader.js';
import { LogTrimmer } from './trimmer.js';

/** With events off EventStream is not provided, and the domains, which inject it as `@Optional()`, work without it. */
@Declares({
  tags: {
    events: { description: 'Every fact, in the order in which it was written', order: 60 },
  },
  permissions: {
    // An agent does not read events: it would see the decisions and the payloads of every other agent.
    'events:read': ['operator', 'approver', 'viewer'],
  },
})
@Global()
@Module({})
export class EventsModule implements OnApplicationBootstrap, BeforeApplicationShutdown {
  constructor(
    private readonly draining: ShutdownState,
    @Optional() @Inject(EventStream) private readonly stream?: EventStream,
    @Optional() @Inject(GapDetector) private readonly gapDetector?: GapDetector,
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
          provide: GapDetector,
          inject: [Store, EventLog, EventStream, LogFollower, Logger],
          useFactory: (
            store: Store,
            log: EventLog,
            stream: EventStream,
            follower: LogFollower,
            logger: Logger,
          ) => {
            const gapDetector = new GapDetector(store, log, stream, logger, config);
            follower.onGap((gap) => gapDetector.missed(gap));
            return gapDetector;
          },
        },
        {
          provide: LogFollower,
          inject: [EventLog, EventEmitter2, Logger],
          useFactory: (log: EventLog, emitter: EventEmitter2, logger: Logger) =>
            new LogFollower(log, emitter, logger),
        },
        {
          provide: LiveStream,
          inject: [EventLog, LogFollower, ShutdownState],
          useFactory: (log: EventLog, follower: LogFollower, draining: ShutdownState) => {
            const live = new LiveStream(log, follower, config);
            draining.onLeave(() => live.end());
            return live;
          },
        },
        {
          provide: LogTrimmer,
          inject: [Store, EventLog, EventStream, Logger],
          useFactory: (store: Store, log: EventLog, stream: EventStream, logger: Logger) =>
            new LogTrimmer(store, log, stream, logger, config),
        },
        { provide: EventReader, inject: [EventLog], useFactory: (log: EventLog) => new EventReader(log) },
      ],
      exports: [EventStream, LogTrimmer],
    };
  }

  onApplicationBootstrap(): void {
    this.gapDetector?.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    const flushed = await this.stream?.close(this.draining.leftMs());
    await this.gapDetector?.stop(flushed === true);
  }
}
