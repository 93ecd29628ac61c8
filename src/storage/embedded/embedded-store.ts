/** `Store` on a file: one process and one writer. An acknowledged commit is on disk. */
import { nowSeconds } from '../../shared/clock.js';
import { digest } from '../../shared/ids.js';
import { BackendStore } from '../backend-store.js';
import {
  type AnyCollection,
  type Found,
  type Outcome,
  type Plan,
  readsOneThing,
  removesOnly,
  writtenCollections,
} from '../plan.js';
import type { Collection, ListQuery, Page, StoreHealth, StoreTime } from '../store.js';
import type { EmbeddedDatabase } from './database.js';
import type { EmbeddedEventLog } from './embedded-event-log.js';
import { IdempotencyRecords } from './idempotency-records.js';
import { EmbeddedIndex } from './indexes.js';
import { EmbeddedLeases } from './leases.js';
import { PlanCommit } from './plan-commit.js';
import type { Growth } from './space.js';
import { UnflushedValues } from './unflushed.js';

export class EmbeddedStore extends BackendStore {
  readonly kind = 'embedded';
  private readonly index: EmbeddedIndex;
  private readonly records: IdempotencyRecords;
  private readonly commits: PlanCommit;
  private readonly unflushed = new UnflushedValues();
  private readonly watchers = new Map<string, Set<() => void>>();
  private readonly ready = new Map<string, Promise<void>>();

  constructor(
    private readonly db: EmbeddedDatabase,
    log: EmbeddedEventLog,
  ) {
    const leases = new EmbeddedLeases(db);
    super(leases);
    this.index = new EmbeddedIndex(db);
    this.records = new IdempotencyRecords(db);
    this.commits = new PlanCommit(db, this.index, leases, this.records, log);
  }

  declare<T>(collection: Collection<T>): void {
    // The first use waits for it and throws what went wrong.
    this.prepared(collection).catch(() => undefined);
  }

  async list<T>(collection: Collection<T>, query: ListQuery): Promise<Page<T>> {
    await this.prepared(collection);
    return this.index.list(collection, query);
  }

  async counts<T>(collection: Collection<T>): Promise<Record<string, number>> {
    await this.prepared(collection);
    return this.index.counts(collection);
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
    this.records.close();
    await this.db.close();
  }

  protected async read(collection: AnyCollection, id: string): Promise<string | undefined> {
    await this.prepared(collection);
    return this.db.docs.get([collection.name, id]);
  }

  protected async readUnique(
    collection: AnyCollection,
    name: string,
    value: string,
  ): Promise<string | undefined> {
    await this.prepared(collection);
    return this.db.uniques.get([collection.name, name, digest(value)]);
  }

  /** The keys of the entries are numbers without a gap. They begin at 1, or later where older entries were removed. */
  protected async readEntries(
    { name }: AnyCollection,
    id: string,
    offset: number,
    limit: number,
  ): Promise<string[]> {
    const end = [name, id, Number.MAX_VALUE];
    const [first] = [...this.db.entries.getKeys({ start: [name, id, 0], end, limit: 1 })];
    if (!first) return [];
    const range = { start: [name, id, Number(first[2]) + offset], end, limit };
    return [...this.db.entries.getRange(range)].map(({ value }) => value);
  }

  override async find(collection: AnyCollection, id: string): Promise<Found> {
    await this.prepared(collection);
    // No await may come in between: a batch that becomes visible there would look as if it were on disk.
    return this.unflushed.document(collection, id) ?? { value: this.db.docs.get([collection.name, id]) };
  }

  override async findUnique(collection: AnyCollection, name: string, value: string): Promise<Found> {
    await this.prepared(collection);
    // As above, nothing may be awaited in between.
    const known = this.unflushed.unique(collection, name, value);
    return known ?? { value: this.db.uniques.get([collection.name, name, digest(value)]) };
  }

  async readRecord(key: string): Promise<string | undefined> {
    return this.records.get(key);
  }

  next(sequence: string): Promise<number> {
    return this.db.next(sequence);
  }

  async commit(plan: Plan): Promise<Outcome> {
    for (const { collection } of [...plan.documents, ...plan.limits]) await this.prepared(collection);
    if (!readsOneThing(plan)) return this.commitWhole(plan);
    // The result of a single read needs no check. It only waits until the value that was read is on disk.
    const [one] = [...plan.documents, ...plan.uniques];
    try {
      await one?.durable;
    } catch {
      return { status: 'changed', what: one?.collection.name ?? '' };
    }
    return this.commitWhole({ ...plan, documents: [], uniques: [] });
  }

  private async commitWhole(plan: Plan): Promise<Outcome> {
    const change = (): Outcome => this.commits.run(plan);
    const { outcome, durable } = await this.db.write(change, growthOf(plan));
    if (outcome.status !== 'done') {
      // The check may have met a change of the same batch, which is final only after the flush.
      await durable;
      return outcome;
    }
    this.unflushed.add(plan, durable);
    const onDisk = durable.finally(() => this.unflushed.remove(plan)).then(() => this.notify(plan));
    return { ...outcome, durable: onDisk };
  }

  private notify(plan: Plan): void {
    for (const name of writtenCollections(plan))
      for (const changed of this.watchers.get(name) ?? []) changed();
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
}

function growthOf(plan: Plan): Growth {
  if (removesOnly(plan)) return 'none';
  return plan.essential ? 'essential' : 'usual';
}
