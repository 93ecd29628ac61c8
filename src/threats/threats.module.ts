import { Module } from '@nestjs/common';
import { Declares } from '../shared/declarations.js';
import { retentionOf } from '../storage/retention.js';
import { ThreatsController } from './threats.controller.js';
import { CLOSED_THREATS } from './threats.retention.js';
import { ThreatsService } from './threats.service.js';

@Declares({
  tags: { threats: { description: 'Threats to the fleet', order: 30 } },
  permissions: {
    'threats:read': ['operator', 'approver', 'viewer', 'agent'],
    'threats:report': ['operator', 'gateway', 'agent'],
    'threats:write': ['operator'],
    'threats:delete': [],
  },
})
@Module({ controllers: [ThreatsController], providers: [ThreatsService, retentionOf(CLOSED_THREATS)] })
export class ThreatsModule {}
