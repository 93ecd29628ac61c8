import { sleep } from '../../src/shared/clock.js';

/** Calls `isSo` until it returns true. Fails after `ms`; `what` names the condition in the error. */
export async function until(
  isSo: () => Promise<boolean> | boolean,
  ms: number,
  what: string,
  everyMs = 20,
): Promise<void> {
  const endMs = Date.now() + ms;
  while (!(await isSo())) {
    if (Date.now() > endMs) throw new Error(`${what} did not happen within ${ms} ms`);
    await sleep(everyMs);
  }
}
