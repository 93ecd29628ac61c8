/** What the stream says about itself: that something is missing, or was removed. */
import { JsonObject, Num, OneOf, Text } from '../shared/fields.js';
import { defineEvent } from './event.js';

export const GAP_REASONS = ['overflow', 'unclean_stop', 'rollback', 'refused', 'unanswered'] as const;
export type GapReason = (typeof GAP_REASONS)[number];

export class StreamGap {
  @OneOf(GAP_REASONS, { name: 'GapReason', description: 'Why events are missing' })
  reason!: GapReason;

  @JsonObject({
    optional: true,
    description: 'How many of which types are missing, at the most, where it is known',
  })
  counts?: Record<string, number>;

  @Num({ description: 'Since when events may be missing' })
  from!: number;

  @Num({ description: 'Until when' })
  to!: number;

  @Num()
  detected_at!: number;
}

export const streamGap = defineEvent({
  type: 'stream.gap',
  module: 'event',
  payload: StreamGap,
  subjects: [],
  priority: 'CRITICAL',
  when: 'Events are missing from the log: the buffer was full while the log was away, allowed decisions were only counted because the log was nearly full, a process ended without flushing, a failover took history back, the log refused an event, or it left events unanswered for so long that sending them again could have doubled them.',
  example: {
    reason: 'overflow',
    counts: { 'policy.rule_evaluated': 51234 },
    from: 1735424567.89,
    to: 1735424601.12,
    detected_at: 1735424601.2,
  },
  consumers: ['Audit: the period cannot be proven complete', 'Operations: find out what kept the log away'],
  of: (gap: StreamGap): StreamGap => gap,
});

const TRIM_REASONS = ['age', 'length'] as const;
export type TrimReason = (typeof TRIM_REASONS)[number];

export class StreamTrimmed {
  @JsonObject({ description: 'How many of which types were removed' })
  counts!: Record<string, number>;

  @Text({ max: 64, description: 'The position of the first event that was removed' })
  first!: string;

  @Text({ max: 64, description: 'The position of the last' })
  last!: string;

  @OneOf(TRIM_REASONS, {
    name: 'TrimReason',
    description: 'Older than BRAIN_EVENTS_RETENTION_DAYS, or more than BRAIN_EVENTS_MAX_LENGTH',
  })
  reason!: TrimReason;

  @Num()
  trimmed_at!: number;
}

export const streamTrimmed = defineEvent({
  type: 'stream.trimmed',
  module: 'event',
  payload: StreamTrimmed,
  subjects: [],
  priority: 'MEDIUM',
  when: 'Retention cut off the beginning of the log; in the same commit as the removal.',
  example: {
    counts: { 'policy.rule_evaluated': 249, 'threat.detected': 1 },
    first: '1727648567890-0',
    last: '1727648599120-3',
    reason: 'age',
    trimmed_at: 1735424567.89,
  },
  consumers: [
    'Audit: what lies before `last` is kept nowhere else than where it was exported to',
    'Operations: a reason of `length` means that BRAIN_EVENTS_MAX_LENGTH is too small for the retention',
  ],
  of: (trimmed: StreamTrimmed): StreamTrimmed => trimmed,
});
