/** `Store` on a file: one process, one writer, acknowledged means on disk. */
import { nowSeconds } from '../../shared/clock.js';
import { digest } from '../../shared/ids.js';
import { readOffset, writeCursor } from '../cursor.js';
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
import {
  damaged,
  decode,
  type Found,
  type Outcome,
  type Plan,
  type PlannedDocument,
  type PlannedUnique,
  readsOneThing,
  recordName,
  removesOnly,
  runTransaction,
  type TransactionBackend,
} from '../transaction.js';
import { type EmbeddedDatabase, type Key } from './database.js';
import type { EmbeddedEventLog } from './embedded-event-log.js';
import { EmbeddedIndex, under } from './indexes.js';
import { EmbeddedLeases } from './leases.js';

// biome-ignore lint/suspicious/noExplicitAny: one adapter keeps the documents of many collections.
type Any = any;

/** Deletes go so many at a time, so that no commit holds the event loop for long. */
const DELETE_CHUNK = 1000;
const SWEEP_MS = 60_000;

export class EmbeddedStore extends Store implements TransactionBackend {
  readonly kind = 'embedded';
  private readonly queues = new KeyedQueues();
  private readonly index: EmbeddedIndex;
  private readonly leases: EmbeddedLeases;
  private readonly watchers = new Map<string, Set<() => void>>();
  /** What the batch under way will have written, for those who queue behind it. */
  private readonly coming = new Map<string, Found & { plan: Plan }>();
  private readonly ready = new Map<string, Promise<void>>();
  private readonly sweeper: NodeJS.Timeout;

  constructor(
    private readonly db: EmbeddedDatabase,
    private readonly log: EmbeddedEventLog,
  ) {
    super();
    this.index = new EmbeddedIndex(db);
    this.leases = new EmbeddedLeases(db);
    this.sweeper = setInterval(() => void this.sweep().catch(() => undefined), SWEEP_MS);
    this.sweeper.unref();
  }

  declare<T>(collection: Collection<T>): void {
    void this.prepared(collection).catch(() => undefined);
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
      entries: kept.map(({ value }) => parseEntry(collection, id, value)),
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

  /** There is one process, so its clock is the store's. */
  clock(): StoreTime {
    const now = nowSeconds();
    return { earliest: now, latest: now };
  }

  watch<T>(collection: Collection<T>, changed: () => void): () => void {
    const watchers = this.watchers.get(collection.name) ?? new Set();
    this.watchers.set(collection.name, watchers.add(changed));
    return () => watchers.delete(changed);
  }

  /** Only this process commits. A file that could not be flushed is not trusted: nothing that is cached from it is fresh. */
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

  async find(collection: Collection<Any>, id: string): Promise<Found> {
    await this.prepared(collection);
    const coming = this.coming.get(documentKey(collection, id));
    return coming ?? { value: this.db.docs.get([collection.name, id]) };
  }

  async findUnique(collection: Collection<Any>, name: string, value: string): Promise<Found> {
    const coming = this.coming.get(uniqueKey(collection, name, value));
    return coming ?? { value: this.db.uniques.get([collection.name, name, digest(value)]) };
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
      await one?.certain;
    } catch {
      return { status: 'changed', what: one?.collection.name ?? '' };
    }
    return this.commitWhole({ ...plan, documents: [], uniques: [] });
  }

  private commitWhole(plan: Plan): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const change = (): Outcome => {
        const outcome = this.check(plan) ?? this.apply(plan);
        // Whoever waits for the same document goes on from here, without waiting for the disk, and shares the next flush.
        if (outcome.status === 'done') {
          this.announce(plan, durable);
          resolve({ status: 'done', durable: durable.then(() => this.tell(plan)) });
        }
        return outcome;
      };
      const durable = this.db.commit(change, { frees: removesOnly(plan) }).finally(() => this.settle(plan));
      durable.then(resolve, reject);
    });
  }

  /** What this plan writes is read by the transactions of this process before it is on disk; they are checked again. */
  private announce(plan: Plan, certain: Promise<unknown>): void {
    for (const { collection, id, after, written } of plan.documents) {
      if (written) this.coming.set(documentKey(collection, id), { value: after?.json, certain, plan });
    }
    for (const { collection, name, value, after, written } of plan.uniques) {
      if (written) this.coming.set(uniqueKey(collection, name, value), { value: after, certain, plan });
    }
  }

  /** On disk or refused: from now on the tables tell, unless a later plan has announced something. */
  private settle(plan: Plan): void {
    const keys = [
      ...plan.documents.map(({ collection, id }) => documentKey(collection, id)),
      ...plan.uniques.map(({ collection, name, value }) => uniqueKey(collection, name, value)),
    ];
    for (const key of keys) if (this.coming.get(key)?.plan === plan) this.coming.delete(key);
  }

  private tell(plan: Plan): void {
    const touched = new Set(plan.documents.filter((d) => d.written).map((d) => d.collection.name));
    for (const name of touched) for (const changed of this.watchers.get(name) ?? []) changed();
  }

  /** All checks come before the first write, and that of the record first: whoever repeats a request gets its answer. */
  private check(plan: Plan): Outcome | undefined {
    const { record } = plan;
    if (record && this.recorded(record.key) !== record.before)
      return { status: 'changed', what: `idempotency record ${record.key}` };
    for (const lease of plan.leases)
      if (!this.leases.holds(lease)) return { status: 'lease_lost', name: lease.name };
    // What was looked at comes first: where it has changed the work runs again, and may not want the rest.
    for (const first of [true, false]) {
      const failed =
        this.checkDocuments(plan.documents.filter(({ looked }) => looked === first)) ??
        this.checkUniques(plan.uniques.filter(({ looked }) => looked === first));
      if (failed) return failed;
    }
    return undefined;
  }

  private checkDocuments(documents: PlannedDocument[]): Outcome | undefined {
    for (const { collection, id, before, looked } of documents) {
      const now = this.db.docs.get([collection.name, id]);
      if (now === before?.json) continue;
      return { status: looked ? 'changed' : 'taken', what: `${collection.name}/${id}` };
    }
    return undefined;
  }

  private checkUniques(uniques: PlannedUnique[]): Outcome | undefined {
    for (const { collection, name, value, looked, before } of uniques) {
      const now = this.db.uniques.get([collection.name, name, digest(value)]);
      if (now === before) continue;
      const status = looked || before !== undefined ? 'changed' : 'taken';
      return { status, what: `${collection.name}.${name}` };
    }
    return undefined;
  }

  private recorded(key: string): string | undefined {
    const kept = this.db.meta.get(['once', recordName(key)]);
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
      this.db.meta.putSync(['once', recordName(plan.record.key)], `${Date.now()} ${plan.record.after}`);
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

  private prepared(collection: Collection<Any>): Promise<void> {
    const running = this.ready.get(collection.name);
    if (running) return running;
    const prepare = this.index.prepare(collection).catch((error: unknown) => {
      this.ready.delete(collection.name);
      throw error;
    });
    this.ready.set(collection.name, prepare);
    return prepare;
  }

  /** Forgets idempotency keys whose time is over. */
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

function parseEntry(collection: Collection<Any>, id: string, json: string): object {
  try {
    return JSON.parse(json) as object;
  } catch (cause) {
    throw damaged(`an entry of the ${collection.item} ${id}`, cause);
  }
}

function documentKey(collection: Collection<Any>, id: string): string {
  return `${collection.name}/${id}`;
}

function uniqueKey(collection: Collection<Any>, name: string, value: string): string {
  return `${collection.name}.${name}=${value}`;
}
