/**
 * Finds where a reader of the log goes on, and which events it has missed. There are three kinds of readers: one knows the
 * event that it has read (`resumeFromPosition`), one has only an id from the live stream (`resumeFromId`), and one wants the
 * events after a time (`resumeFromTime`).
 */
import {
  comparePositions,
  type EventLog,
  LOG_START,
  positionBefore,
  type ReaderPosition,
} from '../../storage/event-log.js';
import { earliest, forkWhereHistoriesPart, likelyFork } from './forks.js';
import { forkOfLoss, parseReaderId } from './reader-id.js';

export interface MissedGap {
  /** Retention removed the oldest events, or a failover took the newest ones back. */
  reason: 'trimmed' | 'rollback';
  /** The events between these two positions are missing. */
  from: string;
  to: string;
  /** The reader goes on after this position. */
  next: string;
}

export interface Resumption {
  /** The next event is the first one after this position. */
  from: string;
  gap?: MissedGap;
  /** The event at the position of the reader is in the log. */
  there?: boolean;
  /** `from` is a time, not the position of an event: only a trim can have removed events after it. */
  isTime?: boolean;
}

/** Undefined if this is not the id of an event. */
export async function resumeFromId(log: EventLog, id: string): Promise<Resumption | undefined> {
  const read = parseReaderId(id);
  if (read === undefined) return undefined;
  const { position } = read;
  const fork = forkOfLoss(read, await log.forks());
  if (fork === undefined) return resumeFromPosition(log, { position });
  const { trimmed } = await log.bounds();
  return resumeAfterRollback(log, position, fork, trimmed);
}

/** A time in the future means now. */
export async function resumeFromTime(log: EventLog, time: string): Promise<Resumption> {
  const { end, trimmed } = await log.bounds();
  if (trimmed !== null && comparePositions(trimmed, time) >= 0)
    return { from: trimmed, gap: { reason: 'trimmed', from: time, to: trimmed, next: trimmed } };
  const last = end?.position ?? trimmed ?? LOG_START;
  return comparePositions(last, time) < 0 ? { from: last } : { from: time, isTime: true };
}

export async function resumeFromPosition(log: EventLog, reader: ReaderPosition): Promise<Resumption> {
  const { position } = reader;
  if (await log.has(reader)) return { from: position, there: true };
  const { first, trimmed } = await log.bounds();
  const fork = await knownFork(log, reader);
  // A trim may have removed the fork as well, so it is looked for first.
  if (fork === undefined) {
    const last = trimmedUpTo(position, first, trimmed);
    if (last === position) return { from: position };
    if (last !== undefined)
      return { from: last, gap: { reason: 'trimmed', from: position, to: last, next: last } };
    if (position === LOG_START) return { from: position };
  }
  return resumeAfterRollback(log, position, fork ?? (await guessedFork(log, reader)), trimmed);
}

/** The fork is undefined where none explains what is missing: then another program deleted events. */
async function resumeAfterRollback(
  log: EventLog,
  position: string,
  fork: string | undefined,
  trimmed: string | null,
): Promise<Resumption> {
  const bound = fork === undefined ? { after: position } : { until: fork };
  const [older] = await log.read({ order: 'desc', limit: 1, ...bound });
  const next = older?.position ?? trimmed ?? LOG_START;
  const from = earliest([fork ?? next, next]) ?? next;
  const to = comparePositions(next, position) > 0 ? next : position;
  return { from: next, gap: { reason: 'rollback', from, to, next } };
}

/** The last trimmed position, if the event is missing because of a trim. */
function trimmedUpTo(position: string, first: string | null, trimmed: string | null): string | undefined {
  if (trimmed === null) return undefined;
  if (position === trimmed) return position;
  const beforeFirst = first !== null && comparePositions(position, first) < 0;
  if (comparePositions(position, trimmed) <= 0 && (first === null || beforeFirst)) return trimmed;
  // Another program may have trimmed more. If nothing was ever trimmed, a failover took the event back.
  return beforeFirst ? positionBefore(first) : undefined;
}

/** The fork after which this reader lost events, where it knows the history that it has read. */
async function knownFork(log: EventLog, { position, forks }: ReaderPosition): Promise<string | undefined> {
  if (!forks?.length) return undefined;
  const fork = forkWhereHistoriesPart(forks, await log.forks());
  return fork !== undefined && comparePositions(fork, position) < 0 ? fork : undefined;
}

/** The same where it does not know the history. */
async function guessedFork(log: EventLog, { position, forks }: ReaderPosition): Promise<string | undefined> {
  return forks?.length ? undefined : likelyFork(await log.forks(), position);
}
