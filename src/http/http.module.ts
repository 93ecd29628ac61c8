import { Global, Module } from '@nestjs/common';
import { Declares } from '../shared/declarations.js';
import { ApiDocument, DocsController } from './docs.controller.js';
import { HealthController } from './health.controller.js';

@Declares({
  tags: {
    health: { description: 'Whether the service is alive and ready', order: 80 },
  },
})
@Global()
@Module({
  controllers: [HealthController, DocsController],
  providers: [ApiDocument],
  exports: [ApiDocument],
})
export class HttpModule {}
