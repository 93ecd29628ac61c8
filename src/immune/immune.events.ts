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

export const immuneEventPublished = defineEvent({
  type: 'immune.event_published',
  module: 'immune',
  payload: ImmuneEventPublished,
  subjects: ['agent_id', 'event_id'],
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
    event_id: event.id,
    severity: event.severity,
    type: event.type,
    message: event.message,
    agent_id: event.agent_id ?? undefined,
    module: event.module ?? undefined,
    meta: nonEmpty(event.meta),
    published_at: createdMs(event) / 1000,
  }),
});

export const immuneCriticalEvent = defineEvent({
  type: 'immune.critical_event',
  module: 'immune',
  payload: ImmuneCriticalEvent,
  subjects: ['agent_id', 'event_id'],
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
    event_id: event.id,
    severity: event.severity,
    type: event.type,
    message: event.message,
    agent_id: event.agent_id ?? undefined,
    module: event.module ?? undefined,
    meta: nonEmpty(event.meta),
    critical_at: createdMs(event) / 1000,
  }),
});

/** A stored event without details has an empty `meta`; the payload leaves the field out. */
function nonEmpty(meta: Record<string, unknown>): Record<string, unknown> | undefined {
  return Object.keys(meta).length === 0 ? undefined : meta;
}
