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
}

export interface Resumption {
  /** The next event is the first one after this position. */
  from: string;
  gap?: MissedGap;
  /** The event at the place of the reader is in the log. */
  there?: boolean;
}

/** A replaced server may take writes for so long, until every client has left it. */
const LINGER_SECONDS = 60;

export async function resume(log: EventLog, place: Place): Promise<Resumption> {
  const { position } = place;
  if (await log.has(place)) return { from: position, there: true };
  const { first, trimmed } = await log.bounds();
  const cut = cutAt(position, first, trimmed);
  if (cut === position) return { from: position };
  if (cut !== undefined) return { from: cut, gap: { reason: 'trimmed', from: position, to: cut } };
  if (position === LOG_START) return { from: position };
  const fork = forkOf(await log.forks(), place);
  const bound = fork === undefined ? { after: position } : { until: fork };
  const [older] = await log.read({ order: 'desc', limit: 1, ...bound });
  const from = older?.position ?? trimmed ?? LOG_START;
  return { from, gap: { reason: 'rollback', from, to: position } };
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

/** The position after which events are lost. Undefined where no fork explains it: then another program deleted events. */
function forkOf(forks: Fork[], { position, forks: read }: Place): string | undefined {
  const fork = read?.length ? partedAt(read, forks) : likelyFork(forks, position);
  return fork !== undefined && comparePositions(fork, position) < 0 ? fork : undefined;
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
  return earliest([...read.filter(missingIn(now)), ...now.filter(missingIn(read))]);
}

/**
 * For a reader that has only a position: the last fork before it, or an earlier one if the old server may still have taken
 * writes at that time. The reader then gets some events twice instead of missing some. The first entry is not a fork: it only
 * notes the first server.
 */
function likelyFork(forks: Fork[], position: string): string | undefined {
  const before = forks.filter((fork) => fork.order > 1 && comparePositions(fork.position, position) < 0);
  const since = splitPosition(position)[0] / 1000 - LINGER_SECONDS;
  const recent = earliest(before.filter(({ at }) => at >= since));
  return (
    recent ??
    before
      .map((fork) => fork.position)
      .sort(comparePositions)
      .at(-1)
  );
}

function earliest(forks: Fork[]): string | undefined {
  return forks.map(({ position }) => position).sort(comparePositions)[0];
}
