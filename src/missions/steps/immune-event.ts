/** Records an immune event. A repeated step records it only once. */
import type { ReportImmuneEvent } from '../../immune/immune.dto.js';
import { SEVERITIES, TYPES } from '../../immune/immune.health.js';
import type { ImmuneService } from '../../immune/immune.service.js';
import { sha256 } from '../../shared/ids.js';
import { paramFaults, type StepKind } from './step.js';

const MAX_MESSAGE = 4096;

export function immuneEventStep(immune: Pick<ImmuneService, 'report'>): StepKind {
  return {
    faults: (params, form) =>
      paramFaults(params, form, {
        severity: { required: true, what: `one of ${SEVERITIES.join(', ')}`, allows: among(SEVERITIES) },
        type: { required: true, what: `one of ${TYPES.join(', ')}`, allows: among(TYPES) },
        message: {
          required: true,
          what: `text of 1 to ${MAX_MESSAGE} characters`,
          allows: isText(MAX_MESSAGE),
        },
        module: { what: 'text of 1 to 128 characters', allows: isText(128) },
        meta: {
          what: 'a JSON object',
          allows: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
        },
      }),
    run: async (params, { agentId, idempotencyKey }) => {
      const event = { ...params, agent_id: agentId } as unknown as ReportImmuneEvent;
      const id = await immune.report(event, {
        key: `mission ${idempotencyKey}`,
        body: sha256(JSON.stringify(event)),
      });
      return { event_id: id };
    },
  };
}

function among(values: readonly string[]): (value: unknown) => boolean {
  return (value) => values.includes(value as string);
}

function isText(max: number): (value: unknown) => boolean {
  return (value) => typeof value === 'string' && value !== '' && value.length <= max;
}
