/** Asks the policies whether a step may run. */
import { Inject, Injectable, Optional } from '@nestjs/common';
import { CONFIG, type Config, settingsIn } from '../../config/config.js';
import { EventStream } from '../../events/event-stream.js';
import { PolicyService } from '../../policy/decisions/policy.service.js';
import { messageOf } from '../../shared/errors.js';
import { Logger } from '../../shared/logger.js';
import { MAX_MESSAGE } from '../mission-writer.js';
import type { StoredMission } from '../missions.collection.js';
import { MISSIONS_SETTINGS } from '../missions.settings.js';
import type { PreparedStep } from './prepare-step.js';

/** A line for the log of the mission. */
type Note = [message: string, data: object];

export type Authorization =
  | { answer: 'allowed'; decisionId: string | null; notes: Note[] }
  | { answer: 'denied'; decisionId: string; reason: string }
  | { answer: 'unavailable' };

/** How long a denied step waits until the log has the event of the denial. */
const FLUSH_MS = 1000;

@Injectable()
export class StepAuthorizer {
  private readonly mode: 'enforce' | 'observe' | 'off';

  constructor(
    private readonly policy: PolicyService,
    @Inject(CONFIG) config: Config,
    private readonly logger: Logger,
    @Optional() @Inject(EventStream) private readonly events?: EventStream,
  ) {
    this.mode = settingsIn(config, MISSIONS_SETTINGS).BRAIN_MISSIONS_POLICY;
  }

  async authorize(
    mission: StoredMission,
    { step, params, resource }: PreparedStep,
    attempt: number,
  ): Promise<Authorization> {
    if (this.mode === 'off') return { answer: 'allowed', decisionId: null, notes: [] };
    let decision: Awaited<ReturnType<PolicyService['evaluate']>>;
    try {
      decision = await this.policy.evaluate({
        agent_id: mission.agent_id,
        agent_role: mission.agent_role,
        action: step.action ?? `mission.step.${step.kind}`,
        resource,
        params,
        environment: { mission_id: mission.id, step: step.name, attempt },
      });
    } catch (error) {
      const details = { mission: mission.id, step: step.name, reason: messageOf(error) };
      this.logger.warn('the policies cannot be asked about a step; the mission tries again soon', details);
      return { answer: 'unavailable' };
    }
    const { decision_id, allowed, reason, warnings, requires_audit } = decision;
    const notes: Note[] = warnings.map((text) => [text.slice(0, MAX_MESSAGE), { decision_id }]);
    if (requires_audit) notes.push(['The policies require an audit of this step', { decision_id, reason }]);
    if (allowed) return { answer: 'allowed', decisionId: decision_id, notes };
    if (this.mode === 'observe') {
      const refused: Note = ['The policies would have denied this step', { decision_id, reason }];
      return { answer: 'allowed', decisionId: decision_id, notes: [refused] };
    }
    // The log must have the denial before it has the failure of the mission.
    await this.events?.written(FLUSH_MS);
    return { answer: 'denied', decisionId: decision_id, reason };
  }
}
