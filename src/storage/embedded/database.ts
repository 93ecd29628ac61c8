/** The data file. The embedded store and the embedded event log share it, so one commit covers both. */
import { statfsSync, statSync } from 'node:fs';
import type { BrainError } from '../../shared/errors.js';
import { WriteCheck } from '../write-check.js';
import { DataFolder } from './data-folder.js';
import { createStore, openStore, type Root, type RootStats, type Tables } from './engine.js';
import { type FolderLock, lockFolder } from './lock.js';
import {
  fileLimitBytes,
  type Growth,
  isNearlyFull,
  noRoom,
  noWrites,
  PROBE_BYTES,
  refusedProbe,
  type Space,
  spaceWarnings,
} from './space.js';
import { pagesOf, type Table } from './table.js';
import { type Foreseen, Writer, type Written } from './writer.js';

export type { Key } from './table.js';

/** How many sequence numbers one commit reserves. A restart skips the rest of them. */
const SEQUENCE_BLOCK = 1000;
/** How long the last measurement of file and disk is used. Near the limit each batch measures, to keep the reserve whole. */
const MEASURE_MS = 100;

/** The content of a test write. It needs about as many pages as the write of a request. */
const TEST_CONTENT = 'x'.repeat(2 ** 16);

interface Opened {
  folder: DataFolder;
  root: Root;
  tables: Tables;
  maxBytes: number;
  lock: FolderLock;
}

export class EmbeddedDatabase {
  readonly docs: Table;
  readonly index: Table;
  readonly uniques: Table;
  /** Counters of documents, and the number of rows under each value of an index. */
  readonly counts: Table<number>;
  readonly entries: Table;
  /** The recent tier of the event log. */
  readonly log: Table;
  readonly evidence: Table;
  readonly logIndex: Table;
  readonly meta: Table;
  private readonly inode: number | undefined;
  private readonly writer: Writer;
  private readonly writeCheck: WriteCheck;
  private readonly reserved = new Map<string, { next: number; until: number; growing?: Promise<unknown> }>();
  private readonly listeners = new Set<() => void>();
  private measured?: { space: Space; atMs: number };
  private probed?: { refusal: BrainError | undefined; atMs: number };

  /** Throws a `BrainError` that says what to do, and then has changed no data. */
  static async open(path: string, options: { maxBytes: number }): Promise<EmbeddedDatabase> {
    const folder = new DataFolder(path);
    folder.prepare();
    let lock: FolderLock | undefined;
    try {
      lock = await lockFolder(folder.path);
      if (!folder.inspect()) await createStore(folder);
      const store = await openStore(folder, options.maxBytes);
      folder.mark();
      return new EmbeddedDatabase({ ...store, folder, maxBytes: options.maxBytes, lock });
    } catch (error) {
      await lock?.release();
      throw folder.refusal(error);
    }
  }

  private constructor(private readonly opened: Opened) {
    const { root, folder, tables } = opened;
    this.docs = tables.docs;
    this.index = tables.index;
    this.uniques = tables.uniques;
    this.counts = tables.counts;
    this.entries = tables.entries;
    this.log = tables.log;
    this.evidence = tables.evidence;
    this.logIndex = tables.logIndex;
    this.meta = tables.meta;
    this.inode = inodeOf(folder.file);
    this.writeCheck = new WriteCheck(() =>
      this.commit(() => this.meta.putSync(['write-check'], TEST_CONTENT)),
    );
    this.writer = new Writer(root, {
      foreseen: (found) => this.foreseen(found),
      flushed: (grew) => {
        if (grew) this.writeCheck.worked();
        for (const listener of this.listeners) listener();
      },
      refused: () => this.writeCheck.doubted(),
    });
  }

  /**
   * Runs `change` alone, and all of it or nothing. Resolves when it is on disk. Readers may see it a little earlier.
   * A change that does not grow the store also runs in a full store, and an essential one in one that is full for others.
   */
  commit<T>(change: () => T, growth: Growth = 'usual'): Promise<T> {
    return this.writer.commit(change, growth);
  }

  /** The same, for a caller that must know both when the change has run and when it is on disk. */
  write<T>(change: () => T, growth: Growth = 'usual'): Promise<Written<T>> {
    return this.writer.write(change, growth);
  }

  /** Resolves when every change so far is on disk or refused. */
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

  /** Why the store takes no writes until the service is started again. */
  trouble(): BrainError | undefined {
    this.measure();
    return this.writer.failure;
  }

  /** Why the store takes no writes, for now or until the service is started again. */
  async refusal(): Promise<BrainError | undefined> {
    const refusal = this.trouble() ?? (await this.writeCheck.refusal());
    // Too many waiting changes are no fault of the store.
    return refusal?.code === 'store_overloaded' ? undefined : refusal;
  }

  /** What an operator should look at while everything still works. */
  warnings(): string[] {
    const space = this.measure();
    return space ? spaceWarnings(space, this.opened.maxBytes) : [];
  }

  async close(): Promise<void> {
    const sound = await this.writer.stop();
    // The lock then ends with the process.
    if (!sound) return;
    for (const table of Object.values(this.opened.tables) as Table<unknown>[]) table.close();
    await this.opened.root.close();
    await this.opened.lock?.release();
  }

  /** Why the system would refuse changes. `found`: the engine has found that the store may not grow. */
  private foreseen(found: boolean): Foreseen {
    const measured = this.measure();
    if (!measured) return {};
    // The limit of a process may change at any time, and is cheap to read.
    const space = { ...measured, fileLimitBytes: fileLimitBytes() };
    const refusal = noWrites(space);
    if (refusal) return { none: refusal, essential: refusal, usual: refusal };
    const probed = found ? this.probe(space) : undefined;
    const { maxBytes } = this.opened;
    return {
      essential: noRoom(space, maxBytes, 'essential') ?? probed,
      usual: noRoom(space, maxBytes, 'usual') ?? probed,
    };
  }

  private probe({ fileBytes, usedBytes }: Space): BrainError | undefined {
    if (fileBytes - usedBytes >= PROBE_BYTES) return undefined;
    const atMs = performance.now();
    if (!this.probed || atMs - this.probed.atMs >= MEASURE_MS)
      this.probed = { refusal: refusedProbe(`${this.opened.folder.file}.probe`), atMs };
    return this.probed.refusal;
  }

  private measure(): Space | undefined {
    const atMs = performance.now();
    if (this.writer.failure) return undefined;
    const known = this.measured;
    if (known && atMs - known.atMs < MEASURE_MS && !isNearlyFull(known.space, this.opened.maxBytes))
      return known.space;
    if (this.inode !== inodeOf(this.opened.folder.file)) {
      const detail =
        'The data file was moved, replaced or deleted while it was in use. Stop the service, put the data folder ' +
        'back in its place, and start the service again.';
      this.writer.fail('data_file_missing', detail);
      return undefined;
    }
    this.measured = { space: this.look(), atMs };
    return this.measured.space;
  }

  private look(): Space {
    const { root, folder, tables } = this.opened;
    const stats = root.getStats() as RootStats;
    const pages = [
      stats,
      stats.free,
      ...Object.values(tables).map((table: Table<unknown>) => table.getStats()),
    ].map(pagesOf);
    const disk = statfsSync(folder.path);
    return {
      fileBytes: (stats.lastPageNumber + 1) * stats.pageSize,
      usedBytes: pages.reduce((sum, count) => sum + count, 2) * stats.pageSize,
      diskFreeBytes: disk.bavail * disk.bsize,
      diskBytes: disk.blocks * disk.bsize,
      fileLimitBytes: fileLimitBytes(),
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
