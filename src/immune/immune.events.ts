import { defineEvent } from '../events/event.js';
import { JsonObject, Num, OneOf, Text } from '../shared/fields.js';
import { createdMs } from './immune.collection.js';
import { type ImmuneEvent, MAX_AGENT, MAX_MESSAGE, MAX_MODULE } from './immune.dto.js';
import { type ImmuneSeverity, type ImmuneType, SEVERITIES, TYPES } from './immune.health.js';

class ImmuneSubject {
  @Num({ integer: true, min: 1, description: 'The id of the immune event' })
  event_id!: number;

  @OneOf(SEVERITIES, { name: 'ImmuneSeverity', description: 'How serious the event is' })
  severity!: ImmuneSeverity;

  @OneOf(TYPES, { name: 'ImmuneType', description: 'The kind of problem or action' })
  type!: ImmuneType;

  @Text({ max: MAX_MESSAGE, description: 'What happened, as a sentence for people' })
  message!: string;

  @Text({ max: MAX_AGENT, optional: true, description: 'The agent that the event is about' })
  agent_id?: string;

  @Text({ max: MAX_MODULE, optional: true, description: 'The part of the fleet that noticed the problem' })
  module?: string;

  @JsonObject({ optional: true, description: 'Further details in any form' })
  meta?: Record<string, unknown>;
}

class ImmuneEventPublished extends ImmuneSubject {
  @Num({ description: 'When the service received the event, in Unix seconds' })
  published_at!: number;
}

class ImmuneCriticalEvent extends ImmuneSubject {
  @Num({ description: 'When the service received the event, in Unix seconds' })
  critical_at!: number;
}

const at = 1735424567.89;
const OF_IMMUNE_EVENT = { module: 'immune', subjects: ['agent_id', 'event_id'] } as const;

export const immuneEventPublished = defineEvent({
  ...OF_IMMUNE_EVENT,
  type: 'immune.event_published',
  payload: ImmuneEventPublished,
  priority: 'HIGH',
  when: 'An immune event of any severity is reported.',
  example: {
    event_id: 4711,
    severity: 'WARNING',
    type: 'ERROR_SPIKE',
    message: '14 of the last 20 fetches failed',
    agent_id: 'researcher-7',
    module: 'crawler',
    meta: { failed: 14, of: 20 },
    published_at: at,
  },
  consumers: ['Dashboard: the health of the fleet', 'Metrics: events by severity and type'],
  of: (event: ImmuneEvent): ImmuneEventPublished => ({
    ...subjectOf(event),
    published_at: createdMs(event) / 1000,
  }),
});

export const immuneCriticalEvent = defineEvent({
  ...OF_IMMUNE_EVENT,
  type: 'immune.critical_event',
  payload: ImmuneCriticalEvent,
  priority: 'CRITICAL',
  when: 'An immune event with severity CRITICAL is reported. It follows `immune.event_published`.',
  example: {
    event_id: 4712,
    severity: 'CRITICAL',
    type: 'RESOURCE_EXHAUSTION',
    message: 'The budget of tokens is used up',
    agent_id: 'researcher-7',
    critical_at: at,
  },
  consumers: ['Security operations: page the person on call', 'Incident response: stop the cause'],
  of: (event: ImmuneEvent): ImmuneCriticalEvent => ({
    ...subjectOf(event),
    critical_at: createdMs(event) / 1000,
  }),
});

/** A payload has only the fields that the report had. */
function subjectOf({ id, severity, type, message, agent_id, module, meta }: ImmuneEvent): ImmuneSubject {
  return {
    event_id: id,
    severity,
    type,
    message,
    agent_id: agent_id ?? undefined,
    module: module ?? undefined,
    meta: Object.keys(meta).length === 0 ? undefined : meta,
  };
}
