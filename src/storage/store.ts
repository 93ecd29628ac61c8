/**
 * The port through which every domain keeps its documents.
 *
 * What a caller may assume:
 * - A collection is declared, not programmed: its indexes, unique keys and counters follow from the declaration and
 *   are always those of the documents, because they move in the same commit.
 * - `transaction` is atomic, isolated by checking, and durable as far as the backend is (README, "What is durable when"):
 *   documents, indexes, counters, appended entries and events become visible together or not at all.
 * - Every failure is a `BrainError`. `unavailable` means that nothing is known to be wrong with the request: the outcome
 *   of a commit may then be unknown, and sending it again with the same idempotency key is safe.
 *
 * What is left out on purpose: queries across collections, joins, lists inside a transaction, and the client itself.
 */
import type { EventRecord } from './event-log.js';

/** A place in an index: the value rows are found by, and the number they are ordered by within it. */
export interface IndexEntry {
  value: string;
  order: number;
}

/**
 * `name` and `item` make the key names (`threats`, `threat`). `version` is the shape that is written as `v`;
 * `indexVersion` grows when an index or a counter is added or changes its meaning, and the indexes are then rebuilt.
 */
export interface Collection<T> {
  name: string;
  item: string;
  version: number;
  indexVersion: number;
  /** The document's own id, unique in the collection. */
  id(doc: T): string;
  /** What lists are ordered by; rows of one order value are ordered by id. */
  order(doc: T): number;
  /** Values that at most one document may have; null takes part in nothing. */
  unique?: Record<string, (doc: T) => string | null>;
  /** Equality filters. A plain value is ordered like the collection; an entry brings its own order. */
  indexes?: Record<string, (doc: T) => string | IndexEntry | null>;
  /**
   * Indexes whose totals between bounds are asked for often, each with the width, in the order value and a whole number,
   * of the stretches that are counted as documents come and go: where a total is a walk (the embedded store), it then
   * walks no more than the two ends. A change of it is a new `indexVersion`.
   */
  stretches?: Record<string, number>;
  /** What one document adds to the collection's counters, in integers. `total` is always counted. */
  counts?(doc: T): Record<string, number>;
  /** The counters as other programs read them (`<prefix>:<name>:stats`); see `StatsTemplate`. */
  stats?: StatsTemplate;
  /** Turns what is stored, perhaps by an older release or another program, into a document; throws where it cannot. */
  read?(raw: Record<string, unknown>): T;
}

/** A value anywhere in a stats template that stands for a counter, or for `sum / count / scale` (null without a count). */
export type StatsValue = { counter: string } | { sum: string; count: string; scale: number } | { now: true };
export interface StatsTemplate {
  [field: string]: StatsValue | StatsTemplate;
}

/** Proof that this process holds a name. The number grows with each holder, so an old holder can be told apart. */
export interface Lease {
  name: string;
  fence: number;
  token: string;
}

/** Runs a transaction once per `key`: a second one with the same `body` gets the recorded result, another is refused. */
export interface IdempotencyKey {
  key: string;
  body: string;
}

export interface ListQuery {
  /** Equal to, all at once; the names are those of the collection's indexes. */
  where?: Record<string, string | undefined>;
  /** Bounds on the order value, both inclusive. */
  from?: number;
  until?: number;
  direction?: 'asc' | 'desc';
  /** 0 asks for the total alone. */
  limit?: number;
  cursor?: string;
}

export interface Page<T> {
  rows: T[];
  /** Exact; with several filters null where the rarest of them has more than 10,000 rows. */
  total: number | null;
  next: string | null;
}

export interface Tx {
  /** What was read, or not found, must still be so at the commit; else the work runs again. */
  get<T>(collection: Collection<T>, id: string): Promise<T | undefined>;
  getUnique<T>(collection: Collection<T>, name: string, value: string): Promise<T | undefined>;
  /** A document that must be new. One in the way that was not looked for is a `conflict` (`already_exists`). */
  insert<T>(collection: Collection<T>, doc: T): void;
  /** Replaces a document that this transaction has read or inserted. */
  put<T>(collection: Collection<T>, doc: T): void;
  /** Removes a document that this transaction has read, with its appended entries. */
  delete<T>(collection: Collection<T>, id: string): void;
  /** The next number of a sequence: it grows and never repeats, gaps are possible. */
  next(sequence: string): Promise<number>;
  /** Adds an entry to the list that belongs to a document. */
  append<T>(collection: Collection<T>, id: string, entry: object): void;
  /** The commit fails with `conflict` (`lease_lost`) unless this lease still holds. */
  demand(lease: Lease): void;
  /** An event that rides in the commit. Only EventStream calls this. */
  record(event: EventRecord): void;
}

