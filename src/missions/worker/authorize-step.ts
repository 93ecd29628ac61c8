/** Asks the policies before a step runs. */
import type { EventStream } from '../../events/event-stream.js';
import type { PolicyService } from '../../policy/decisions/policy.service.js';
import { messageOf } from '../../shared/errors.js';
import type { Logger } from '../../shared/logger.js';
import { MAX_MESSAGE } from '../mission-writer.js';
import type { StoredMission } from '../missions.collection.js';
import type { Step } from '../missions.dto.js';
import { StepFailure } from '../steps/step.js';

export interface AskTools {
  policy: PolicyService;
  policyMode: 'enforce' | 'observe' | 'off';
  logger: Logger;
  events?: EventStream;
}

interface Question {
  step: Step;
  params: Record<string, unknown>;
  resource: string | undefined;
  attempt: number;
}

/** Its decision, and what is to be noted in the log of the mission; or why it must not run. */
type Decided =
  | { decisionId: string | null; notes: [message: string, data: object][] }
  | { error: StepFailure & { decisionId?: string } };

const FLUSH_MS = 1000;

/** Nothing where the policies cannot be asked now: what nobody has allowed is not done. */
export async function asked(
  { policy, policyMode, logger, events }: AskTools,
  mission: StoredMission,
  { step, params, resource, attempt }: Question,
): Promise<Decided | undefined> {
  if (policyMode === 'off') return { decisionId: null, notes: [] };
  let decision: Awaited<ReturnType<PolicyService['evaluate']>>;
  try {
    decision = await policy.evaluate({
      agent_id: mission.agent_id,
      agent_role: mission.agent_role,
      action: step.action ?? `mission.step.${step.kind}`,
      resource,
      params,
      environment: { mission_id: mission.id, step: step.name, attempt },
    });
  } catch (error) {
    logger.warn('a step waits for the policies', { mission: mission.id, reason: messageOf(error) });
    return undefined;
  }
  const { decision_id, allowed, reason, warnings, requires_audit } = decision;
  const notes: [string, object][] = warnings.map((text) => [text.slice(0, MAX_MESSAGE), { decision_id }]);
  if (requires_audit) notes.push(['The policies demand an audit of this step', { decision_id, reason }]);
  if (allowed) return { decisionId: decision_id, notes };
  if (policyMode === 'observe') {
    const refused: [string, object] = ['The policies would have refused this step', { decision_id, reason }];
    return { decisionId: decision_id, notes: [refused] };
  }
  // The denial is in the log before the mission fails of it.
  await events?.written(FLUSH_MS);
  return {
    error: Object.assign(new StepFailure('denied_by_policy', reason, true), { decisionId: decision_id }),
  };
}
