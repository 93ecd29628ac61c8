/** `Store` on a file: one process and one writer. An acknowledged commit is on disk. */
import { nowSeconds } from '../../shared/clock.js';
import { digest, sha256 } from '../../shared/ids.js';
import { decode, parseEntry } from '../codec.js';
import { readOffset, writeCursor } from '../cursor.js';
import {
  type AnyCollection,
  documentKey,
  type Found,
  type Outcome,
  type Plan,
  type PlannedDocument,
  type PlannedUnique,
  readsOneThing,
  removesOnly,
  uniqueKey,
  writtenCollections,
} from '../plan.js';
import { KeyedQueues } from '../queues.js';
import {
  type Collection,
  IDEMPOTENCY_KEPT_SECONDS,
  type IdempotencyKey,
  type Lease,
  type ListQuery,
  type Page,
  Store,
  type StoreHealth,
  type StoreTime,
  type Tx,
} from '../store.js';
import { runTransaction, type TransactionBackend } from '../transaction.js';
import type { EmbeddedDatabase, Key } from './database.js';
import type { EmbeddedEventLog } from './embedded-event-log.js';
import { EmbeddedIndex, under } from './indexes.js';
import { EmbeddedLeases } from './leases.js';

/** The most rows that one commit deletes, so that no commit blocks the event loop for long. */
const DELETE_CHUNK = 1000;
const SWEEP_MS = 60_000;

export class EmbeddedStore extends Store implements TransactionBackend {
  readonly kind = 'embedded';
  private readonly queues = new KeyedQueues();
  private readonly index: EmbeddedIndex;
  private readonly leases: EmbeddedLeases;
  private readonly watchers = new Map<string, Set<() => void>>();
  /**
   * The values that the running batch writes, by document and unique key. Transactions of this process read them before
   * they are on disk, so that they can share a flush. The commit checks them again.
   */
  private readonly unflushed = new Map<string, Found & { plan: Plan }>();
  private readonly ready = new Map<string, Promise<void>>();
  private readonly sweeper: NodeJS.Timeout;

  constructor(
    private readonly db: EmbeddedDatabase,
    private readonly log: EmbeddedEventLog,
  ) {
    super();
    this.index = new EmbeddedIndex(db);
    this.leases = new EmbeddedLeases(db);
    this.sweeper = setInterval(() => {
      // A failed sweep is tried again at the next interval. `health` reports why the store takes no writes.
      this.sweep().catch(() => undefined);
    }, SWEEP_MS);
    this.sweeper.unref();
  }

  declare<T>(collection: Collection<T>): void {
    // The first use waits for it and throws what went wrong.
    this.prepared(collection).catch(() => undefined);
  }

  transaction<T>(
    work: (tx: Tx) => Promise<T> | T,
    options: { idempotency?: IdempotencyKey } = {},
  ): Promise<T> {
    return runTransaction(this, this.queues, work, options.idempotency);
  }

  async get<T>(collection: Collection<T>, id: string): Promise<T | undefined> {
    await this.prepared(collection);
    const json = this.db.docs.get([collection.name, id]);
    return json === undefined ? undefined : decode(collection, id, json);
  }

  async getUnique<T>(collection: Collection<T>, name: string, value: string): Promise<T | undefined> {
    const id = this.db.uniques.get([collection.name, name, digest(value)]);
    return id === undefined ? undefined : this.get(collection, id);
  }

  async list<T>(collection: Collection<T>, query: ListQuery): Promise<Page<T>> {
    await this.prepared(collection);
    return this.index.list(collection, query);
  }

  async counts<T>(collection: Collection<T>): Promise<Record<string, number>> {
    await this.prepared(collection);
    return this.index.counts(collection);
  }

