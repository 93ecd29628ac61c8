import { Listed, PageQueryOf } from '../http/listed.js';
import { NextCursor, Total } from '../http/request.js';
import { Count, Described, Ignored, JsonObject, ListOf, Nested, Num, OneOf, Text } from '../shared/fields.js';
import {
  type ImmuneSeverity,
  type ImmuneStatus,
  type ImmuneType,
  SEVERITIES,
  STATUSES,
  TYPES,
} from './immune.health.js';

const Severity = (description: string, optional = false): PropertyDecorator =>
  OneOf(SEVERITIES, { name: 'ImmuneSeverity', description, example: 'WARNING', optional });
const Type = (description: string, optional = false): PropertyDecorator =>
  OneOf(TYPES, { name: 'ImmuneType', description, example: 'ERROR_SPIKE', optional });
const Message = (): PropertyDecorator =>
  Text({
    max: MAX_MESSAGE,
    description: 'What happened, as a sentence for people',
    example: '14 of the last 20 fetches failed',
  });

const AGENT = 'The agent that the event is about';
const MODULE = 'The part of the fleet that noticed the problem';
const META = 'Further details in any form';

export const MAX_MESSAGE = 4096;
export const MAX_AGENT = 256;
export const MAX_MODULE = 128;
/** A day. The list of events covers longer times. */
export const MAX_MINUTES = 1440;
const DEFAULT_MINUTES = 60;

@Described('A report about the health of the fleet')
export class ImmuneEvent {
  @Num({
    integer: true,
    min: 1,
    description: 'Unique, and larger than every earlier id of any replica; ids may be skipped',
    example: 4711,
  })
  id!: number;

  @Text({
    max: MAX_AGENT,
    nullable: true,
    description: `${AGENT}; null if the report named none`,
    example: 'researcher-7',
  })
  agent_id!: string | null;

  @Text({
    max: MAX_MODULE,
    nullable: true,
    description: `${MODULE}; null if the report named none`,
    example: 'crawler',
  })
  module!: string | null;

  @Severity('How serious the event is') severity!: ImmuneSeverity;
  @Type('The kind of problem or action') type!: ImmuneType;
  @Message() message!: string;

  @JsonObject({ description: `${META}; empty if the report had none`, example: { failed: 14, of: 20 } })
  meta!: Record<string, unknown>;

  @Text({
    max: 32,
    format: 'date-time',
    description:
      'When the service received the event, as an RFC 3339 time in UTC; other times are Unix seconds',
    example: '2024-12-28T22:22:47.890Z',
  })
  created_at!: string;
}

@Described('An immune event in a list')
export class ListedImmuneEvent extends Listed(ImmuneEvent, 'meta') {}

@Described('An immune event to report')
export class ReportImmuneEvent {
  @Severity('How serious the event is') severity!: ImmuneSeverity;
  @Type('The kind of problem or action') type!: ImmuneType;
  @Message() message!: string;

  @Text({
    max: MAX_AGENT,
    optional: true,
    nullable: true,
    description: AGENT,
    example: 'researcher-7',
  })
  agent_id?: string | null;

  @Text({
    max: MAX_MODULE,
    optional: true,
    nullable: true,
    description: MODULE,
    example: 'crawler',
  })
  module?: string | null;

  @JsonObject({
    optional: true,
    description: `${META}, up to BRAIN_IMMUNE_MAX_META_KIB (32 KiB) as JSON`,
    example: { failed: 14, of: 20 },
  })
  meta?: Record<string, unknown>;

  @Ignored({ type: 'integer', description: 'Accepted and ignored: the service sets the id', example: 0 })
  id?: unknown;

  @Ignored({
    type: 'string',
    description: 'Accepted and ignored: the service sets the time',
    example: '2024-12-28T22:22:47.890Z',
  })
  created_at?: unknown;
}

export class ImmuneHealthQuery {
  @Num({
    optional: true,
    integer: true,
    min: 1,
    max: MAX_MINUTES,
    default: DEFAULT_MINUTES,
    description: 'The length of the time window that ends now, in minutes',
  })
  minutes: number = DEFAULT_MINUTES;
}

export class ImmuneEventQuery extends PageQueryOf(ListedImmuneEvent) {
  @Severity('Only events with this severity', true)
  severity?: ImmuneSeverity;

  @Type('Only events of this type', true)
  type?: ImmuneType;

  @Text({
    max: MAX_AGENT,
    optional: true,
    description: 'Only events about this agent',
    example: 'researcher-7',
  })
  agent_id?: string;

  @Text({ max: MAX_MODULE, optional: true, description: 'Only events from this module', example: 'crawler' })
  module?: string;

  @Num({
    optional: true,
    min: 0,
    max: 253_402_300_799,
    description: 'Only events created at or after this time, in Unix seconds',
  })
  since?: number;
}

@Described('One page of immune events')
export class ImmuneEventPage {
  @ListOf(() => ListedImmuneEvent, { description: 'The events of this page, the newest first' })
  events!: ListedImmuneEvent[];

  @Total()
  total!: number | null;

  @NextCursor()
  next_cursor!: string | null;
}

@Described('The number of immune events by severity')
class ImmuneSeverityCounts {
  @Count('INFO events', 40) INFO!: number;
  @Count('WARNING events', 2) WARNING!: number;
  @Count('CRITICAL events') CRITICAL!: number;
}

@Described('The number of immune events by type')
class ImmuneTypeCounts {
  @Count('POLICY_VIOLATION events') POLICY_VIOLATION!: number;
  @Count('ERROR_SPIKE events', 2) ERROR_SPIKE!: number;
  @Count('SELF_HEALING_ACTION events', 40) SELF_HEALING_ACTION!: number;
  @Count('RESOURCE_EXHAUSTION events') RESOURCE_EXHAUSTION!: number;
  @Count('AGENT_FAILURE events') AGENT_FAILURE!: number;
  @Count('PERFORMANCE_DEGRADATION events') PERFORMANCE_DEGRADATION!: number;
}

@Described('The limits above which the fleet is degraded')
class ImmuneThresholds {
  @Count('The fleet is degraded with more WARNING events than this', 10)
  degraded_warnings!: number;

  @Num({
    description:
      'The fleet is degraded if a larger share than this of the INFO and WARNING events is WARNING, from 0 to 1',
    example: 0.5,
  })
  degraded_share!: number;
}

@Described('The health of the fleet, and the numbers that it was derived from')
export class ImmuneHealth {
  @OneOf(STATUSES, {
    name: 'ImmuneStatus',
    description:
      'critical if the window has a CRITICAL event; else degraded if it exceeds a threshold; else healthy',
    example: 'healthy',
  })
  status!: ImmuneStatus;

  @Count('All events in the window, INFO included', 42)
  active_issues!: number;

  @Count('CRITICAL events in the window')
  critical_issues!: number;

  @ListOf(() => ImmuneEvent, {
    optional: true,
    description:
      'The last events in the window, at most 10, the newest last; absent without the permission immune:read',
  })
  last_events?: ImmuneEvent[];

  @Nested(() => ImmuneSeverityCounts, { description: 'The events in the window by severity' })
  by_severity!: Record<ImmuneSeverity, number>;

  @Nested(() => ImmuneTypeCounts, { description: 'The events in the window by type' })
  by_type!: Record<ImmuneType, number>;

  @Count('The length of the window in minutes', 60)
  window_minutes!: number;

  @Nested(() => ImmuneThresholds, { description: 'The limits that the status was derived from' })
  thresholds!: ImmuneThresholds;
}
