import { BrainError } from './errors.js';

/** Holds a change against the version that its sender had seen; without one every version will do. */
export function expectVersion(current: number, expected: number | undefined): void {
  if (expected === undefined || expected === current) return;
  const detail = `It was changed meanwhile: version ${expected} was demanded and it is at ${current}; read it again.`;
  throw new BrainError('stale_version', 'version_mismatch', detail);
}
