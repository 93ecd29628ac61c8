/** `Store` on a file: one process, one writer, acknowledged means on disk. */
import { digest } from '../shared/ids.js';
import { randomId } from '../shared/ids.js';
import { readCursor, writeCursor } from './cursor.js';
import { type EmbeddedDatabase, type Key } from './database.embedded.js';
import type { EventLogEmbedded } from './event-log.embedded.js';
import {
  type Collection,
  DEFAULT_PAGE,
  type Lease,
  type ListQuery,
  MAX_CANDIDATES,
  MAX_COUNTED,
  MAX_PAGE,
  type Once,
  ONCE_KEPT_SECONDS,
  type Page,
  Store,
  type StoreHealth,
  type Tx,
} from './store.js';
import {
  ALL,
  countDeltas,
  damaged,
  decode,
  indexMoves,
  KeyedQueues,
  onceKey,
  type Outcome,
  type Plan,
  type PlannedDocument,
  runTransaction,
  type TransactionBackend,
} from './transaction.js';

// biome-ignore lint/suspicious/noExplicitAny: one adapter keeps the documents of many collections.
type Any = any;

/** Deletes go so many at a time, so that no commit holds the event loop for long. */
const DELETE_CHUNK = 1000;
const SWEEP_MS = 60_000;

export class StoreEmbedded extends Store implements TransactionBackend {
  readonly kind = 'embedded';
  private readonly queues = new KeyedQueues();
  private readonly leases = new Map<string, { lease: Lease; untilMs: number }>();
  private readonly watchers = new Map<string, Set<() => void>>();
  private readonly ready = new Map<string, Promise<void>>();
  private readonly sweeper: NodeJS.Timeout;

  constructor(
    private readonly db: EmbeddedDatabase,
    private readonly log: EventLogEmbedded,
  ) {
    super();
    this.sweeper = setInterval(() => void this.sweep().catch(() => undefined), SWEEP_MS);
    this.sweeper.unref();
  }

  declare<T>(collection: Collection<T>): void {
    void this.prepared(collection).catch(() => undefined);
  }

  transaction<T>(work: (tx: Tx) => Promise<T> | T, options: { once?: Once } = {}): Promise<T> {
    return runTransaction(this, this.queues, work, options.once);
  }

  async get<T>(collection: Collection<T>, id: string): Promise<T | undefined> {
    const json = await this.read(collection, id);
    return json === undefined ? undefined : decode(collection, id, json);
  }

  async getUnique<T>(collection: Collection<T>, name: string, value: string): Promise<T | undefined> {
    const id = await this.readUnique(collection, name, value);
    return id === undefined ? undefined : this.get(collection, id);
  }

  async list<T>(collection: Collection<T>, query: ListQuery): Promise<Page<T>> {
    await this.prepared(collection);
    const walk = this.walkOf(collection, query);
    const limit = Math.min(query.limit ?? DEFAULT_PAGE, MAX_PAGE);
    const rows: T[] = [];
    let last: Place | undefined;
    let read = 0;
    let more = false;
    const most = walk.others.length === 0 ? limit : MAX_CANDIDATES;
    for (const place of this.places(walk, query.cursor, most + 1)) {
      if (rows.length === limit || read === most) {
        more = true;
        break;
      }
      read += 1;
      last = place;
      if (!walk.others.every((other) => this.index.doesExist([...other, place.order, place.id]))) continue;
      const json = this.db.docs.get([collection.name, place.id]);
      if (json !== undefined) rows.push(decode(collection, place.id, json));
    }
    const total = await this.totalOf(walk);
    return { rows, total, next: more && last ? writeCursor(last) : null };
  }

  async counts<T>(collection: Collection<T>): Promise<Record<string, number>> {
    await this.prepared(collection);
    const prefix = [collection.name, collection.indexVersion, 'count'];
    const counts: Record<string, number> = {};
    for (const { key, value } of this.db.counts.getRange(under(prefix))) counts[String(key[3])] = value;
    return { total: 0, ...counts };
  }

