import { Global, Module } from '@nestjs/common';
import { ApiDocument, DocsController } from './docs.controller.js';
import { Draining } from './draining.js';
import { HealthController } from './health.controller.js';

@Global()
@Module({
  controllers: [HealthController, DocsController],
  providers: [ApiDocument, Draining],
  exports: [ApiDocument, Draining],
})
export class HttpModule {}
