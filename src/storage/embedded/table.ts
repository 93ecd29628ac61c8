/** One table of the embedded database. It has only the methods that are used, and throws `BrainError` for errors of the engine. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Database, RangeOptions } from 'lmdb';
import { BrainError, messageOf } from '../../shared/errors.js';

type Part = string | number;
export type Key = Part[];

/** A range is read during its walk, so a walk must end before the next await. */
export class Table<V = string> {
  private closed = false;

  constructor(private readonly db: Database<V, Key>) {}

  get(key: Key): V | undefined {
    return guarded(() => this.open.get(key));
  }

  doesExist(key: Key): boolean {
    return guarded(() => this.open.doesExist(key));
  }

  getRange(range: RangeOptions = {}): Iterable<{ key: Key; value: V }> {
    return walked(() => this.open.getRange(range));
  }

  getKeys(range: RangeOptions = {}): Iterable<Key> {
    return walked(() => this.open.getKeys(range));
  }

  getKeysCount(range: RangeOptions = {}): number {
    return guarded(() => this.open.getKeysCount(range));
  }

  /** Only inside a commit. */
  putSync(key: Key, value: V): void {
    guarded(() => this.db.putSync(key, value));
  }

  /** Only inside a commit. */
  removeSync(key: Key): void {
    guarded(() => this.db.removeSync(key));
  }

  getStats(): TableStats {
    return guarded(() => this.open.getStats() as TableStats);
  }

  /** Call it before the close of the engine. A read during that close leaves a timer that ends the process. */
  close(): void {
    this.closed = true;
  }

  private get open(): Database<V, Key> {
    if (this.closed) throw storeClosed();
    return this.db;
  }
}

const SHUTTING_DOWN = 'The service is shutting down; send the request again after its next start.';

export function storeClosed(): BrainError {
  return new BrainError('unavailable', 'store_closed', SHUTTING_DOWN);
}

export interface TableStats {
  entryCount: number;
  treeBranchPageCount: number;
  treeLeafPageCount: number;
  overflowPages: number;
}

export function pagesOf(stats: TableStats): number {
  return stats.treeBranchPageCount + stats.treeLeafPageCount + stats.overflowPages;
}

function guarded<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw explained(error);
  }
}

function* walked<T>(rows: () => Iterable<T>): Generator<T> {
  try {
    yield* rows();
  } catch (error) {
    throw explained(error);
  }
}

/** The engine rejects a commit with an error that contains a promise. That rejects a little later with the real error. */
export async function causeOf(error: unknown): Promise<unknown> {
  const { commitError } = error as { commitError?: Promise<unknown> };
  const cause = Promise.resolve(commitError ?? error).catch((inner: unknown) => inner);
  return Promise.race([cause, sleep(1000, error, { ref: false })]);
}

/** Errors of the engine have a number. Any other error is returned as it is. */
export function explained(error: unknown): Error {
  const code = (error as { code?: unknown } | undefined)?.code;
  if (error instanceof BrainError || typeof code !== 'number') return error as Error;
  const text = messageOf(error);
  const full = refusedGrowth(code, text);
  if (full) return storageFull(...full, error);
  if (/MDB_(CORRUPTED|PAGE_NOTFOUND|INVALID|BAD_VALSIZE|CURSOR_FULL|PROBLEM)/.test(text)) {
    const detail =
      'The data file is damaged. Stop the service and restore the data folder from a backup, or move the folder away ' +
      'to start with an empty store.';
    return new BrainError('unavailable', 'data_file_damaged', detail, { cause: error });
  }
  const detail = 'The data folder could not be read or written. See the log of the service for the cause.';
  return new BrainError('unavailable', 'store_failed', detail, { cause: error });
}

const FREE_SPACE = 'Free space there, or shorten the retention.';
const EIO = 5;

type Refused = [what: string, advice: string];

const DISK_FULL: Refused = ['The disk of the data folder is full', FREE_SPACE];
const FILE_LIMITED: Refused = [
  'The data file has reached the limit on the size of files',
  'Raise the limit of the process (ulimit -f), or shorten the retention.',
];
const QUOTA_USED: Refused = [
  'The quota on the disk of the data folder is used up',
  `Raise the quota. ${FREE_SPACE}`,
];
const NO_MORE: Refused = [
  'The data file cannot grow: the disk is full, or a quota or the limit on the size of files (ulimit -f) is reached',
  `Raise the limit. ${FREE_SPACE}`,
];

/** ENOSPC, EFBIG, EDQUOT on Linux, EDQUOT on macOS. */
const NO_SPACE = new Map([
  [28, DISK_FULL],
  [27, FILE_LIMITED],
  [122, QUOTA_USED],
  [69, QUOTA_USED],
]);

function refusedGrowth(code: number, text: string): Refused | undefined {
  return NO_SPACE.get(code) ?? (isShortWrite(code, text) ? NO_MORE : undefined);
}

/**
 * If only a part of a write has room, the system writes that part and gives no reason. The engine then reports EIO without
 * a place. To an EIO of the system it adds the place.
 */
export function isShortWrite(code: number, text: string): boolean {
  return code === EIO && !text.includes(':');
}

export function fileLimited(): BrainError {
  return storageFull(...FILE_LIMITED);
}

export function storageFull(what: string, advice = FREE_SPACE, cause?: unknown): BrainError {
  const detail = `${what}. Nothing of a request that writes is stored. ${advice}`;
  return new BrainError('unavailable', 'storage_full', detail, { retryAfterSeconds: 30, cause });
}