  async entries<T>(
    collection: Collection<T>,
    id: string,
    page: { limit: number; cursor?: string },
  ): Promise<{ entries: object[]; next: string | null }> {
    const prefix = [collection.name, id];
    const after = page.cursor === undefined ? 0 : readCursor(page.cursor).order;
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

  async acquire(name: string, ttlMs: number): Promise<Lease | undefined> {
    if (this.holder(name)) return undefined;
    const fence = await this.db.next('lease');
    if (this.holder(name)) return undefined;
    const lease = { name, fence, token: randomId(16) };
    this.leases.set(name, { lease, untilMs: performance.now() + ttlMs });
    return lease;
  }

  async renew(lease: Lease, ttlMs: number): Promise<boolean> {
    if (!this.holds(lease)) return false;
    this.leases.set(lease.name, { lease, untilMs: performance.now() + ttlMs });
    return true;
  }

  async release(lease: Lease): Promise<void> {
    if (this.holds(lease)) this.leases.delete(lease.name);
  }

  watch<T>(collection: Collection<T>, changed: () => void): () => void {
    const watchers = this.watchers.get(collection.name) ?? new Set();
    this.watchers.set(collection.name, watchers.add(changed));
    return () => watchers.delete(changed);
  }

  lastContactMs(): number {
    return Date.now();
  }

  async health(): Promise<StoreHealth> {
    return { ok: true, warnings: [] };
  }

  async close(): Promise<void> {
    clearInterval(this.sweeper);
    await this.db.close();
  }

  async read(collection: Collection<Any>, id: string): Promise<string | undefined> {
    await this.prepared(collection);
    return this.db.docs.get([collection.name, id]);
  }

  async readUnique(collection: Collection<Any>, name: string, value: string): Promise<string | undefined> {
    return this.db.uniques.get([collection.name, name, digest(value)]);
  }

  async readOnce(key: string): Promise<string | undefined> {
    const kept = this.db.meta.get(['once', onceKey(key)]);
    return kept === undefined ? undefined : kept.slice(kept.indexOf(' ') + 1);
  }

  next(sequence: string): Promise<number> {
    return this.db.next(sequence);
  }

  async commit(plan: Plan): Promise<Outcome> {
    for (const { collection } of plan.documents) await this.prepared(collection);
    const { result, durable } = await this.db.commit(() => this.check(plan) ?? this.apply(plan));
    if (result.status !== 'done') return result;
    const touched = new Set(plan.documents.filter((d) => d.written).map((d) => d.collection.name));
    const told = durable.then(() => {
      for (const name of touched) for (const changed of this.watchers.get(name) ?? []) changed();
    });
    return { ...result, durable: told };
  }

  /** All checks come before the first write. */
  private check(plan: Plan): Outcome | undefined {
    for (const lease of plan.leases)
      if (!this.holds(lease)) return { status: 'lease_lost', name: lease.name };
    for (const { collection, id, before, looked } of plan.documents) {
      const now = this.db.docs.get([collection.name, id]);
      if (now === before?.json) continue;
      return { status: looked ? 'changed' : 'taken', what: `${collection.name}/${id}` };
    }
    for (const { collection, name, value, looked, before } of plan.uniques) {
      const now = this.db.uniques.get([collection.name, name, digest(value)]);
      if (now === before) continue;
      const status = looked || before !== undefined ? 'changed' : 'taken';
      return { status, what: `${collection.name}.${name}` };
    }
    if (plan.once && this.db.meta.doesExist(['once', onceKey(plan.once.key)])) {
      return { status: 'changed', what: `once/${plan.once.key}` };
    }
    return undefined;
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
    if (plan.once) {
      this.db.meta.putSync(['once', onceKey(plan.once.key)], `${Date.now()} ${plan.once.json}`);
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
    this.moveIndexes(collection, id, before?.doc, after?.doc);
  }

  private moveIndexes(collection: Collection<Any>, id: string, before: unknown, after: unknown): void {
    for (const { name, from, to } of indexMoves(collection, before, after)) {
      if (from) this.index.removeSync([...rowsOf(collection, name, from.value), from.order, id]);
      if (to) this.index.putSync([...rowsOf(collection, name, to.value), to.order, id], '');
      if (from?.value === to?.value && from && to) continue;
      if (from) this.add(rowsOf(collection, name, from.value), -1);
      if (to) this.add(rowsOf(collection, name, to.value), 1);
    }
    for (const [name, delta] of Object.entries(countDeltas(collection, before, after))) {
      this.add([collection.name, collection.indexVersion, 'count', name], delta);
    }
  }

  private add(key: Key, delta: number): void {
    const sum = (this.db.counts.get(key) ?? 0) + delta;
    if (sum === 0) this.db.counts.removeSync(key);
    else this.db.counts.putSync(key, sum);
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

  private get index(): EmbeddedDatabase['index'] {
    return this.db.index;
  }

  /** The rarest filter is walked; membership in the others is looked up row by row. */
  private walkOf(collection: Collection<Any>, query: ListQuery): Walk {
    const filters = Object.entries(query.where ?? {}).filter(([, value]) => value !== undefined) as [
      string,
      string,
    ][];
    const sets = filters.map(([name, value]) => rowsOf(collection, name, value));
    if (sets.length === 0) sets.push(rowsOf(collection, ALL, ''));
    const sized = sets
      .map((rows) => ({ rows, size: this.db.counts.get(rows) ?? 0 }))
      .sort((a, b) => a.size - b.size);
    const bounded = query.from !== undefined || query.until !== undefined;
    const { rows, size } = sized[0] as { rows: Key; size: number };
    return {
      rows,
      size,
      others: sized.slice(1).map((other) => other.rows),
      from: query.from ?? -Number.MAX_VALUE,
      until: query.until ?? Number.MAX_VALUE,
      bounded,
      reverse: query.direction !== 'asc',
    };
  }

  private *places(walk: Walk, cursor: string | undefined, limit: number): Generator<Place> {
    const low: Key = [...walk.rows, walk.from];
    const high: Key = [...walk.rows, walk.until, LAST];
    const after = cursor === undefined ? undefined : readCursor(cursor);
    const place = after && [...walk.rows, after.order, after.id];
    const range = walk.reverse
      ? {
          start: place ?? high,
          end: low,
          reverse: true,
          exclusiveStart: place !== undefined,
          inclusiveEnd: true,
        }
      : { start: place ?? low, end: high, exclusiveStart: place !== undefined };
    for (const key of this.index.getKeys({ ...range, limit })) {
      const [order, id] = key.slice(-2) as [number, string];
      yield { order, id };
    }
  }

  private async totalOf(walk: Walk): Promise<number | null> {
    if (walk.others.length === 0 && !walk.bounded) return walk.size;
    if (walk.others.length === 0) {
      return this.index.getKeysCount({
        start: [...walk.rows, walk.from],
        end: [...walk.rows, walk.until, LAST],
      });
    }
    if (walk.size > MAX_COUNTED) return null;
    let total = 0;
    for (const { order, id } of this.places({ ...walk, reverse: false }, undefined, MAX_COUNTED)) {
      if (walk.others.every((other) => this.index.doesExist([...other, order, id]))) total += 1;
    }
    return total;
  }

  private holder(name: string): Lease | undefined {
    const held = this.leases.get(name);
    return held && held.untilMs > performance.now() ? held.lease : undefined;
  }

  private holds(lease: Lease): boolean {
    return this.holder(lease.name)?.token === lease.token;
  }

  private prepared(collection: Collection<Any>): Promise<void> {
    const running = this.ready.get(collection.name);
    if (running) return running;
    const prepare = this.prepare(collection).catch((error: unknown) => {
      this.ready.delete(collection.name);
      throw error;
    });
    this.ready.set(collection.name, prepare);
    return prepare;
  }

  /** Builds the indexes anew where their version is another than that of the code. */
  private async prepare(collection: Collection<Any>): Promise<void> {
    const marker = ['index-version', collection.name];
    const version = String(collection.indexVersion);
    if (this.db.meta.get(marker) === version) return;
    await this.clear(this.db.index, [collection.name]);
    await this.clear(this.db.counts, [collection.name]);
    let after: Key = [collection.name];
    for (;;) {
      const range = { ...under([collection.name]), start: after, exclusiveStart: true, limit: DELETE_CHUNK };
      const chunk = [...this.db.docs.getRange(range)];
      const last = chunk.at(-1);
      if (!last) break;
      await this.db.commit(() => {
        for (const { key, value } of chunk) {
          const id = String(key[1]);
          this.moveIndexes(collection, id, undefined, decode(collection, id, value));
        }
      });
      after = last.key;
    }
    const { durable } = await this.db.commit(() => this.db.meta.putSync(marker, version));
    await durable;
  }

  private async clear(
    table: EmbeddedDatabase['index'] | EmbeddedDatabase['counts'],
    prefix: Key,
  ): Promise<void> {
    for (;;) {
      const keys = [...table.getKeys({ ...under(prefix), limit: DELETE_CHUNK })];
      if (keys.length === 0) return;
      await this.db.commit(() => {
        for (const key of keys) table.removeSync(key);
      });
    }
  }

  /** Forgets idempotency keys whose time is over. */
  private async sweep(): Promise<void> {
    const oldest = Date.now() - ONCE_KEPT_SECONDS * 1000;
    let after: Key = ['once'];
    for (;;) {
      const range = { ...under(['once']), start: after, exclusiveStart: true, limit: DELETE_CHUNK };
      const chunk = [...this.db.meta.getRange(range)];
      const last = chunk.at(-1);
      if (!last) return;
      const over = chunk.filter(({ value }) => Number(value.slice(0, value.indexOf(' '))) < oldest);
      if (over.length > 0) {
        await this.db.commit(() => {
          for (const { key } of over) this.db.meta.removeSync(key);
        });
      }
      after = last.key;
    }
  }
}

interface Place {
  order: number;
  id: string;
}

interface Walk {
  rows: Key;
  size: number;
  others: Key[];
  from: number;
  until: number;
  bounded: boolean;
  reverse: boolean;
}

/** Sorts behind every id. */
const LAST = '\u{10ffff}';

function under(prefix: Key): { start: Key; end: Key } {
  return { start: prefix, end: [...prefix, LAST] };
}

function rowsOf(collection: Collection<Any>, name: string, value: string): Key {
  return [collection.name, collection.indexVersion, name, name === ALL ? '' : digest(value)];
}

function parseEntry(collection: Collection<Any>, id: string, json: string): object {
  try {
    return JSON.parse(json) as object;
  } catch (cause) {
    throw damaged(`an entry of the ${collection.item} ${id}`, cause);
  }
}
