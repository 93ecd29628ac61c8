import { Module } from '@nestjs/common';
import { ImmuneModule } from '../immune/immune.module.js';
import { PolicyModule } from '../policy/policy.module.js';
import { Declares } from '../shared/declarations.js';
import { retentionOf } from '../storage/retention.js';
import { MissionsController } from './missions.controller.js';
import { ENDED_MISSIONS, expiryOfMissions } from './missions.retention.js';
import { MissionsService } from './missions.service.js';
import { StepKinds } from './steps/kinds.js';
import { StepAuthorizer } from './worker/authorize-step.js';
import { RunTools } from './worker/run-tools.js';
import { MissionsWorker } from './worker/worker.js';

@Declares({
  tags: { missions: { description: 'The work of the fleet, step by step', order: 50 } },
  permissions: {
    'missions:read': ['operator', 'approver', 'viewer', 'agent'],
    // An agent reads and changes only its own missions: access.ts.
    'missions:read_all': ['operator', 'approver', 'viewer'],
    // Headers, bodies, data and results in the missions of others.
    'missions:read_secrets': ['operator'],
    'missions:write': ['operator', 'agent'],
    'missions:execute': ['operator', 'agent'],
    // Runs, cancels and reports on the missions of others.
    'missions:delegate': ['operator'],
    // Makes missions with the priority CRITICAL.
    'missions:prioritize': ['operator'],
    'missions:delete': [],
  },
})
@Module({
  imports: [PolicyModule, ImmuneModule],
  controllers: [MissionsController],
  providers: [
    MissionsService,
    MissionsWorker,
    RunTools,
    StepAuthorizer,
    StepKinds,
    retentionOf(ENDED_MISSIONS),
    expiryOfMissions,
  ],
})
export class MissionsModule {}
