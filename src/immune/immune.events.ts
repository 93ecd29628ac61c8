import { defineEvent } from '../events/event.js';
import { JsonObject, Num, OneOf, Text } from '../shared/fields.js';
import { createdMs } from './immune.collection.js';
import { type ImmuneEvent, MAX_AGENT, MAX_MESSAGE, MAX_MODULE } from './immune.dto.js';
import { type ImmuneSeverity, type ImmuneType, SEVERITIES, TYPES } from './immune.health.js';

class ImmuneSubject {
  @Num({ integer: true, min: 1 }) event_id!: number;
  @OneOf(SEVERITIES, { name: 'ImmuneSeverity' }) severity!: ImmuneSeverity;
  @OneOf(TYPES, { name: 'ImmuneType' }) type!: ImmuneType;
  @Text({ max: MAX_MESSAGE }) message!: string;
  @Text({ max: MAX_AGENT, optional: true }) agent_id?: string;
  @Text({ max: MAX_MODULE, optional: true }) module?: string;
  @JsonObject({ optional: true }) meta?: Record<string, unknown>;
}

class ImmuneEventPublished extends ImmuneSubject {
  @Num() published_at!: number;
}

class ImmuneCriticalEvent extends ImmuneSubject {
  @Num() critical_at!: number;
}

const at = 1735424567.89;

export const immuneEventPublished = defineEvent({
  type: 'immune.event_published',
  module: 'immune',
  payload: ImmuneEventPublished,
  subjects: ['agent_id', 'event_id'],
  priority: 'HIGH',
  when: 'An immune event is reported, whatever its severity.',
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
  consumers: ['Dashboard: how the fleet feels', 'Metrics: events by severity and type'],
  of: (event: ImmuneEvent): ImmuneEventPublished => ({
    event_id: event.id,
    severity: event.severity,
    type: event.type,
    message: event.message,
    agent_id: event.agent_id ?? undefined,
    module: event.module ?? undefined,
    meta: known(event.meta),
    published_at: createdMs(event) / 1000,
  }),
});

export const immuneCriticalEvent = defineEvent({
  type: 'immune.critical_event',
  module: 'immune',
  payload: ImmuneCriticalEvent,
  subjects: ['agent_id', 'event_id'],
  priority: 'CRITICAL',
  when: 'An immune event with severity CRITICAL is reported, after `immune.event_published`.',
  example: {
    event_id: 4712,
    severity: 'CRITICAL',
    type: 'RESOURCE_EXHAUSTION',
    message: 'The budget of tokens is used up',
    agent_id: 'researcher-7',
    critical_at: at,
  },
  consumers: ['Security operations: page somebody', 'Incident response: stop what makes it worse'],
  of: (event: ImmuneEvent): ImmuneCriticalEvent => ({
    event_id: event.id,
    severity: event.severity,
    type: event.type,
    message: event.message,
    agent_id: event.agent_id ?? undefined,
    module: event.module ?? undefined,
    meta: known(event.meta),
    critical_at: createdMs(event) / 1000,
  }),
});

/** An event without any meta is stored with an empty one, and the payload leaves out what is not known. */
function known(meta: Record<string, unknown>): Record<string, unknown> | undefined {
  return Object.keys(meta).length === 0 ? undefined : meta;
}
