import { Module } from '@nestjs/common';
import { ImmuneModule } from '../immune/immune.module.js';
import { PolicyModule } from '../policy/policy.module.js';
import { MissionsController } from './missions.controller.js';
import { MissionsRetention } from './missions.retention.js';
import { MissionsService } from './missions.service.js';
import { StepKinds } from './steps/kinds.js';
import { StepAuthorizer } from './worker/authorize-step.js';
import { RunTools } from './worker/run.js';
import { MissionsWorker } from './worker/worker.js';

@Module({
  imports: [PolicyModule, ImmuneModule],
  controllers: [MissionsController],
  providers: [MissionsService, MissionsRetention, MissionsWorker, RunTools, StepAuthorizer, StepKinds],
})
export class MissionsModule {}
