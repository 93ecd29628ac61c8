import { Module } from '@nestjs/common';
import { AuthzenController } from './policy.authzen.controller.js';
import { PolicyController } from './policy.controller.js';
import { PolicyEditor } from './policy.editor.js';
import { PoliciesController } from './policy.policies.controller.js';
import { PolicyRetention } from './policy.retention.js';
import { PolicyService } from './policy.service.js';
import { PolicySnapshots } from './policy.snapshots.js';
import { DecisionTally } from './policy.tally.js';

@Module({
  controllers: [PolicyController, PoliciesController, AuthzenController],
  providers: [PolicyService, PolicyEditor, PolicySnapshots, DecisionTally, PolicyRetention],
  exports: [PolicyService],
})
export class PolicyModule {}
