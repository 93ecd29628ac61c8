/** The events about the log itself: events are missing, or retention removed them. */
import { JsonObject, Num, OneOf, Text } from '../shared/fields.js';
import { defineEvent } from './event.js';

/** No caller causes an event about the log, even if one is noticed during a request. */
export const LOG_MODULE = 'event';

export const GAP_REASONS = ['overflow', 'unclean_stop', 'rollback', 'refused', 'unanswered'] as const;
export type GapReason = (typeof GAP_REASONS)[number];

export class StreamGap {
  @OneOf(GAP_REASONS, {
    name: 'GapReason',
    description:
      'Why events are missing: the buffer was full (overflow), a process ended without writing ' +
      'its buffer (unclean_stop), a failover took events back (rollback), the log refused an event (refused), or it did ' +
      'not answer for 23 hours (unanswered)',
  })
  reason!: GapReason;

  @JsonObject({
    optional: true,
    description: 'The largest possible number of missing events of each type, if that is known',
  })
  counts?: Record<string, number>;

  @Num({ description: 'The earliest time of a missing event, in Unix seconds' })
  from!: number;

  @Num({ description: 'The latest time of a missing event, in Unix seconds' })
  to!: number;

  @Num({ description: 'When the gap was noticed, in Unix seconds' })
  detected_at!: number;
}

export const streamGap = defineEvent({
  type: 'stream.gap',
  module: LOG_MODULE,
  payload: StreamGap,
  subjects: [],
  priority: 'CRITICAL',
  when:
    'Events are missing from the log. `overflow`: the buffer was full while the log could not be reached. ' +
    '`unclean_stop`: a process ended without writing its buffer. ' +
    '`rollback`: a failover took events back. `refused`: the log refused an event. `unanswered`: the log did not answer for so ' +
    'long that a repeated batch could have been stored twice.',
  example: {
    reason: 'overflow',
    counts: { 'access.denied': 12 },
    from: 1735424567.89,
    to: 1735424601.12,
    detected_at: 1735424601.2,
  },
  consumers: [
    'Audit: the period cannot be proven complete',
    'Operations: find out why the log could not be reached',
  ],
  of: (gap: StreamGap): StreamGap => gap,
});

export const TRIM_REASONS = ['age', 'length', 'evidence_length'] as const;
export type TrimReason = (typeof TRIM_REASONS)[number];

export class StreamTrimmed {
  @JsonObject({
    description:
      'The number of removed events of each type. The reports that this one replaces count as `stream.trimmed`, and what ' +
      'they reported is included',
  })
  counts!: Record<string, number>;

  @JsonObject({
    optional: true,
    description:
      'The number of decisions of each type that were never stored, as removed `stream.gap` events had reported',
  })
  not_stored?: Record<string, number>;

  @Text({ max: 64, description: 'The position of the first event that was removed' })
  first!: string;

  @Text({ max: 64, description: 'The position of the last event that was removed' })
  last!: string;

  @OneOf(TRIM_REASONS, {
    name: 'TrimReason',
    description:
      'The events were older than BRAIN_EVENTS_RETENTION_DAYS (age); they were decisions, and the recent tier held more than ' +
      'BRAIN_EVENTS_MAX_LENGTH events (length); or the evidence tier held more than BRAIN_EVENTS_EVIDENCE_MAX_LENGTH events ' +
      '(evidence_length)',
  })
  reason!: TrimReason;

  @Num({ description: 'When the first of them were removed, in Unix seconds' })
  trimmed_since!: number;

  @Num({ description: 'When the last of them were removed, in Unix seconds' })
  trimmed_at!: number;
}

export const streamTrimmed = defineEvent({
  type: 'stream.trimmed',
  module: LOG_MODULE,
  payload: StreamTrimmed,
  subjects: [],
  priority: 'MEDIUM',
  schemaVersion: 2,
  when:
    'Retention removed some of the oldest events; the event is written in the same commit. When a report is the oldest event ' +
    'itself, a new one with the same reason replaces it and includes its counts. So all reports in the log together have ' +
    'every event that was ever removed, once.',
  example: {
    counts: { 'policy.rule_evaluated': 249, 'stream.trimmed': 1 },
    first: '1727648567890-0',
    last: '1727648599120-3',
    reason: 'length',
    trimmed_since: 1735424561.02,
    trimmed_at: 1735424567.89,
  },
  consumers: [
    'Audit: the removed events exist only where they were exported to',
    'Operations: the reason `length` means that BRAIN_EVENTS_MAX_LENGTH is too small for the decisions of the retention time; ' +
      '`evidence_length` the same of BRAIN_EVENTS_EVIDENCE_MAX_LENGTH and the other events',
  ],
  of: (trimmed: StreamTrimmed): StreamTrimmed => trimmed,
});
