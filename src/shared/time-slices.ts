import { setImmediate as turn } from 'node:timers/promises';

/** How long one slice may block the event loop. */
const SLICE_MS = 4;

let lastTurn: Promise<void> = Promise.resolve();

/**
 * Waits for a turn of the event loop for oneself: of all who wait here, one goes on in each turn. With `setImmediate` alone all
 * would go on in the same turn, and other work would wait for all of them.
 */
export function ownTurn(): Promise<void> {
  lastTurn = lastTurn.then(() => turn());
  return lastTurn;
}

/** Runs all steps without a pause. Only for code that no request waits for. */
export function atOnce<T>(steps: Generator<void, T, void>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** Runs the steps in slices, so that other work can run between them. */
export async function inSlices<T>(steps: Generator<void, T, void>): Promise<T> {
  let endMs = performance.now() + SLICE_MS;
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    if (performance.now() < endMs) continue;
    await turn();
    endMs = performance.now() + SLICE_MS;
  }
}
