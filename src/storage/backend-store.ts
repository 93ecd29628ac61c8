/** What the stores of both backends share: the transaction loop, reads by id and by unique value, and leases. */
import { decode, parseEntry } from './codec.js';
import { readOffset, writeCursor } from './cursor.js';
import type { AnyCollection, Found, Outcome, Plan } from './plan.js';
import { KeyedQueues } from './queues.js';
import {
  type Collection,
  type Lease,
  MAX_PAGE_BYTES,
  Store,
  type TransactionOptions,
  type Tx,
} from './store.js';
import { runTransaction, type TransactionBackend } from './transaction.js';

/** How many entries are read at once, so that a page of large ones is not read as a whole. */
const ENTRIES_AT_ONCE = 50;

export interface Leases {
  acquire(name: string, ttlMs: number): Promise<Lease | undefined>;
  renew(lease: Lease, ttlMs: number): Promise<boolean>;
  release(lease: Lease): Promise<void>;
}

export abstract class BackendStore extends Store implements TransactionBackend {
  private readonly queues = new KeyedQueues();

  constructor(private readonly leases: Leases) {
    super();
  }

  /** The JSON of a document. */
  protected abstract read(collection: AnyCollection, id: string): Promise<string | undefined>;
  /** The id of the document that has a unique value. */
  protected abstract readUnique(
    collection: AnyCollection,
    name: string,
    value: string,
  ): Promise<string | undefined>;
  /** The JSON of up to `limit` appended entries of a document, without its first `offset` entries. */
  protected abstract readEntries(
    collection: AnyCollection,
    id: string,
    offset: number,
    limit: number,
  ): Promise<string[]>;

  abstract next(sequence: string): Promise<number>;
  abstract readRecord(key: string): Promise<string | undefined>;
  abstract commit(plan: Plan): Promise<Outcome>;

  async find(collection: AnyCollection, id: string): Promise<Found> {
    return { value: await this.read(collection, id) };
  }

  async findUnique(collection: AnyCollection, name: string, value: string): Promise<Found> {
    return { value: await this.readUnique(collection, name, value) };
  }

  transaction<T>(work: (tx: Tx) => Promise<T> | T, options: TransactionOptions = {}): Promise<T> {
    return runTransaction(this, this.queues, work, options);
  }

  async get<T>(collection: Collection<T>, id: string): Promise<T | undefined> {
    const json = await this.read(collection, id);
    return json === undefined ? undefined : decode(collection, id, json);
  }

  async getUnique<T>(collection: Collection<T>, name: string, value: string): Promise<T | undefined> {
    const id = await this.readUnique(collection, name, value);
    return id === undefined ? undefined : this.get(collection, id);
  }

  async entries<T>(
    collection: Collection<T>,
    id: string,
    page: { limit: number; cursor?: string },
  ): Promise<{ entries: object[]; next: string | null }> {
    const offset = readOffset(page.cursor);
    const { kept, more } = await this.keptEntries(collection, id, offset, page.limit);
    const what = `an entry of the ${collection.item} ${id} (${collection.name}:log:${id})`;
    return {
      entries: kept.map((json) => parseEntry(json, what)),
      next: more ? writeCursor({ order: offset + kept.length, id: '' }) : null,
    };
  }

  private async keptEntries(
    collection: AnyCollection,
    id: string,
    offset: number,
    limit: number,
  ): Promise<{ kept: string[]; more: boolean }> {
    const kept: string[] = [];
    let bytes = 0;
    for (;;) {
      const count = Math.min(ENTRIES_AT_ONCE, limit - kept.length + 1);
      const found = await this.readEntries(collection, id, offset + kept.length, count);
      for (const json of found) {
        bytes += Buffer.byteLength(json);
        if (kept.length === limit || (kept.length > 0 && bytes > MAX_PAGE_BYTES)) return { kept, more: true };
        kept.push(json);
      }
      if (found.length < count) return { kept, more: false };
    }
  }

  acquire(name: string, ttlMs: number): Promise<Lease | undefined> {
    return this.leases.acquire(name, ttlMs);
  }

  renew(lease: Lease, ttlMs: number): Promise<boolean> {
    return this.leases.renew(lease, ttlMs);
  }

  release(lease: Lease): Promise<void> {
    return this.leases.release(lease);
  }
}
