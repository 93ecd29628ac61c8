/** Whether there is room for more, on the disk and in the bound that the settings give the store. */
import type { BrainError } from '../../shared/errors.js';
import { storageFull } from './table.js';

const MIB = 2 ** 20;
/** Growth ends while so much of the disk is free, because deleting needs pages too. */
const DISK_RESERVE_BYTES = 16 * MIB;
const DISK_WARNING_BYTES = 64 * MIB;

export interface Space {
  fileBytes: number;
  /** What of the file is in use; the rest is written again before the file grows. */
  usedBytes: number;
  diskFreeBytes: number;
  diskBytes: number;
}

/** Growth is refused while there is neither room on the disk nor enough within the file. */
export function noRoom(space: Space, maxBytes: number): BrainError | undefined {
  const reserveBytes = Math.min(DISK_RESERVE_BYTES, space.diskBytes / 100);
  const insideBytes = space.fileBytes - space.usedBytes;
  // Pages that were freed by the last commits are not used again at once, hence the distance.
  const mostBytes = maxBytes - Math.min(DISK_RESERVE_BYTES, maxBytes / 16);
  if (space.fileBytes >= maxBytes && space.usedBytes >= mostBytes)
    return storageFull('The store has grown to BRAIN_EMBEDDED_MAX_GIB');
  if (space.diskFreeBytes < reserveBytes && insideBytes < reserveBytes)
    return storageFull('The disk of the data folder is full');
  return undefined;
}

export function spaceWarnings(space: Space, maxBytes: number): string[] {
  const warnings: string[] = [];
  const freeMib = Math.floor(space.diskFreeBytes / MIB);
  if (space.diskFreeBytes < Math.max(DISK_WARNING_BYTES, space.diskBytes / 100))
    warnings.push(`disk_nearly_full: ${freeMib} MiB are free where the data folder lies`);
  if (space.usedBytes > 0.9 * maxBytes)
    warnings.push('store_nearly_full: more than nine tenths of BRAIN_EMBEDDED_MAX_GIB are in use');
  return warnings;
}