  async entries<T>(
    collection: Collection<T>,
    id: string,
    page: { limit: number; cursor?: string },
  ): Promise<{ entries: object[]; next: string | null }> {
    const prefix = [collection.name, id];
    const after = readOffset(page.cursor);
    const range = {
      start: [...prefix, after + 1],
      end: [...prefix, Number.MAX_VALUE],
      limit: page.limit + 1,
    };
    const found = [...this.db.entries.getRange(range)];
    const kept = found.slice(0, page.limit);
    const last = kept.at(-1);
    return {
      entries: kept.map(({ value }) => parseEntry(value, `an entry of the ${collection.item} ${id}`)),
      next: found.length > kept.length && last ? writeCursor({ order: Number(last.key[2]), id: '' }) : null,
    };
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

  /** There is only one process, so its clock is the store's clock. */
  clock(): StoreTime {
    const now = nowSeconds();
    return { earliest: now, latest: now };
  }

  watch<T>(collection: Collection<T>, changed: () => void): () => void {
    const watchers = this.watchers.get(collection.name) ?? new Set();
    this.watchers.set(collection.name, watchers.add(changed));
    return () => watchers.delete(changed);
  }

  /** Only this process commits. After a failed flush the file is not trusted, and no memory of it is fresh. */
  watchedUntilMs(): number {
    return this.db.trouble() ? Number.NEGATIVE_INFINITY : performance.now();
  }

  async health(): Promise<StoreHealth> {
    const refusal = await this.db.refusal();
    const warnings = this.db.warnings();
    if (!refusal) return { ok: true, warnings };
    return { ok: false, refusesWrites: true, code: refusal.code, detail: refusal.detail, warnings };
  }

  async close(): Promise<void> {
    clearInterval(this.sweeper);
    await this.db.close();
  }

  async find(collection: AnyCollection, id: string): Promise<Found> {
    await this.prepared(collection);
    const unflushed = this.unflushed.get(documentKey(collection, id));
    return unflushed ?? { value: this.db.docs.get([collection.name, id]) };
  }

  async findUnique(collection: AnyCollection, name: string, value: string): Promise<Found> {
    const unflushed = this.unflushed.get(uniqueKey(collection, name, value));
    return unflushed ?? { value: this.db.uniques.get([collection.name, name, digest(value)]) };
  }

  async readRecord(key: string): Promise<string | undefined> {
    return this.recorded(key);
  }

  next(sequence: string): Promise<number> {
    return this.db.next(sequence);
  }

  async commit(plan: Plan): Promise<Outcome> {
    for (const { collection } of plan.documents) await this.prepared(collection);
    if (!readsOneThing(plan)) return this.commitWhole(plan);
    const [one] = [...plan.documents, ...plan.uniques];
    try {
      await one?.durable;
    } catch {
      return { status: 'changed', what: one?.collection.name ?? '' };
    }
    return this.commitWhole({ ...plan, documents: [], uniques: [] });
  }

  private async commitWhole(plan: Plan): Promise<Outcome> {
    const change = (): Outcome => this.check(plan) ?? this.apply(plan);
    const { outcome, durable } = await this.db.write(change, { frees: removesOnly(plan) });
    if (outcome.status !== 'done') {
      // The check may have met a change of the same batch, which is final only after the flush.
      await durable;
      return outcome;
    }
    this.announce(plan, durable);
    const onDisk = durable.then(
      () => {
        this.forget(plan);
        this.notify(plan);
      },
      (error: unknown) => {
        this.forget(plan);
        throw error;
      },
    );
    return { status: 'done', durable: onDisk };
  }

  private announce(plan: Plan, durable: Promise<void>): void {
    for (const { collection, id, after, written } of plan.documents) {
      if (written) this.unflushed.set(documentKey(collection, id), { value: after?.json, durable, plan });
    }
    for (const { collection, name, value, after, written } of plan.uniques) {
      if (written) this.unflushed.set(uniqueKey(collection, name, value), { value: after, durable, plan });
    }
  }

  /** The plan is on disk or refused, so the tables are right. A value that a later plan has announced stays. */
  private forget(plan: Plan): void {
    const keys = [
      ...plan.documents.map(({ collection, id }) => documentKey(collection, id)),
      ...plan.uniques.map(({ collection, name, value }) => uniqueKey(collection, name, value)),
    ];
    for (const key of keys) if (this.unflushed.get(key)?.plan === plan) this.unflushed.delete(key);
  }

  private notify(plan: Plan): void {
    for (const name of writtenCollections(plan))
      for (const changed of this.watchers.get(name) ?? []) changed();
  }

  /**
   * All checks come before the first write. The idempotency record is checked first: a repeated request gets its answer,
   * whatever else has changed.
   */
  private check(plan: Plan): Outcome | undefined {
    const { record } = plan;
    if (record && this.recorded(record.key) !== record.before)
      return { status: 'changed', what: `idempotency record ${record.key}` };
    for (const lease of plan.leases)
      if (!this.leases.holds(lease)) return { status: 'lease_lost', name: lease.name };
    // Reads are checked before assumptions. After a changed read the work runs again, and may not insert the same document.
    for (const read of [true, false]) {
      const failed =
        this.checkDocuments(plan.documents.filter(({ wasRead }) => wasRead === read)) ??
        this.checkUniques(plan.uniques.filter(({ wasRead }) => wasRead === read));
      if (failed) return failed;
    }
    return undefined;
  }

  private checkDocuments(documents: PlannedDocument[]): Outcome | undefined {
    for (const { collection, id, before, wasRead } of documents) {
      const now = this.db.docs.get([collection.name, id]);
      if (now === before?.json) continue;
      return { status: wasRead ? 'changed' : 'taken', what: documentKey(collection, id) };
    }
    return undefined;
  }

  private checkUniques(uniques: PlannedUnique[]): Outcome | undefined {
    for (const { collection, name, value, wasRead, before } of uniques) {
      const now = this.db.uniques.get([collection.name, name, digest(value)]);
      if (now === before) continue;
      const status = wasRead || before !== undefined ? 'changed' : 'taken';
      return { status, what: `${collection.name}.${name}` };
    }
    return undefined;
  }

  private recorded(key: string): string | undefined {
    const kept = this.db.meta.get(recordKey(key));
    return kept === undefined ? undefined : kept.slice(kept.indexOf(' ') + 1);
  }

  private apply(plan: Plan): Outcome {
    for (const document of plan.documents) if (document.written) this.applyDocument(document);
    for (const { collection, name, value, after, written } of plan.uniques) {
      if (!written) continue;
      const key = [collection.name, name, digest(value)];
      if (after === undefined) this.db.uniques.removeSync(key);
      else this.db.uniques.putSync(key, after);
    }
    for (const { collection, id, json } of plan.appends) this.appendEntry([collection.name, id], json);
    if (plan.record?.after !== undefined) {
      this.db.meta.putSync(recordKey(plan.record.key), `${Date.now()} ${plan.record.after}`);
    }
    if (plan.events.length > 0) this.log.write(plan.events);
    return { status: 'done' };
  }

  private applyDocument({ collection, id, before, after }: PlannedDocument): void {
    const key = [collection.name, id];
    if (after) this.db.docs.putSync(key, after.json);
    else {
      this.db.docs.removeSync(key);
      for (const { key: entry } of [...this.db.entries.getRange(under(key))])
        this.db.entries.removeSync(entry);
    }
    this.index.move(collection, id, before?.doc, after?.doc);
  }

  private appendEntry(list: Key, json: string): void {
    const [last] = [
      ...this.db.entries.getKeys({
        start: [...list, Number.MAX_VALUE],
        end: [...list, 0],
        reverse: true,
        limit: 1,
      }),
    ];
    this.db.entries.putSync([...list, last ? Number(last[2]) + 1 : 1], json);
  }

  private prepared(collection: AnyCollection): Promise<void> {
    const running = this.ready.get(collection.name);
    if (running) return running;
    const prepare = this.index.prepare(collection).catch((error: unknown) => {
      this.ready.delete(collection.name);
      throw error;
    });
    this.ready.set(collection.name, prepare);
    return prepare;
  }

  /** Removes idempotency records that are too old. */
  private async sweep(): Promise<void> {
    const oldest = Date.now() - IDEMPOTENCY_KEPT_SECONDS * 1000;
    let after: Key = ['once'];
    for (;;) {
      const range = { ...under(['once']), start: after, exclusiveStart: true, limit: DELETE_CHUNK };
      const chunk = [...this.db.meta.getRange(range)];
      const last = chunk.at(-1);
      if (!last) return;
      const over = chunk.filter(({ value }) => Number(value.slice(0, value.indexOf(' '))) < oldest);
      if (over.length > 0) {
        const forget = (): void => {
          for (const { key } of over) this.db.meta.removeSync(key);
        };
        await this.db.commit(forget, { frees: true });
      }
      after = last.key;
    }
  }
}

function recordKey(key: string): Key {
  return ['once', sha256(key)];
}
