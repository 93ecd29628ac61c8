/**
 * The port through which every domain keeps its documents.
 *
 * What a caller may assume:
 * - A collection is declared, not programmed. Its indexes, unique keys and counters follow from the declaration and
 *   always match the documents, because they change in the same commit.
 * - `transaction` is atomic. Its commit checks all reads, and it is as durable as the backend (docs/operations.md,
 *   "What is durable when"). Documents, indexes, counters, appended entries and events become visible together or not at all.
 * - Every failure is a `BrainError`. After `unavailable` the outcome of a commit may be unknown. To send the request again
 *   with the same idempotency key is safe.
 *
 * Left out on purpose: queries across collections, joins, lists inside a transaction, and the client of the database.
 */
import type { BrainError } from '../shared/errors.js';
import type { EventRecord } from './event-log.js';

/** A row in an index: the value that finds it, and the number that orders the rows of one value. */
export interface IndexEntry {
  value: string;
  order: number;
}

/**
 * `name` and `item` are parts of the key names (`threats`, `threat`). `version` is the shape of the documents, which is
 * stored as `v`. Increase `indexVersion` when an index or a counter is added or changed; the indexes are then rebuilt.
 */
export interface Collection<T> {
  name: string;
  item: string;
  version: number;
  indexVersion: number;
  /** The id of the document, unique in the collection. */
  id(doc: T): string;
  /** The order value of lists, 0 without this function. Rows with the same order value are ordered by id. */
  order?(doc: T): number;
  /** Values that at most one document may have. A document with null has none. */
  unique?: Record<string, (doc: T) => string | null>;
  /** Equality filters. The rows of a plain value have the order of the collection; an entry has its own order. */
  indexes?: Record<string, (doc: T) => string | IndexEntry | null>;
  /**
   * Indexes whose totals between bounds are read often, each with the width of its ranges: a whole number, in the unit of
   * the order value. The commits then count the rows of each range. The embedded store counts rows by walking them; with
   * counted ranges it only walks the two at the ends. A change needs a new `indexVersion`.
   */
  countedRanges?: Record<string, number>;
  /** What one document adds to the counters of the collection, in integers. `total` always exists. */
  counts?(doc: T): Record<string, number>;
  /** The JSON of the counters for other programs (`<prefix>:<name>:stats`). */
  stats?: StatsTemplate;
  /** Makes a document from stored JSON, which an older release or another program may have written. Throws if it cannot. */
  read?(raw: Record<string, unknown>): T;
}

/** A value in a stats template: a counter, `sum / count / scale` (null without a count), or the time. */
export type StatsValue = { counter: string } | { sum: string; count: string; scale: number } | { now: true };
export interface StatsTemplate {
  [field: string]: StatsValue | StatsTemplate;
}

/** Proof that this process holds a name. `fence` grows with each holder, so an old holder can be recognized. */
export interface Lease {
  name: string;
  fence: number;
  token: string;
}

/** Runs a transaction once per `key`. A second one with the same `body` gets the stored result. With another body it is refused. */
export interface IdempotencyKey {
  key: string;
  body: string;
}

export interface TransactionOptions {
  idempotency?: IdempotencyKey;
  /**
   * Operators need this change to get out of trouble. The embedded store keeps some space free for such changes, so a full store
   * still takes them. Redis has no such reserve. An agent must not be able to use it up.
   */
  essential?: boolean;
}

export interface ListQuery {
  /** All of these must be equal. The names are those of the indexes of the collection. */
  where?: Record<string, string | undefined>;
  /** Bounds on the order value, both inclusive. */
  from?: number;
  until?: number;
  direction?: 'asc' | 'desc';
  /** 0 returns only the total. */
  limit?: number;
  cursor?: string;
  /** False saves the work for the total, which is then null. */
  counted?: boolean;
}

export interface Page<T> {
  rows: T[];
  /** Exact. Null if there are several filters and the rarest of them has more than 10,000 rows, or if it was not asked for. */
  total: number | null;
  next: string | null;
}

/** The rows of one value of an index must be fewer than `most`. */
export interface RowLimit {
  index: string;
  value: string;
  most: number;
  /** What the caller gets if there are as many. */
  refusal: () => BrainError;
}

