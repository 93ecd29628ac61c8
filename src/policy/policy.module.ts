import { Module } from '@nestjs/common';
import { Declares } from '../shared/declarations.js';
import { retentionOf } from '../storage/retention.js';
import { PolicyEditor } from './admin/editor.js';
import { PolicyImporter } from './admin/importer.js';
import { PoliciesController } from './admin/policies.controller.js';
import { PolicyReader } from './admin/policy-reader.js';
import { OLD_REVISIONS } from './admin/retention.js';
import { TransferController } from './admin/transfer.controller.js';
import { AuthzenController } from './authzen/authzen.controller.js';
import { AuthzenSearchController } from './authzen/search.controller.js';
import { DecisionSums } from './decisions/decision-sums.js';
import { PolicyController } from './decisions/decisions.controller.js';
import { PolicyService } from './decisions/policy.service.js';
import { DecisionRecorder } from './decisions/recorder.js';
import { SnapshotCache } from './decisions/snapshot-cache.js';
import { DecisionTally } from './decisions/tally.js';
import { HeavyWork } from './heavy/heavy-work.js';

@Declares({
  tags: {
    policy: { description: 'What agents may do: decisions, and the policies behind them', order: 10 },
    authzen: { description: 'Decisions by OpenID AuthZEN Authorization API 1.0', order: 75 },
  },
  permissions: {
    'policy:read': ['operator', 'approver', 'viewer', 'agent'],
    'policy:evaluate': ['operator', 'gateway', 'agent'],
    'policy:write': ['operator'],
  },
})
@Module({
  controllers: [
    PolicyController,
    PoliciesController,
    TransferController,
    AuthzenController,
    AuthzenSearchController,
  ],
  providers: [
    PolicyService,
    PolicyReader,
    PolicyEditor,
    PolicyImporter,
    SnapshotCache,
    DecisionTally,
    DecisionSums,
    DecisionRecorder,
    HeavyWork,
    retentionOf(OLD_REVISIONS),
  ],
  exports: [PolicyService],
})
export class PolicyModule {}
