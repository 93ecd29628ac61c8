/** Knows whether the store may grow: on its disk, and within its configured size. */
import type { BrainError } from '../../shared/errors.js';
import { storageFull } from './table.js';

const MIB = 2 ** 20;
/** The store must leave this much of the disk free, because deletes need pages as well. */
const DISK_RESERVE_BYTES = 16 * MIB;
const DISK_WARNING_BYTES = 64 * MIB;
const RAISE = 'Raise BRAIN_EMBEDDED_MAX_GIB, or shorten the retention.';

export interface Space {
  fileBytes: number;
  /** The used part of the file. The free part is used before the file grows. */
  usedBytes: number;
  diskFreeBytes: number;
  diskBytes: number;
}

/** The error that refuses growth if there is no room on the disk and too little in the file; undefined if there is room. */
export function noRoom(space: Space, maxBytes: number): BrainError | undefined {
  const reserveBytes = Math.min(DISK_RESERVE_BYTES, space.diskBytes / 100);
  const insideBytes = space.fileBytes - space.usedBytes;
  // The engine does not use the pages of the last deletes at once, so the limit is lower than the bound.
  const mostBytes = maxBytes - Math.min(DISK_RESERVE_BYTES, maxBytes / 16);
  if (space.fileBytes >= maxBytes && space.usedBytes >= mostBytes)
    return storageFull('The store has grown to BRAIN_EMBEDDED_MAX_GIB', RAISE);
  if (space.diskFreeBytes < reserveBytes && insideBytes < reserveBytes)
    return storageFull('The disk of the data folder is full');
  return undefined;
}

export function spaceWarnings(space: Space, maxBytes: number): string[] {
  const warnings: string[] = [];
  const freeMib = Math.floor(space.diskFreeBytes / MIB);
  if (space.diskFreeBytes < Math.max(DISK_WARNING_BYTES, space.diskBytes / 100))
    warnings.push(
      `disk_nearly_full: ${freeMib} MiB are free on the disk of the data folder. Free space there.`,
    );
  if (space.usedBytes > 0.9 * maxBytes)
    warnings.push(`store_nearly_full: more than 90 % of BRAIN_EMBEDDED_MAX_GIB are in use. ${RAISE}`);
  return warnings;
}
