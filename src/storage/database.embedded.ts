/** The one file on disk that the embedded store and the embedded event log share, so that one commit covers both. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Database, open, type RootDatabase } from 'lmdb';
import { BrainError, messageOf } from '../shared/errors.js';

type Part = string | number;
export type Key = Part[];
export type Table = Database<string, Key>;

/** How many sequence numbers are reserved on disk at once: a restart skips the rest of them. */
const SEQUENCE_BLOCK = 1000;

export class EmbeddedDatabase {
  readonly docs: Table;
  readonly index: Table;
  readonly uniques: Table;
  /** Counters of documents, and how many rows each value of an index has. */
  readonly counts: Database<number, Key>;
  readonly entries: Table;
  readonly log: Table;
  readonly logIndex: Table;
  readonly meta: Table;
  private readonly root: RootDatabase<string, Key>;
  private readonly reserved = new Map<string, { next: number; until: number; growing?: Promise<unknown> }>();
  private readonly listeners = new Set<() => void>();

  constructor(folder: string) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.root = open<string, Key>({ path: join(folder, 'brain.mdb'), maxDbs: 12, encoding: 'string' });
    const table = (name: string): Table => this.root.openDB<string, Key>({ name, encoding: 'string' });
    this.docs = table('docs');
    this.index = table('index');
    this.uniques = table('uniques');
    this.counts = this.root.openDB<number, Key>({ name: 'counts', encoding: 'json' });
    this.entries = table('entries');
    this.log = table('log');
    this.logIndex = table('log-index');
    this.meta = table('meta');
  }

  /** Runs `change` alone and whole, or not at all; resolves when it is visible, before it is on disk. */
  async commit<T>(change: () => T): Promise<{ result: T; durable: Promise<unknown> }> {
    try {
      const result = await this.root.childTransaction(change);
      return { result, durable: this.flushed() };
    } catch (error) {
      throw explained(error);
    }
  }

  /** Resolves when all that is visible now is on disk; followers are told only then. */
  async flushed(): Promise<void> {
    try {
      await this.root.flushed;
    } catch (error) {
      throw explained(error);
    }
    for (const listener of this.listeners) listener();
  }

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

  async close(): Promise<void> {
    await this.root.flushed;
    await this.root.close();
  }

  private async reserve(
    sequence: string,
    block: { until: number; growing?: Promise<unknown> },
  ): Promise<void> {
    try {
      const until = block.until + SEQUENCE_BLOCK;
      const { durable } = await this.commit(() => this.meta.putSync(['sequence', sequence], String(until)));
      await durable;
      block.until = until;
    } finally {
      block.growing = undefined;
    }
  }
}

function explained(error: unknown): BrainError {
  if (error instanceof BrainError) return error;
  const text = messageOf(error);
  if (/MDB_MAP_FULL|ENOSPC|No space left|EDQUOT|EFBIG/i.test(text)) {
    const detail =
      'The disk or the map of the data folder is full; free space, nothing of this request was stored.';
    return new BrainError('unavailable', 'storage_full', detail, { cause: error });
  }
  const detail = 'The data folder could not be written; see the log of the service.';
  return new BrainError('unavailable', 'store_failed', detail, { cause: error });
}
