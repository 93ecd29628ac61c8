import { BrainError } from './errors.js';

/** Throws if the caller expects another version than the current one. Undefined accepts every version. */
export function expectVersion(current: number, expected: number | undefined): void {
  if (expected === undefined || expected === current) return;
  const detail = `It has version ${current}, and the request expects version ${expected}. Read it again.`;
  throw new BrainError('stale_version', 'version_mismatch', detail);
}
