/** The one file on disk that the embedded store and the embedded event log share, so that one commit covers both. */
import { statfsSync, statSync } from 'node:fs';
import type { BrainError } from '../../shared/errors.js';
import { WriteCheck } from '../write-check.js';
import { DataFolder } from './data-folder.js';
import { createStore, openStore, type Root, type RootStats, type Tables } from './engine.js';
import { type FolderLock, lockFolder } from './lock.js';
import { noRoom, type Space, spaceWarnings } from './space.js';
import { pagesOf, type Table } from './table.js';
import { Writer } from './writer.js';

export type { Key } from './table.js';

/** How many sequence numbers are reserved on disk at once: a restart skips the rest of them. */
const SEQUENCE_BLOCK = 1000;
/** How long a measure of file and disk is believed. */
const MEASURE_MS = 100;

/** What a write costs that finds out whether writes are taken: about as many pages as that of a request. */
const CHECKED = 'x'.repeat(2 ** 16);

interface Opened {
  place: DataFolder;
  root: Root;
  tables: Tables;
  maxBytes: number;
  lock: FolderLock;
}

export class EmbeddedDatabase {
  readonly docs: Table;
  readonly index: Table;
  readonly uniques: Table;
  /** Counters of documents, and how many rows each value of an index has. */
  readonly counts: Table<number>;
  readonly entries: Table;
  readonly log: Table;
  readonly logIndex: Table;
  readonly meta: Table;
  private readonly inode: number | undefined;
  private readonly writer: Writer;
  private readonly writes: WriteCheck;
  private readonly reserved = new Map<string, { next: number; until: number; growing?: Promise<unknown> }>();
  private readonly listeners = new Set<() => void>();
  private measured?: { space: Space; atMs: number };

  /** Refuses with a `BrainError` that says what to do, and then leaves the data as it is. */
  static async open(folder: string, options: { maxBytes: number }): Promise<EmbeddedDatabase> {
    const place = new DataFolder(folder);
    place.prepare();
    let lock: FolderLock | undefined;
    try {
      lock = await lockFolder(place.path);
      if (!place.inspect()) await createStore(place);
      const store = await openStore(place, options.maxBytes);
      place.mark();
      return new EmbeddedDatabase({ ...store, place, maxBytes: options.maxBytes, lock });
    } catch (error) {
      await lock?.release();
      throw place.refusal(error);
    }
  }

  private constructor(private readonly opened: Opened) {
    const { root, place, tables } = opened;
    this.docs = tables.docs;
    this.index = tables.index;
    this.uniques = tables.uniques;
    this.counts = tables.counts;
    this.entries = tables.entries;
    this.log = tables.log;
    this.logIndex = tables.logIndex;
    this.meta = tables.meta;
    this.inode = inodeOf(place.file);
    this.writes = new WriteCheck(() => this.commit(() => this.meta.putSync(['write-check'], CHECKED)));
    this.writer = new Writer(root, {
      noRoom: () => this.noRoom(),
      flushed: (grew) => {
        if (grew) this.writes.worked();
        for (const listener of this.listeners) listener();
      },
      refused: () => this.writes.doubted(),
    });
  }

  /**
   * Runs `change` alone and whole, or not at all; resolves when it is on disk. Readers may see it a little earlier.
   * `frees`: this change only makes room, so it is let through while others are refused because there is none.
   */
  commit<T>(change: () => T, { frees = false }: { frees?: boolean } = {}): Promise<T> {
    return this.writer.commit(change, frees);
  }

  /** Resolves when all that was handed over is on disk, or was refused. */
  flushed(): Promise<void> {
    return this.writer.settled();
  }

  /** Calls back after each flush. */
  onFlush(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async next(sequence: string): Promise<number> {
    let block = this.reserved.get(sequence);
    if (!block) {
      const until = Number(this.meta.get(['sequence', sequence]) ?? 0);
      block = { next: until + 1, until };
      this.reserved.set(sequence, block);
    }
    while (block.next > block.until) {
      block.growing ??= this.reserve(sequence, block);
      await block.growing;
    }
    return block.next++;
  }

  /** Why nothing can be written until the service is started anew. */
  trouble(): BrainError | undefined {
    this.measure();
    return this.writer.failure;
  }

  /** Why no write is taken, for now or until the service is started anew. */
  async refusal(): Promise<BrainError | undefined> {
    const refusal = this.trouble() ?? (await this.writes.refusal());
    // That too many wait says nothing about the store.
    return refusal?.code === 'store_overloaded' ? undefined : refusal;
  }

  /** What an operator should look at while all still works. */
  warnings(): string[] {
    const space = this.measure();
    return space ? spaceWarnings(space, this.opened.maxBytes) : [];
  }

  async close(): Promise<void> {
    const sound = await this.writer.stop();
    // A lock that is not given back goes with the process.
    if (!sound) return;
    for (const table of Object.values(this.opened.tables) as Table<unknown>[]) table.close();
    await this.opened.root.close();
    await this.opened.lock?.release();
  }

  private noRoom(): BrainError | undefined {
    const space = this.measure();
    return space && noRoom(space, this.opened.maxBytes);
  }

  private measure(): Space | undefined {
    const atMs = performance.now();
    if (this.writer.failure) return undefined;
    if (this.measured && atMs - this.measured.atMs < MEASURE_MS) return this.measured.space;
    if (this.inode !== inodeOf(this.opened.place.file)) {
      const detail =
        'The data file was moved, replaced or deleted while it was in use. Stop the service, put the data folder ' +
        'back in its place, and start again.';
      this.writer.fail('data_file_missing', detail);
      return undefined;
    }
    this.measured = { space: this.look(), atMs };
    return this.measured.space;
  }

  private look(): Space {
    const { root, place, tables } = this.opened;
    const stats = root.getStats() as RootStats;
    const pages = [
      stats,
      stats.free,
      ...Object.values(tables).map((table: Table<unknown>) => table.getStats()),
    ].map(pagesOf);
    const disk = statfsSync(place.path);
    return {
      fileBytes: (stats.lastPageNumber + 1) * stats.pageSize,
      usedBytes: pages.reduce((sum, count) => sum + count, 2) * stats.pageSize,
      diskFreeBytes: disk.bavail * disk.bsize,
      diskBytes: disk.blocks * disk.bsize,
    };
  }

  private async reserve(
    sequence: string,
    block: { until: number; growing?: Promise<unknown> },
  ): Promise<void> {
    try {
      const until = block.until + SEQUENCE_BLOCK;
      await this.commit(() => this.meta.putSync(['sequence', sequence], String(until)));
      block.until = until;
    } finally {
      block.growing = undefined;
    }
  }
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}
