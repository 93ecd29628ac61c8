import { type DynamicModule, Global, Module } from '@nestjs/common';
import type { Config } from '../config/config.js';
import { Declares } from '../shared/declarations.js';
import { ApiDocument, DocsController } from './docs.controller.js';
import { HealthController } from './health.controller.js';

@Declares({
  tags: {
    health: { description: 'Whether the service is alive and ready', order: 80 },
  },
})
@Global()
@Module({})
export class HttpModule {
  static with({ docs }: Pick<Config, 'docs'>): DynamicModule {
    return {
      module: HttpModule,
      controllers: [HealthController, ...(docs ? [DocsController] : [])],
      providers: [ApiDocument],
      exports: [ApiDocument],
    };
  }
}
