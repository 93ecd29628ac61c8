/**
 * Finds where a reader of the log goes on, and which events it has missed. There are three kinds of readers: one knows the
 * event that it has read (`resumeFromPosition`), one has only an id from the live stream (`resumeFromId`), and one wants the
 * events after a time (`resumeFromTime`).
 */
import {
  comparePositions,
  type EventLog,
  LOG_START,
  type LogBounds,
  positionBefore,
  type ReaderPosition,
} from '../../storage/event-log.js';
import { earliest, forkWhereHistoriesPart, likelyFork } from './forks.js';
import { forkOfLoss, parseReaderId } from './reader-id.js';

export const MISSING = ['decisions', 'any'] as const;

export interface MissedGap {
  /** Retention removed the oldest events, or a failover took the newest ones back. */
  reason: 'trimmed' | 'rollback';
  /** Only the events of decisions may be missing, or any event. */
  missing: (typeof MISSING)[number];
  /** The events between these two positions are missing. */
  from: string;
  to: string;
  /** The reader goes on after this position. */
  next: string;
}

export interface Resumption {
  /** The next event is the first one after this position. */
  from: string;
  /** What is missing before that, oldest first. */
  gaps: MissedGap[];
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
  const bounds = await log.bounds();
  const trims = afterTrims(time, bounds);
  if (trims.gaps.length > 0) return { ...trims, isTime: trims.from === time };
  const last = bounds.end?.position ?? bounds.trimmed ?? LOG_START;
  return comparePositions(last, time) < 0 ? { from: last, gaps: [] } : { from: time, gaps: [], isTime: true };
}

export async function resumeFromPosition(log: EventLog, reader: ReaderPosition): Promise<Resumption> {
  const { position } = reader;
  const tier = await log.tierOf(reader);
  if (tier === 'recent') return { from: position, gaps: [], there: true };
  const bounds = await log.bounds();
  const there = tier !== undefined;
  const fork = there ? undefined : await knownFork(log, reader);
  // A trim may have removed the fork as well, so it is looked for first.
  if (fork === undefined) {
    const trims = afterTrims(position, bounds);
    const isKnown = there || position === bounds.trimmed || position === LOG_START;
    if (isKnown || trims.gaps.length > 0) return { ...trims, there };
    const gap = gapOfOtherProgram(position, bounds);
    if (gap) return { from: gap.next, gaps: [gap] };
  }
  return resumeAfterRollback(log, position, fork ?? (await guessedFork(log, reader)), bounds.trimmed);
}

/** What the trims have removed after this position: up to the first mark any event, and from there to the second decisions. */
function afterTrims(position: string, { first, trimmed, evidenceTrimmed }: LogBounds): Resumption {
  const gaps: MissedGap[] = [];
  let [from, next] = [position, position];
  const add = (missing: MissedGap['missing'], to: string | null): void => {
    if (to === null || comparePositions(from, to) >= 0) return;
    next = nextAfter(next, to, first);
    gaps.push({ reason: 'trimmed', missing, from, to, next });
    from = to;
  };
  add('any', evidenceTrimmed);
  add('decisions', trimmed);
  return { from: next, gaps };
}

/**
 * If the log was ever trimmed, an event before the recent tier that no mark explains was trimmed by another program. If it
 * never was, a failover took the event back.
 */
function gapOfOtherProgram(position: string, { first, recent, trimmed }: LogBounds): MissedGap | undefined {
  if (trimmed === null || recent.first === null) return undefined;
  if (comparePositions(position, recent.first) >= 0) return undefined;
  const to = positionBefore(recent.first);
  return { reason: 'trimmed', missing: 'any', from: position, to, next: nextAfter(position, to, first) };
}

/** If events at or before the end of a gap are still there, a reader goes on where it was, and they come next. */
function nextAfter(position: string, to: string, first: string | null): string {
  return first !== null && comparePositions(first, to) <= 0 ? position : to;
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
  const isForkTrimmed = fork !== undefined && trimmed !== null && comparePositions(fork, trimmed) < 0;
  // The events after a trimmed fork that are still there come next.
  const next = older?.position ?? (isForkTrimmed ? fork : trimmed) ?? LOG_START;
  const from = isForkTrimmed ? fork : (earliest([fork ?? next, next]) ?? next);
  const to = comparePositions(next, position) > 0 ? next : position;
  return { from: next, gaps: [{ reason: 'rollback', missing: 'any', from, to, next }] };
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
