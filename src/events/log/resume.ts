/** Finds where a reader of the log continues after a position, and which events it has missed. */
import {
  comparePositions,
  type EventLog,
  type Fork,
  LOG_START,
  type Place,
  positionBefore,
  splitPosition,
} from '../../storage/event-log.js';

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
  /** The event at the place of the reader is in the log. */
  there?: boolean;
  /** `from` is a time, not the place of an event: only a trim can have removed events after it. */
  isTime?: boolean;
}

/** A replaced server may take writes for so long, until every client has left it. */
const LINGER_MS = 60_000;
/** The first characters of the id of a history, enough to tell apart the histories of a minute. */
const MARK_LENGTH = 8;
export const READER_ID = /^(\d{1,15}-\d{1,15})(?:~([0-9a-f]{8})~(\d{1,15}-\d{1,15}))?$/;

/**
 * The id of an event for readers of the live stream: its position. For a minute after a failover the lost history can have
 * another event at the same position, so during that time the id also has a mark of its history: `<id>~<fork>`.
 */
export function readerId(position: string, forks: Fork[] = []): string {
  const before = forks.filter((fork) => isBefore(fork, position));
  const last = before.at(-1);
  if (last === undefined || !before.some((fork) => lingers(fork, position))) return position;
  return `${position}~${last.id.slice(0, MARK_LENGTH)}~${last.position}`;
}

/** Undefined if this is not the id of an event. */
export async function resumeReader(log: EventLog, id: string): Promise<Resumption | undefined> {
  const [, position, history, fork] = READER_ID.exec(id) ?? [];
  if (position === undefined) return undefined;
  const forks = await log.forks();
  const own = forks.findIndex((each) => history !== undefined && each.id.startsWith(history));
  if (own < 0)
    return resume(log, { position }, earliest([...lingering(forks, position), ...forkIn(fork, position)]));
  const next = forks[own + 1];
  return resume(log, { position }, next && isBefore(next, position) ? next.position : undefined);
}

/** For a reader that wants the events after a time. */
export async function resumeTime(log: EventLog, time: string): Promise<Resumption> {
  const { trimmed } = await log.bounds();
  if (trimmed === null || comparePositions(trimmed, time) < 0) return { from: time, isTime: true };
  return { from: trimmed, gap: { reason: 'trimmed', from: time, to: trimmed, next: trimmed } };
}

/** `lostAfter` is the fork if the event is lost although the log may have another one at its position. */
export async function resume(log: EventLog, place: Place, lostAfter?: string): Promise<Resumption> {
  const { position } = place;
  if (lostAfter === undefined && (await log.has(place))) return { from: position, there: true };
  const { first, trimmed } = await log.bounds();
  const fork = lostAfter ?? (await knownFork(log, place));
  // A trim may have removed the fork as well, so it is looked for first.
  if (fork === undefined) {
    const cut = cutAt(position, first, trimmed);
    if (cut === position) return { from: position };
    if (cut !== undefined)
      return { from: cut, gap: { reason: 'trimmed', from: position, to: cut, next: cut } };
    if (position === LOG_START) return { from: position };
  }
  return rollback(log, position, fork ?? (await guessedFork(log, place)), trimmed);
}

/** The fork is undefined where none explains what is missing: then another program deleted events. */
async function rollback(
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

/** True also where one of the histories is not known. */
export function sameHistory(one: Fork[] | undefined, other: Fork[] | undefined): boolean {
  return one === undefined || other === undefined || one.at(-1)?.id === other.at(-1)?.id;
}

/** The last trimmed position, if the event is missing because of a trim. */
function cutAt(position: string, first: string | null, trimmed: string | null): string | undefined {
  if (trimmed === null) return undefined;
  if (position === trimmed) return position;
  const beforeFirst = first !== null && comparePositions(position, first) < 0;
  if (comparePositions(position, trimmed) <= 0 && (first === null || beforeFirst)) return trimmed;
  // Another program may have trimmed more. If nothing was ever trimmed, a failover took the event back.
  return beforeFirst ? positionBefore(first) : undefined;
}

/** The fork after which this reader lost events, where it knows the history that it has read. */
async function knownFork(log: EventLog, { position, forks: read }: Place): Promise<string | undefined> {
  if (!read?.length) return undefined;
  const fork = partedAt(read, await log.forks());
  return fork !== undefined && comparePositions(fork, position) < 0 ? fork : undefined;
}

async function guessedFork(log: EventLog, { position, forks: read }: Place): Promise<string | undefined> {
  return read?.length ? undefined : likelyFork(await log.forks(), position);
}

/** Two histories differ from the first fork on that only one of them has. */
function partedAt(read: Fork[], now: Fork[]): string | undefined {
  // The log keeps only the newest forks, so those that are missing on one side because of their age do not count.
  const least = Math.max(read[0]?.order ?? 0, now[0]?.order ?? 0);
  const nameOf = ({ id, order, position }: Fork): string => `${id} ${order} ${position}`;
  const missingIn = (others: Fork[]): ((fork: Fork) => boolean) => {
    const names = new Set(others.map(nameOf));
    return (fork) => fork.order >= least && !names.has(nameOf(fork));
  };
  const ofOne = [...read.filter(missingIn(now)), ...now.filter(missingIn(read))];
  return earliest(ofOne.map(({ position }) => position));
}

/** For a reader that has only a position that is not there any more: where its history may have ended. */
function likelyFork(forks: Fork[], position: string): string | undefined {
  const last = forks.filter((fork) => isBefore(fork, position)).map((fork) => fork.position);
  return earliest(lingering(forks, position)) ?? last.sort(comparePositions).at(-1);
}

/**
 * The forks after which the old server may still have taken writes at the time of the position. A reader that goes on at the
 * first of them gets some events twice instead of missing some.
 */
function lingering(forks: Fork[], position: string): string[] {
  return forks
    .filter((fork) => isBefore(fork, position) && lingers(fork, position))
    .map((fork) => fork.position);
}

/** A reader can have changed its id, so the fork in it counts only if the event is after it. */
function forkIn(fork: string | undefined, position: string): string[] {
  return fork !== undefined && comparePositions(fork, position) < 0 ? [fork] : [];
}

/** The first entry is not a fork: it only notes the first server. */
function isBefore({ order, position: fork }: Fork, position: string): boolean {
  return order > 1 && comparePositions(fork, position) < 0;
}

/** The clock of the old server may be ahead, so the time of the fork is not compared alone. */
function lingers({ position: fork, at }: Fork, position: string): boolean {
  return msOf(position) <= Math.max(at * 1000, msOf(fork)) + LINGER_MS;
}

function msOf(position: string): number {
  return splitPosition(position)[0];
}

function earliest(positions: string[]): string | undefined {
  return positions.sort(comparePositions)[0];
}
