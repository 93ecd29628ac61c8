/** How often a step is tried, and how long it is waited in between. */
import type { Step } from '../missions.dto.js';

const ATTEMPTS = 3;
const BACKOFF_SECONDS = 1;
const MAX_BACKOFF_SECONDS = 300;

export function attemptsOf({ retry }: Pick<Step, 'retry'>): number {
  return retry?.attempts ?? ATTEMPTS;
}

/**
 * Doubles with each attempt, up to its bound. Between half and all of that is waited, so that those who failed together do not
 * come back together.
 */
export function backoffSeconds(
  { retry = {} }: Pick<Step, 'retry'>,
  attempt: number,
  random: () => number = Math.random,
): number {
  const { backoff_seconds = BACKOFF_SECONDS, max_seconds = MAX_BACKOFF_SECONDS } = retry;
  const seconds = Math.min(max_seconds, backoff_seconds * 2 ** (attempt - 1));
  return seconds * (0.5 + random() / 2);
}
