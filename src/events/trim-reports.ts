/**
 * Which events a trim for length keeps, and the reports of what a trim removed. A flood of decisions makes a report for every
 * few hundred removed events, so reports must not be kept for as long as other events. A report among the oldest events is
 * replaced by a new one that includes it. The same holds for the gaps that count decisions which were not stored.
 */
import { comparePositions, type LoggedEvent, POSITION } from '../storage/event-log.js';
import { definitionOf } from './event.js';
import { StoredEvent } from './log/stored-event.js';
import {
  type StreamGap,
  type StreamTrimmed,
  streamGap,
  streamTrimmed,
  TRIM_REASONS,
  type TrimReason,
} from './log.events.js';

type Counts = Record<string, number>;

/** Other programs can write events of any type, and a report includes the counts of all reports before it. */
const MAX_TYPES = 200;
const OTHER_TYPES = 'other';
const UNKNOWN_TYPE = 'unknown';

/** Whether a trim for length keeps the event: it is neither about a decision, nor a report that a new one replaces. */
export function isEvidence(logged: LoggedEvent): boolean {
  const event = new StoredEvent(logged);
  const { type } = event;
  if (type === undefined) return true;
  if (type === streamTrimmed.type) return reportIn(event) === undefined;
  if (type === streamGap.type) return notStoredIn(event) === undefined;
  return !isDecision(type);
}

/** The reports of a trim: one with its own reason, and one with each other reason of a report that is replaced. */
export function reportsOf(removed: LoggedEvent[], reason: TrimReason, now: number): StreamTrimmed[] {
  const reports = new Map<TrimReason, StreamTrimmed>();
  for (const logged of removed) {
    const event = new StoredEvent(logged);
    const { type = UNKNOWN_TYPE } = event;
    const older = type === streamTrimmed.type ? reportIn(event) : undefined;
    const not_stored = type === streamGap.type ? notStoredIn(event) : undefined;
    const { position } = event;
    const times = { trimmed_since: now, trimmed_at: now };
    const part = older ?? { counts: {}, not_stored, first: position, last: position, reason, ...times };
    const report = reports.get(part.reason);
    if (report) include(report, part);
    else reports.set(part.reason, copyOf(part));
    count((reports.get(part.reason) as StreamTrimmed).counts, type, 1);
  }
  return [...reports.values()];
}

function isDecision(type: string): boolean {
  return definitionOf(type)?.decision === true;
}

function copyOf({ counts, not_stored, ...rest }: StreamTrimmed): StreamTrimmed {
  return { counts: { ...counts }, ...(not_stored && { not_stored: { ...not_stored } }), ...rest };
}

function include(report: StreamTrimmed, part: StreamTrimmed): void {
  for (const [type, n] of Object.entries(part.counts)) count(report.counts, type, n);
  for (const [type, n] of Object.entries(part.not_stored ?? {})) {
    report.not_stored ??= {};
    count(report.not_stored, type, n);
  }
  if (comparePositions(part.first, report.first) < 0) report.first = part.first;
  if (comparePositions(part.last, report.last) > 0) report.last = part.last;
  report.trimmed_since = Math.min(report.trimmed_since, part.trimmed_since);
  report.trimmed_at = Math.max(report.trimmed_at, part.trimmed_at);
}

function count(counts: Counts, type: string, n: number): void {
  const isFull = !Object.hasOwn(counts, type) && Object.keys(counts).length >= MAX_TYPES;
  const name = isFull ? OTHER_TYPES : type;
  counts[name] = (counts[name] ?? 0) + n;
}

/** What a report says. Undefined if its payload was masked or comes from another program. */
function reportIn({ envelope }: StoredEvent): StreamTrimmed | undefined {
  const payload = (envelope?.payload ?? {}) as Partial<StreamTrimmed>;
  // Reports of older releases have only one time.
  const { counts, not_stored, first, last, reason, trimmed_at, trimmed_since = trimmed_at } = payload;
  if (!isCounts(counts) || !isPosition(first) || !isPosition(last)) return undefined;
  if (typeof trimmed_at !== 'number' || typeof trimmed_since !== 'number') return undefined;
  if (reason === undefined || !TRIM_REASONS.includes(reason)) return undefined;
  const report = { counts, first, last, reason, trimmed_since, trimmed_at };
  return isCounts(not_stored) ? { ...report, not_stored } : report;
}

/** The decisions that a gap counts because they were not stored, if it counts nothing else. */
function notStoredIn({ envelope }: StoredEvent): Counts | undefined {
  const { reason, counts } = (envelope?.payload ?? {}) as Partial<StreamGap>;
  if (reason !== 'overflow' || !isCounts(counts)) return undefined;
  return Object.keys(counts).every(isDecision) ? counts : undefined;
}

function isCounts(counts: unknown): counts is Counts {
  if (typeof counts !== 'object' || counts === null || Array.isArray(counts)) return false;
  const numbers = Object.values(counts);
  return numbers.length > 0 && numbers.every((n) => typeof n === 'number');
}

function isPosition(position: unknown): position is string {
  return typeof position === 'string' && POSITION.test(position);
}
