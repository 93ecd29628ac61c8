import { BrainError } from './errors.js';

/** The versions of a resource that a change accepts. */
export type Versions = readonly number[];

/** Throws if the caller does not accept the current version. Undefined accepts every version. */
export function expectVersion(current: number, accepted: Versions | undefined): void {
  if (accepted === undefined || accepted.includes(current)) return;
  const wanted = accepted.length === 0 ? 'another' : `version ${accepted.join(' or ')}`;
  const detail = `It has version ${current}, and the request expects ${wanted}. Read it again.`;
  throw new BrainError('stale_version', 'version_mismatch', detail);
}
