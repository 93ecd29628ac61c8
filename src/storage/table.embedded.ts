/** One table of the embedded database: only what the adapters use, and what goes wrong in it as an error of ours. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Database, RangeOptions } from 'lmdb';
import { BrainError, messageOf } from '../shared/errors.js';

type Part = string | number;
export type Key = Part[];

/** Ranges are read as they are walked; a walk must end before the next await. */
export class Table<V = string> {
  constructor(private readonly db: Database<V, Key>) {}

  get(key: Key): V | undefined {
    return guarded(() => this.db.get(key));
  }

  doesExist(key: Key): boolean {
    return guarded(() => this.db.doesExist(key));
  }

  getRange(range: RangeOptions = {}): Iterable<{ key: Key; value: V }> {
    return walked(() => this.db.getRange(range));
  }

  getKeys(range: RangeOptions = {}): Iterable<Key> {
    return walked(() => this.db.getKeys(range));
  }

  getKeysCount(range: RangeOptions = {}): number {
    return guarded(() => this.db.getKeysCount(range));
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
    return guarded(() => this.db.getStats() as TableStats);
  }
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

/** The engine rejects a commit with an error that holds a promise of the real one, which it rejects a little later. */
export async function causeOf(error: unknown): Promise<unknown> {
  const { commitError } = error as { commitError?: Promise<unknown> };
  const cause = Promise.resolve(commitError ?? error).catch((inner: unknown) => inner);
  return Promise.race([cause, sleep(1000, error, { ref: false })]);
}

/** An error of the engine has a number; whatever else was thrown is no matter of the store and stays what it is. */
export function explained(error: unknown): Error {
  const code = (error as { code?: unknown } | undefined)?.code;
  if (error instanceof BrainError || typeof code !== 'number') return error as Error;
  const text = messageOf(error);
  if (NO_SPACE.has(code)) return storageFull('The disk of the data folder is full', error);
  if (/MDB_(CORRUPTED|PAGE_NOTFOUND|INVALID|BAD_VALSIZE|CURSOR_FULL|PROBLEM)/.test(text)) {
    const detail =
      'The data file is damaged. Stop the service and restore the data folder from a backup; or move the folder away ' +
      'to start with an empty store.';
    return new BrainError('unavailable', 'data_file_damaged', detail, { cause: error });
  }
  const detail = 'The data folder could not be read or written; the log of the service says why.';
  return new BrainError('unavailable', 'store_failed', detail, { cause: error });
}

/** ENOSPC, EFBIG, EDQUOT on Linux, EDQUOT on macOS. */
const NO_SPACE = new Set([28, 27, 122, 69]);

export function storageFull(what: string, cause?: unknown): BrainError {
  const detail = `${what}; nothing of this request was stored. Free space there, or keep less by shorter retention.`;
  return new BrainError('unavailable', 'storage_full', detail, { retryAfterSeconds: 30, cause });
}
