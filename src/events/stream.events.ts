/** What the stream says about itself: that something is missing, or was removed. */
import { JsonObject, Num, OneOf } from '../shared/fields.js';
import { defineEvent } from './event.js';

export const GAP_REASONS = ['overflow', 'unclean_stop', 'rollback', 'refused'] as const;
export type GapReason = (typeof GAP_REASONS)[number];

export class StreamGap {
  @OneOf(GAP_REASONS, { name: 'GapReason', description: 'Why events are missing' })
  reason!: GapReason;

  @JsonObject({ optional: true, description: 'How many of which types are missing, where it is known' })
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
  priority: 'CRITICAL',
  when: 'Events are missing from the log: the buffer was full while the log was away, a process ended without flushing, a failover took history back, or the log refused an event.',
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
