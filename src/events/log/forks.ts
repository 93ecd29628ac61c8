/**
 * Compares the histories of the log. Each server that takes writes begins a history of its own. An example:
 *
 *     old server   1 ── 2 ── 3 ── 4' ── 5'     4' and 5' were not replicated: they are lost
 *                            │
 *     new server             └─── 4 ── 5 ── 6  the fork is at 3, the last event that both histories have
 *
 * A reader that has read 5' must go on after 3. Positions alone do not show that: 5 and 5' can have the same one, because
 * the old server takes writes until every client has left it.
 */
import { comparePositions, type Fork, splitPosition } from '../../storage/event-log.js';

/** A replaced server may take writes for so long, until every client has left it. */
const OLD_SERVER_MS = 60_000;

/** True also where one of the histories is not known. */
export function sameHistory(one: Fork[] | undefined, other: Fork[] | undefined): boolean {
  return one === undefined || other === undefined || one.at(-1)?.id === other.at(-1)?.id;
}

/** Two histories differ from the first fork on that only one of them has. */
export function forkWhereHistoriesPart(read: Fork[], now: Fork[]): string | undefined {
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
export function likelyFork(forks: Fork[], position: string): string | undefined {
  const before = forks.filter((fork) => isBefore(fork, position)).map((fork) => fork.position);
  return earliest(possibleForks(forks, position)) ?? before.sort(comparePositions).at(-1);
}

/**
 * The forks at which the event at this position may have been lost. A reader that goes on at the first of them gets some
 * events twice instead of missing some.
 */
export function possibleForks(forks: Fork[], position: string): string[] {
  return forks
    .filter((fork) => isBefore(fork, position) && mayComeFromOldServer(fork, position))
    .map((fork) => fork.position);
}

/** The first entry is not a fork: it only notes the first server. */
export function isBefore({ order, position: fork }: Fork, position: string): boolean {
  return order > 1 && comparePositions(fork, position) < 0;
}

const ambiguousUntil = new WeakMap<Fork[], number>();

/**
 * No server that was replaced at one of these forks can have written an event at this position. Readers of the live stream get an
 * id for every event, so the limit is computed once for each list.
 */
export function isAfterOldServers(forks: Fork[], position: string): boolean {
  let untilMs = ambiguousUntil.get(forks);
  if (untilMs === undefined) {
    untilMs = Math.max(...forks.filter(({ order }) => order > 1).map(oldServerUntilMs));
    ambiguousUntil.set(forks, untilMs);
  }
  return msOf(position) > untilMs;
}

/**
 * The server that was replaced at this fork may have written the event at this position. Its clock may be ahead, so the time
 * of the fork is not compared alone.
 */
export function mayComeFromOldServer(fork: Fork, position: string): boolean {
  return msOf(position) <= oldServerUntilMs(fork);
}

function oldServerUntilMs({ position, at }: Fork): number {
  return Math.max(at * 1000, msOf(position)) + OLD_SERVER_MS;
}

function msOf(position: string): number {
  return splitPosition(position)[0];
}

export function earliest(positions: string[]): string | undefined {
  return positions.sort(comparePositions)[0];
}
