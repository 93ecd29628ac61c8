import { Module } from '@nestjs/common';
import { Declares } from '../shared/declarations.js';
import { retentionOf } from '../storage/retention.js';
import { ImmuneController } from './immune.controller.js';
import { OLD_IMMUNE_EVENTS } from './immune.retention.js';
import { ImmuneService } from './immune.service.js';
import { OverloadReporter } from './overload-reporter.js';

@Declares({
  tags: { immune: { description: 'The health of the fleet', order: 40 } },
  permissions: {
    'immune:read': ['operator', 'approver', 'viewer', 'agent'],
    'immune:report': ['operator', 'gateway', 'agent'],
  },
})
@Module({
  controllers: [ImmuneController],
  providers: [ImmuneService, OverloadReporter, retentionOf(OLD_IMMUNE_EVENTS)],
  exports: [ImmuneService],
})
export class ImmuneModule {}