export interface Tx {
  /** At the commit the document must still be as it was read, or still be missing. Otherwise the work runs again. */
  get<T>(collection: Collection<T>, id: string): Promise<T | undefined>;
  getUnique<T>(collection: Collection<T>, name: string, value: string): Promise<T | undefined>;
  /** Adds a new document. If there is one that this transaction has not read, it fails with `conflict` (`already_exists`). */
  insert<T>(collection: Collection<T>, doc: T): void;
  /** Replaces a document that this transaction has read or inserted. */
  put<T>(collection: Collection<T>, doc: T): void;
  /** Removes a document that this transaction has read, with its appended entries. */
  delete<T>(collection: Collection<T>, id: string): void;
  /** The next number of a sequence. The numbers grow and never repeat. Some may be missing. */
  next(sequence: string): Promise<number>;
  /** Adds an entry to the list that belongs to a document. With `keep` only so many of its newest entries stay. */
  append<T>(collection: Collection<T>, id: string, entry: object, keep?: number): void;
  /**
   * The commit fails with the refusal of the limit if so many rows are there. It counts before the writes of this transaction,
   * and no other commit comes in between. So a limit is exact under any concurrency, and costs no conflict.
   */
  limit<T>(collection: Collection<T>, limit: RowLimit): void;
  /** The commit fails with `conflict` (`lease_lost`) if this lease is lost. */
  demand(lease: Lease): void;
  /** Appends an event in the same commit. Only EventStream calls this. */
  record(event: EventRecord): void;
}

/** The store's time is between these two, in Unix seconds. */
export interface StoreTime {
  earliest: number;
  latest: number;
}

export interface StoreHealth {
  ok: boolean;
  /** The store can be reached but takes no writes, and that does not pass by itself. */
  refusesWrites?: boolean;
  /** Stable, for `/readyz`: `store_unreachable`, `store_read_only`, … */
  code?: string;
  detail?: string;
  warnings: string[];
}

export const MAX_PAGE = 500;
/** A page ends before the row that would exceed these bytes of stored JSON. It has at least one row, of any size. */
export const MAX_PAGE_BYTES = 1024 * 1024;
export const DEFAULT_PAGE = 50;
/** The most rows that a page reads, even if only a few of them pass the filters. */
export const MAX_CANDIDATES = 2000;
/** The most rows that are counted for a total with several filters. */
export const MAX_COUNTED = 10_000;
/** How long a transaction record is kept, and how long an idempotency record is kept. */
export const TX_KEPT_SECONDS = 600;
export const IDEMPOTENCY_KEPT_SECONDS = 86_400;

export abstract class Store {
  /** The name of the backend, for the start-up block and `/readyz`. */
  abstract readonly kind: 'embedded' | 'redis';

  /** Prepares a collection: its indexes are built before its first use. May be called several times. */
  abstract declare<T>(collection: Collection<T>): void;

  /**
   * Runs `work` and commits its writes. If something that it read has changed, its writes and events are dropped and it
   * runs again. So it must have no effects outside `tx`. After 10 attempts it fails with `unavailable` (`store_busy`).
   * The same is true for work that changes nothing and for work that throws a `BrainError`: the caller gets the result or
   * the refusal only if all reads are still true, and only when they are durable.
   */
  abstract transaction<T>(work: (tx: Tx) => Promise<T> | T, options?: TransactionOptions): Promise<T>;

  abstract get<T>(collection: Collection<T>, id: string): Promise<T | undefined>;
  abstract getUnique<T>(collection: Collection<T>, name: string, value: string): Promise<T | undefined>;
  /**
   * Pages along `next` contain each row exactly once, if its order value does not change during the walk. A page may be
   * shorter than `limit` and still have a `next`.
   */
  abstract list<T>(collection: Collection<T>, query: ListQuery): Promise<Page<T>>;
  abstract counts<T>(collection: Collection<T>): Promise<Record<string, number>>;
  /** The appended entries of a document, oldest first. A page ends after `MAX_PAGE_BYTES`, but has at least one entry. */
  abstract entries<T>(
    collection: Collection<T>,
    id: string,
    page: { limit: number; cursor?: string },
  ): Promise<{ entries: object[]; next: string | null }>;

  /** Takes a name for `ttlMs` of the store's time. Undefined if another process holds it. */
  abstract acquire(name: string, ttlMs: number): Promise<Lease | undefined>;
  /** False if the lease is lost. Then the caller must stop. */
  abstract renew(lease: Lease, ttlMs: number): Promise<boolean>;
  abstract release(lease: Lease): Promise<void>;

  /**
   * The store's time, which is the same for all replicas. The clock of a replica may be wrong by any amount. So everything
   * that must not happen early uses this:
   *
   * - A time has come when `earliest` has reached it.
   * - A delay begins at `latest`, so that it is never too short.
   * - A due time of now is `earliest`, because that has come.
   *
   * Before the first answer of the store `earliest` is 0, and `latest` is the clock of the replica.
   */
  abstract clock(): StoreTime;

  /**
   * Calls `changed` within half a second after a commit to the collection by any replica. Also calls it after every
   * reconnect, because changes may have been missed. `changed` must not throw. Returns the function that stops it.
   */
  abstract watch<T>(collection: Collection<T>, changed: () => void): () => void;
  /**
   * A moment on the monotonic clock (`performance.now()`): `watch` has reported every commit before it. It does not move
   * while the store is away or while this process is stopped.
   */
  abstract watchedUntilMs(): number;

  /** Whether the store can be read and written. Makes a small test write if no write succeeded lately. */
  abstract health(): Promise<StoreHealth>;
  abstract close(): Promise<void>;
}
