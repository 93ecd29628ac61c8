import { Global, Module } from '@nestjs/common';
import { ApiDocument, DocsController } from './docs.controller.js';
import { HealthController } from './health.controller.js';

@Global()
@Module({
  controllers: [HealthController, DocsController],
  providers: [ApiDocument],
  exports: [ApiDocument],
})
export class HttpModule {}
