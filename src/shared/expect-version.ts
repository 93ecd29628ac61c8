import { BrainError } from './errors.js';

/** Throws where the caller expects another version than the current one; undefined accepts every version. */
export function expectVersion(current: number, expected: number | undefined): void {
  if (expected === undefined || expected === current) return;
  const detail = `It was changed meanwhile: version ${expected} was demanded and it is at ${current}; read it again.`;
  throw new BrainError('stale_version', 'version_mismatch', detail);
}
