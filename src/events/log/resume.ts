/** Where a reader of the log goes on that was somewhere before, and what it has missed meanwhile. */
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
  /** The event at the place is there. */
  there?: boolean;
}

/** A server that was replaced may go on taking writes for so long before everybody has left it. */
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

/** Both read the same history, as far as is known. */
export function sameHistory(one: Fork[] | undefined, other: Fork[] | undefined): boolean {
  return one === undefined || other === undefined || one.at(-1)?.id === other.at(-1)?.id;
}

/** Up to where the log was trimmed, where that is why the place is gone. */
function cutAt(position: string, first: string | null, trimmed: string | null): string | undefined {
  if (trimmed === null) return undefined;
  if (position === trimmed) return position;
  const beforeFirst = first !== null && comparePositions(position, first) < 0;
  if (comparePositions(position, trimmed) <= 0 && (first === null || beforeFirst)) return trimmed;
  // Somebody else may have cut off more than we did. Where nothing was ever cut off, what is gone was taken back.
  return beforeFirst ? positionBefore(first) : undefined;
}

/** Behind which position the history that was read is lost. Nothing where no fork has taken it, but somebody who deletes events. */
function forkOf(forks: Fork[], { position, forks: read }: Place): string | undefined {
  const fork = read?.length ? partedAt(read, forks) : likelyFork(forks, position);
  return fork !== undefined && comparePositions(fork, position) < 0 ? fork : undefined;
}

/** Two histories part at the first of the forks that only one of them has. */
function partedAt(read: Fork[], now: Fork[]): string | undefined {
  // Only so many are kept; what one of them has forgotten tells nothing.
  const least = Math.max(read[0]?.order ?? 0, now[0]?.order ?? 0);
  const nameOf = ({ id, order, position }: Fork): string => `${id} ${order} ${position}`;
  const missingIn = (others: Fork[]): ((fork: Fork) => boolean) => {
    const names = new Set(others.map(nameOf));
    return (fork) => fork.order >= least && !names.has(nameOf(fork));
  };
  return earliest([...read.filter(missingIn(now)), ...now.filter(missingIn(read))]);
}

/**
 * For a reader that brings nothing but a position: the last fork before it, or an earlier one where the old server may still have
 * taken writes when the place was written. Rather an event twice than none. Where forks were first noted nothing parted.
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
