import { NextCursor, PageQuery, Total } from '../http/request.js';
import { Ignored, JsonObject, ListOf, Nested, Num, OneOf, Text } from '../shared/fields.js';
import {
  type ImmuneSeverity,
  type ImmuneStatus,
  type ImmuneType,
  SEVERITIES,
  STATUSES,
  TYPES,
} from './immune.health.js';

const Severity = (optional = false): PropertyDecorator =>
  OneOf(SEVERITIES, { name: 'ImmuneSeverity', example: 'WARNING', optional });
const Type = (optional = false): PropertyDecorator =>
  OneOf(TYPES, { name: 'ImmuneType', example: 'ERROR_SPIKE', optional });

export const MAX_MESSAGE = 4096;
export const MAX_AGENT = 256;
export const MAX_MODULE = 128;
/** A day: what is older is history, and the list has it. */
const MAX_MINUTES = 1440;
const DEFAULT_MINUTES = 60;

export class ImmuneEvent {
  @Num({ integer: true, min: 1, description: 'Grows over all replicas, with gaps', example: 4711 })
  id!: number;

  @Text({ max: MAX_AGENT, nullable: true, example: 'researcher-7' })
  agent_id!: string | null;

  @Text({ max: MAX_MODULE, nullable: true, example: 'crawler' })
  module!: string | null;

  @Severity()
  severity!: ImmuneSeverity;

  @Type()
  type!: ImmuneType;

  @Text({ max: MAX_MESSAGE, example: '14 of the last 20 fetches failed' })
  message!: string;

  @JsonObject({ example: { failed: 14, of: 20 } })
  meta!: Record<string, unknown>;

  @Text({ max: 32, format: 'date-time', description: 'In UTC', example: '2024-12-28T22:22:47.890Z' })
  created_at!: string;
}

export class ReportImmuneEvent {
  @Severity()
  severity!: ImmuneSeverity;

  @Type()
  type!: ImmuneType;

  @Text({ max: MAX_MESSAGE, description: 'What is the matter', example: '14 of the last 20 fetches failed' })
  message!: string;

  @Text({
    max: MAX_AGENT,
    optional: true,
    nullable: true,
    description: 'Which agent it is about',
    example: 'researcher-7',
  })
  agent_id?: string | null;

  @Text({
    max: MAX_MODULE,
    optional: true,
    nullable: true,
    description: 'Which part of the fleet noticed it',
    example: 'crawler',
  })
  module?: string | null;

  @JsonObject({
    optional: true,
    description: 'Whatever helps to understand it',
    example: { failed: 14, of: 20 },
  })
  meta?: Record<string, unknown>;

  @Ignored({ type: 'integer', description: 'Ignored: the service gives the id', example: 0 })
  id?: unknown;

  @Ignored({
    type: 'string',
    description: 'Ignored: it is when the service got the event',
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
    description: 'How far the window reaches back',
  })
  minutes: number = DEFAULT_MINUTES;
}

export class ImmuneEventQuery extends PageQuery {
  @Severity(true)
  severity?: ImmuneSeverity;

  @Type(true)
  type?: ImmuneType;

  @Text({ max: MAX_AGENT, optional: true, example: 'researcher-7' })
  agent_id?: string;

  @Text({ max: MAX_MODULE, optional: true, example: 'crawler' })
  module?: string;

  @Num({
    optional: true,
    min: 0,
    max: 253_402_300_799,
    description: 'Created at or after, in Unix seconds',
  })
  since?: number;
}

export class ImmuneEventPage {
  @ListOf(() => ImmuneEvent, { description: 'Newest first' })
  events!: ImmuneEvent[];

  @Total()
  total!: number | null;

  @NextCursor()
  next_cursor!: string | null;
}

class ImmuneSeverityCounts {
  @Num({ integer: true, example: 40 }) INFO!: number;
  @Num({ integer: true, example: 2 }) WARNING!: number;
  @Num({ integer: true, example: 0 }) CRITICAL!: number;
}

class ImmuneTypeCounts {
  @Num({ integer: true, example: 0 }) POLICY_VIOLATION!: number;
  @Num({ integer: true, example: 2 }) ERROR_SPIKE!: number;
  @Num({ integer: true, example: 40 }) SELF_HEALING_ACTION!: number;
  @Num({ integer: true, example: 0 }) RESOURCE_EXHAUSTION!: number;
  @Num({ integer: true, example: 0 }) AGENT_FAILURE!: number;
  @Num({ integer: true, example: 0 }) PERFORMANCE_DEGRADATION!: number;
}

class ImmuneThresholds {
  @Num({ integer: true, description: 'Degraded with more WARNING events than this', example: 10 })
  degraded_warnings!: number;

  @Num({ description: 'Degraded where a larger part than this of all events is WARNING', example: 0.5 })
  degraded_share!: number;
}

export class ImmuneHealth {
  @OneOf(STATUSES, {
    name: 'ImmuneStatus',
    description: 'critical with a CRITICAL event in the window, degraded beyond one of the thresholds',
    example: 'healthy',
  })
  status!: ImmuneStatus;

  @Num({ integer: true, description: 'Events in the window', example: 42 })
  active_issues!: number;

  @Num({ integer: true, description: 'CRITICAL ones among them', example: 0 })
  critical_issues!: number;

  @ListOf(() => ImmuneEvent, {
    optional: true,
    description: 'At most 10 of the window, newest last; left out without a key that may read events',
  })
  last_events?: ImmuneEvent[];

  @Nested(() => ImmuneSeverityCounts)
  by_severity!: Record<ImmuneSeverity, number>;

  @Nested(() => ImmuneTypeCounts)
  by_type!: Record<ImmuneType, number>;

  @Num({ integer: true, example: 60 })
  window_minutes!: number;

  @Nested(() => ImmuneThresholds)
  thresholds!: ImmuneThresholds;
}
