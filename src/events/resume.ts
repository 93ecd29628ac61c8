/** Where a reader of the log goes on that was somewhere before, and what it has missed meanwhile. */
import { comparePositions, type EventLog, LOG_START, positionBefore } from '../storage/event-log.js';

export interface MissedGap {
  /** The history was cut at its beginning, or a failover took its end back. */
  reason: 'trimmed' | 'rollback';
  /** The events between these two places are missing. */
  from: string;
  to: string;
}

export interface Resumption {
  /** What comes behind this place is next. */
  from: string;
  gap?: MissedGap;
}

export async function resume(log: EventLog, position: string): Promise<Resumption> {
  if (await log.has(position)) return { from: position };
  const { first, trimmed } = await log.bounds();
  const behindTrim = trimmed !== null && comparePositions(position, trimmed) <= 0;
  // Somebody else may have cut off more than we did. Where nothing was ever cut off, what is gone was taken back.
  const beforeFirst = trimmed !== null && first !== null && comparePositions(position, first) < 0;
  if (behindTrim || beforeFirst) {
    const to = behindTrim ? trimmed : positionBefore(first as string);
    if (position === to) return { from: position };
    return { from: to, gap: { reason: 'trimmed', from: position, to } };
  }
  if (position === LOG_START) return { from: position };
  const [older] = await log.read({ order: 'desc', limit: 1, after: position });
  const from = older?.position ?? trimmed ?? LOG_START;
  return { from, gap: { reason: 'rollback', from, to: position } };
}
