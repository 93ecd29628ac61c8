/**
 * Knows whether the store may grow: on its disk, within its configured size, and within the limit on the size of files. What
 * can be foreseen must not reach the engine: where the system refuses a page, lmdb 3.5 may write past the end of its own error
 * text, and the process can end by SIGABRT (ADR 3).
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type BrainError, isBrainError, messageOf } from '../../shared/errors.js';
import { explained, fileLimited, storageFull } from './table.js';

const MIB = 2 ** 20;
/** The store must leave this much of the disk free, because deletes need pages as well. */
const DISK_RESERVE_BYTES = 16 * MIB;
const DISK_WARNING_BYTES = 64 * MIB;
/** More than the largest request takes in most stores; a file of this size is written only after a refusal. */
export const PROBE_BYTES = MIB;
/** The part of BRAIN_EMBEDDED_MAX_GIB that only essential changes use. */
const RESERVE = { share: 0.05, leastBytes: 8 * MIB, mostBytes: 1024 * MIB, mostShare: 0.25 };
/** What changes may write between two measurements. */
const NEAR_BYTES = 32 * MIB;
const RAISE = 'Raise BRAIN_EMBEDDED_MAX_GIB, or shorten the retention.';

/** How a change grows the store: it only frees space, it is essential (`TransactionOptions`), or neither. */
export type Growth = 'none' | 'essential' | 'usual';

export interface Space {
  fileBytes: number;
  /** The used part of the file. The free part is used before the file grows. */
  usedBytes: number;
  diskFreeBytes: number;
  diskBytes: number;
  /** The greatest size of a file that this process may write; infinite if there is no limit. */
  fileLimitBytes: number;
}

/** The error that refuses growth if there is no room on the disk and too little in the file; undefined if there is room. */
export function noRoom(
  space: Space,
  maxBytes: number,
  growth: 'essential' | 'usual' = 'usual',
): BrainError | undefined {
  const isEssential = growth === 'essential';
  const insideBytes = space.fileBytes - space.usedBytes;
  const isFull = isEssential
    ? space.fileBytes >= maxBytes && space.usedBytes >= mostUsed(maxBytes)
    : space.usedBytes >= mostUsual(maxBytes);
  if (isFull) return storageFull('The store has grown to BRAIN_EMBEDDED_MAX_GIB', RAISE);
  const share = isEssential ? 1 / 2 : 1;
  const keptBytes = DISK_RESERVE_BYTES * share;
  const onDiskBytes = Math.min(DISK_RESERVE_BYTES, space.diskBytes / 100) * share;
  if (space.diskFreeBytes < onDiskBytes && insideBytes < onDiskBytes)
    return storageFull('The disk of the data folder is full');
  if (space.fileLimitBytes - space.fileBytes < keptBytes && insideBytes < keptBytes) return fileLimited();
  return undefined;
}

/** The error that refuses every change, because the process may not even write the pages that the file has. */
export function noWrites(space: Space): BrainError | undefined {
  return space.fileLimitBytes < space.fileBytes ? fileLimited() : undefined;
}

/** Only Linux reports the limit (`ulimit -f`) of a process to itself. */
export function fileLimitBytes(): number {
  try {
    const [, soft] = /^Max file size +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/**
 * Why the disk takes no further page, found by writing a file instead of by the engine: a quota can only be found by trying.
 * Undefined if it takes one.
 */
export function refusedProbe(path: string): BrainError | undefined {
  try {
    writeFileSync(path, Buffer.alloc(PROBE_BYTES));
    return undefined;
  } catch (error) {
    const code = Math.abs((error as NodeJS.ErrnoException).errno ?? 0);
    const refusal = explained(Object.assign(new Error(messageOf(error)), { code }));
    // Any other error says nothing about the room for the data file.
    return isBrainError(refusal, 'storage_full') ? refusal : undefined;
  } finally {
    rmSync(path, { force: true });
  }
}

/** The engine does not use the pages of the last deletes at once, so the limit is lower than the bound. */
function mostUsed(maxBytes: number): number {
  return maxBytes - Math.min(DISK_RESERVE_BYTES, maxBytes / 16);
}

/** The limit of changes that are not essential. */
function mostUsual(maxBytes: number): number {
  const { share, leastBytes, mostBytes, mostShare } = RESERVE;
  const reserve = Math.min(Math.max(leastBytes, maxBytes * share), mostBytes, maxBytes * mostShare);
  return mostUsed(maxBytes) - reserve;
}

/** Whether a few batches could fill the store. */
export function isNearlyFull({ usedBytes }: Space, maxBytes: number): boolean {
  return usedBytes > mostUsual(maxBytes) - NEAR_BYTES;
}

export function spaceWarnings(space: Space, maxBytes: number): string[] {
  const warnings: string[] = [];
  const freeMib = Math.floor(space.diskFreeBytes / MIB);
  if (space.diskFreeBytes < Math.max(DISK_WARNING_BYTES, space.diskBytes / 100))
    warnings.push(
      `disk_nearly_full: ${freeMib} MiB are free on the disk of the data folder. Free space there.`,
    );
  if (space.usedBytes > 0.9 * mostUsual(maxBytes))
    warnings.push(
      `store_nearly_full: more than 90 % of what BRAIN_EMBEDDED_MAX_GIB allows is in use. ${RAISE}`,
    );
  return warnings;
}
