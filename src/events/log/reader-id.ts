/**
 * The id of an event for readers of the live stream: its position. For a minute after a failover the lost history can have
 * another event at the same position, so during that time the id also names its history: `<position>~<history>~<fork>`.
 */
import { comparePositions, type Fork } from '../../storage/event-log.js';
import { earliest, isAfterOldServers, isBefore, mayComeFromOldServer, possibleForks } from './forks.js';

export const READER_ID = /^(\d{1,15}-\d{1,15})(?:~([0-9a-f]{8})~(\d{1,15}-\d{1,15}))?$/;
/** The first characters of the id of a history, enough to tell apart the histories of a minute. */
const HISTORY_LENGTH = 8;

interface ReaderId {
  position: string;
  /** The first characters of the id of the history in which the event was read. */
  history?: string;
  /** The position at which that history begins. */
  fork?: string;
}

/** `forks` are those of the history in which the event was read. */
export function readerId(position: string, forks: Fork[] = []): string {
  if (isAfterOldServers(forks, position)) return position;
  const before = forks.filter((fork) => isBefore(fork, position));
  const last = before.at(-1);
  if (last === undefined || !before.some((fork) => mayComeFromOldServer(fork, position))) return position;
  return `${position}~${last.id.slice(0, HISTORY_LENGTH)}~${last.position}`;
}

/** Undefined if this is not the id of an event. */
export function parseReaderId(id: string): ReaderId | undefined {
  const [, position, history, fork] = READER_ID.exec(id) ?? [];
  return position === undefined ? undefined : { position, history, fork };
}

/**
 * The fork after which a reader with this id has lost events, although the log may have another event at its position.
 * Undefined if it has lost none, or if that cannot be known from the id.
 */
export function forkOfLoss({ position, history, fork }: ReaderId, forks: Fork[]): string | undefined {
  const own = forks.findIndex(({ id }) => history !== undefined && id.startsWith(history));
  if (own >= 0) {
    const next = forks[own + 1];
    return next && isBefore(next, position) ? next.position : undefined;
  }
  const possible = possibleForks(forks, position);
  // A reader can have changed its id, so the fork in it counts only if the event is after it.
  if (fork !== undefined && comparePositions(fork, position) < 0) possible.push(fork);
  return earliest(possible);
}
