import { type DynamicModule, Global, Module } from '@nestjs/common';
import { CONFIG, type Config } from './config/config.js';
import { EventsModule } from './events/events.module.js';
import { HttpModule } from './http/http.module.js';
import { ImmuneModule } from './immune/immune.module.js';
import { MissionsModule } from './missions/missions.module.js';
import { PolicyModule } from './policy/policy.module.js';
import { SecurityModule } from './security/security.module.js';
import { EventLoopWatch } from './shared/event-loop-watch.js';
import { Logger } from './shared/logger.js';
import { ShutdownState } from './shared/shutdown-state.js';
import { StorageModule } from './storage/storage.module.js';
import { ThreatsModule } from './threats/threats.module.js';

/** The providers that every module may inject. */
@Global()
@Module({})
class CoreModule {
  static for(config: Config, logger: Logger): DynamicModule {
    const providers = [
      { provide: CONFIG, useValue: config },
      { provide: Logger, useValue: logger },
      ShutdownState,
      {
        provide: EventLoopWatch,
        useFactory: () => new EventLoopWatch(logger, config.maxEventLoopDelayMs),
      },
    ];
    return { module: CoreModule, providers, exports: [CONFIG, Logger, ShutdownState, EventLoopWatch] };
  }
}

/** First the infrastructure, then one line for each domain. */
@Module({})
export class AppModule {
  static for(config: Config, logger: Logger): DynamicModule {
    return {
      module: AppModule,
      imports: [
        CoreModule.for(config, logger),
        StorageModule.for(config),
        EventsModule.for(config),
        SecurityModule.with(config),
        HttpModule.with(config),
        PolicyModule,
        ThreatsModule,
        ImmuneModule,
        MissionsModule,
      ],
    };
  }
}
