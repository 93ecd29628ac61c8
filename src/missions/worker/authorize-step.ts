/** Asks the policies whether a step may run. */
import { Inject, Injectable, Optional } from '@nestjs/common';
import { CONFIG, type Config, settingsIn } from '../../config/config.js';
import { EventStream } from '../../events/event-stream.js';
import { PolicyService } from '../../policy/decisions/policy.service.js';
import { messageOf } from '../../shared/errors.js';
import { Logger } from '../../shared/logger.js';
import { MAX_MESSAGE, type MissionWriter } from '../mission-writer.js';
import type { StoredMission } from '../missions.collection.js';
import { MISSIONS_SETTINGS } from '../missions.settings.js';
import type { Step } from '../steps/step.dto.js';
import { StepFailure } from '../steps/step.js';
import { DENIED } from './outcomes.js';
import type { PreparedStep } from './prepare-step.js';

/** A line for the log of the mission. */
export type Note = [message: string, data: object];

/** What allowed a step. */
export interface Approval {
  /** In the order in which the decisions were made; empty if the policies were not asked. */
  decisionIds: string[];
  notes: Note[];
}

export type Authorization =
  | ({ answer: 'allowed' } & Approval)
  | { answer: 'denied'; decisionId: string; reason: string }
  | { answer: 'unavailable' };

type Decision = Awaited<ReturnType<PolicyService['evaluate']>>;

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

  /** Asks about each action of the step. All must be allowed. */
  async authorize(mission: StoredMission, prepared: PreparedStep): Promise<Authorization> {
    const decisionIds: string[] = [];
    const notes: Note[] = [];
    for (const action of this.mode === 'off' ? [] : actionsOf(prepared.step)) {
      const decision = await this.ask(mission, prepared, action);
      if (!decision) return { answer: 'unavailable' };
      const { decision_id, allowed, reason } = decision;
      decisionIds.push(decision_id);
      if (allowed) notes.push(...notesOf(decision));
      else if (this.mode === 'observe')
        notes.push(['The policies would have denied this step', { decision_id, reason }]);
      else {
        // The log must have the denial before it has the failure of the mission.
        await this.events?.written(FLUSH_MS);
        return { answer: 'denied', decisionId: decision_id, reason };
      }
    }
    return { answer: 'allowed', decisionIds, notes };
  }

  /** Asks about a step that is running, and returns the lines for its log. A step that may not go on fails. */
  async expectAllowed(mission: StoredMission, prepared: PreparedStep): Promise<Note[]> {
    const authorization = await this.authorize(mission, prepared);
    switch (authorization.answer) {
      case 'allowed':
        return authorization.notes;
      case 'denied': {
        const { reason, decisionId } = authorization;
        throw new StepFailure(DENIED, reason, true, decisionId);
      }
      case 'unavailable': {
        const detail = 'the policies could not be asked in the middle of the step; it is tried again';
        throw new StepFailure('policies_unavailable', detail);
      }
    }
  }

  private async ask(
    mission: StoredMission,
    { step, kind, params, resource }: PreparedStep,
    action: string,
  ): Promise<Decision | undefined> {
    const { id: mission_id, agent_id, agent_role, step_attempts } = mission;
    const names = { mission_id, step: step.name, step_kind: step.kind, attempt: step_attempts + 1 };
    const environment = { ...kind.environment?.(params), ...names };
    try {
      return await this.policy.evaluate({ agent_id, agent_role, action, resource, params, environment });
    } catch (error) {
      const details = { mission: mission_id, step: step.name, reason: messageOf(error) };
      this.logger.warn('the policies cannot be asked about a step; the mission tries again soon', details);
      return undefined;
    }
  }
}

export function addNotes(writer: MissionWriter, { name }: Step, notes: Note[]): void {
  for (const [message, data] of notes) writer.log('warning', message, { step: name, ...data });
}

/** The decisions as the log of the mission names them. `decision_id` is the last one, as in the result of the step. */
export function decisionsIn(decisionIds: string[]): { decision_id?: string; kind_decision_id?: string } {
  const [ofKind, ofAction] = decisionIds;
  if (ofAction !== undefined) return { decision_id: ofAction, kind_decision_id: ofKind };
  return ofKind === undefined ? {} : { decision_id: ofKind };
}

/** What the step is comes first. A step must not be judged only as what it calls itself. */
function actionsOf({ kind, action }: Step): Set<string> {
  const ofKind = `mission.step.${kind}`;
  return new Set([ofKind, action ?? ofKind]);
}

function notesOf({ decision_id, reason, warnings, requires_audit }: Decision): Note[] {
  const notes: Note[] = warnings.map((text) => [text.slice(0, MAX_MESSAGE), { decision_id }]);
  if (requires_audit) notes.push(['The policies require an audit of this step', { decision_id, reason }]);
  return notes;
}