/** The store's time is between these two, in Unix seconds. */
export interface StoreTime {
  earliest: number;
  latest: number;
}

export interface StoreHealth {
  ok: boolean;
  /** It is there and takes no writes, which waiting does not help. */
  refusesWrites?: boolean;
  /** Stable, for `/readyz`: `store_unreachable`, `store_read_only`, … */
  code?: string;
  detail?: string;
  warnings: string[];
}

export const MAX_PAGE = 500;
export const DEFAULT_PAGE = 50;
/** A page reads no more rows than this, however few of them pass the filters. */
export const MAX_CANDIDATES = 2000;
/** Up to here rows are counted that several filters select. */
export const MAX_COUNTED = 10_000;
/** How long the outcome of a transaction is known by its id, and how long an idempotency key is kept. */
export const TX_KEPT_SECONDS = 600;
export const IDEMPOTENCY_KEPT_SECONDS = 86_400;

export abstract class Store {
  /** Which backend this is, for the start-up block and `/readyz`. */
  abstract readonly kind: 'embedded' | 'redis';

  /** Makes a collection known, so that its indexes are ready (built or adopted) before its first use. Idempotent. */
  abstract declare<T>(collection: Collection<T>): void;

  /**
   * Runs `work` and commits what it did. When something it read has changed meanwhile, its writes and events are
   * forgotten and it runs again, so it must have no effects outside `tx`. After 10 attempts: `unavailable` (`store_busy`).
   * This holds too for work that changes nothing and for work that throws a `BrainError`: its result or its refusal
   * is given only while what it read still holds, and once that is durable.
   */
  abstract transaction<T>(
    work: (tx: Tx) => Promise<T> | T,
    options?: { idempotency?: IdempotencyKey },
  ): Promise<T>;

  abstract get<T>(collection: Collection<T>, id: string): Promise<T | undefined>;
  abstract getUnique<T>(collection: Collection<T>, name: string, value: string): Promise<T | undefined>;
  /** A walk along `next` is complete and free of repetition for rows whose order value did not change meanwhile. */
  abstract list<T>(collection: Collection<T>, query: ListQuery): Promise<Page<T>>;
  abstract counts<T>(collection: Collection<T>): Promise<Record<string, number>>;
  /** What was appended to a document, oldest first. */
  abstract entries<T>(
    collection: Collection<T>,
    id: string,
    page: { limit: number; cursor?: string },
  ): Promise<{ entries: object[]; next: string | null }>;

  /** Takes a name for `ttlMs`, or nothing where another holds it. Time is the store's. */
  abstract acquire(name: string, ttlMs: number): Promise<Lease | undefined>;
  /** False when the lease is lost; then whoever held it must stop. */
  abstract renew(lease: Lease, ttlMs: number): Promise<boolean>;
  abstract release(lease: Lease): Promise<void>;

  /**
   * The store's time, which is one for all replicas, as exactly as it is known here: the own clock of a replica may be wrong
   * by any amount. What must not happen early goes by this, in three ways. A time has come when `earliest` has reached it. A
   * delay begins at `latest`, so that it lasts at least as long. What is to happen now is set to `earliest`, which has come. A
   * store that has not answered yet knows no time: `earliest` is then 0, and `latest` is the own clock of the replica.
   */
  abstract clock(): StoreTime;

  /**
   * Calls back within half a second of any commit to the collection by any replica, and after every reconnect, when
   * everything that is cached counts as unknown. `changed` must not throw. Returns the way to stop.
   */
  abstract watch<T>(collection: Collection<T>, changed: () => void): () => void;
  /**
   * A moment on the monotonic clock (`performance.now()`): every commit before it has been reported by `watch`. It
   * does not move while the store is away, nor while this process is stopped.
   */
  abstract watchedUntilMs(): number;

  /** Whether it can be read and written; makes a small write of its own where none succeeded of late. */
  abstract health(): Promise<StoreHealth>;
  abstract close(): Promise<void>;
}
