import { setImmediate as turn } from 'node:timers/promises';

/** Longer than this nobody else waits for their turn of the event loop. */
const SLICE_MS = 4;

/** Runs what is done in steps without a pause, where nobody waits meanwhile. */
export function atOnce<T>(steps: Generator<void, T, void>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** Runs what is done in steps so that others get their turn between them. */
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
