import { isBrainError } from '../../src/shared/errors.js';

/** The code of the error with which this ends, or `no error`. */
export async function codeOf(work: Promise<unknown> | (() => unknown)): Promise<string> {
  try {
    await (typeof work === 'function' ? work() : work);
    return 'no error';
  } catch (error) {
    return isBrainError(error) ? error.code : String(error);
  }
}
