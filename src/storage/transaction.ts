/**
 * What both adapters share of `Store.transaction`: a `Tx` that collects a plan, and the loop that runs the work,
 * commits the plan, and runs again where something it had read was changed by another.
 */

import { sleep } from '../shared/clock.js';
import { BrainError } from '../shared/errors.js';
import { randomId, sha256 } from '../shared/ids.js';
import type { EventRecord } from './event-log.js';
import type { Collection, IndexEntry, Lease, Once, Tx } from './store.js';

// biome-ignore lint/suspicious/noExplicitAny: a plan holds documents of many collections.
type Any = any;

/** A document as this transaction found it and as it leaves it. `looked` tells a read from an insert's assumption. */
export interface PlannedDocument {
  collection: Collection<Any>;
  id: string;
  looked: boolean;
  before?: { json: string; doc: unknown };
  after?: { json: string; doc: unknown };
  written: boolean;
}

/** A unique value: whose it was when this transaction looked, and whose it becomes. */
export interface PlannedUnique {
  collection: Collection<Any>;
  name: string;
  value: string;
  looked: boolean;
  before?: string;
  after?: string;
  written: boolean;
}

export interface Plan {
  /** Random; the commit records it, so that a plan which is sent twice is applied once. */
  id: string;
  documents: PlannedDocument[];
  uniques: PlannedUnique[];
  appends: { collection: Collection<Any>; id: string; json: string }[];
  events: EventRecord[];
  leases: Lease[];
  once?: { key: string; json: string };
}

/**
 * `done` is visible to all; it is acknowledged only when `durable` has resolved. `changed` names what to queue behind;
 * `taken` and `lease_lost` are final.
 */
export type Outcome =
  | { status: 'done'; refused?: string; durable?: Promise<unknown> }
  | { status: 'changed'; what: string }
  | { status: 'taken'; what: string }
  | { status: 'lease_lost'; name: string };

/** What the loop needs from an adapter. */
export interface TransactionBackend {
  read(collection: Collection<Any>, id: string): Promise<string | undefined>;
  readUnique(collection: Collection<Any>, name: string, value: string): Promise<string | undefined>;
  readOnce(key: string): Promise<string | undefined>;
  next(sequence: string): Promise<number>;
  commit(plan: Plan): Promise<Outcome>;
}

/** After so many runs the caller is told that the store is busy. */
const MAX_ATTEMPTS = 10;
const FIRST_BACKOFF_MS = 5;
const MAX_BACKOFF_MS = 1000;
/** Callers hear within two seconds that the store is too busy; the rest is for the answer's own way. */
const MAX_WAIT_MS = 1800;

export async function runTransaction<T>(
  backend: TransactionBackend,
  queues: KeyedQueues,
  work: (tx: Tx) => Promise<T> | T,
  once?: Once,
): Promise<T> {
  const startedMs = Date.now();
  let leave: (() => void) | undefined;
  try {
    for (let attempt = 1; ; attempt += 1) {
      const tx = new PlanningTx(backend);
      if (once) {
        const recorded = await backend.readOnce(once.key);
        if (recorded !== undefined) return replay<T>(recorded, once);
      }
      const result = await work(tx);
      const plan = tx.plan(once && { key: once.key, json: JSON.stringify({ body: once.body, result }) });
      if (!plan) return result;
      const outcome = await backend.commit(plan);
      if (outcome.status === 'done') {
        const { refused } = outcome;
        if (refused !== undefined) for (const event of plan.events) event.refused?.(refused);
        // Whoever waits behind may build on what is visible already: then all of them share one flush.
        leave?.();
        await outcome.durable;
        return result;
      }
      if (outcome.status === 'taken') throw alreadyExists(outcome.what);
      if (outcome.status === 'lease_lost') throw leaseLost(outcome.name);
      const isLate = (): boolean => Date.now() - startedMs > MAX_WAIT_MS;
      if (attempt >= MAX_ATTEMPTS || isLate()) throw busy();
      // Those of this process queue: the one in front is sure to win against its own. The second loss of the one in
      // front was to another replica, and only time helps.
      if (leave) await sleep(backoffMs(attempt));
      else leave = await queues.enter(outcome.what, startedMs + MAX_WAIT_MS);
      // Nobody waits for it any more.
      if (isLate()) throw busy();
    }
  } finally {
    leave?.();
  }
}

class PlanningTx implements Tx {
  private readonly documents = new Map<string, PlannedDocument>();
  private readonly uniques = new Map<string, PlannedUnique>();
  private readonly appends: Plan['appends'] = [];
  private readonly events: EventRecord[] = [];
  private readonly leases: Lease[] = [];

  constructor(private readonly backend: TransactionBackend) {}

  async get<T>(collection: Collection<T>, id: string): Promise<T | undefined> {
    const key = `${collection.name}/${id}`;
    const known = this.documents.get(key);
    if (known) return (known.written ? known.after : known.before)?.doc as T | undefined;
    const json = await this.backend.read(collection, id);
    const before = json === undefined ? undefined : { json, doc: decode(collection, id, json) };
    this.documents.set(key, { collection, id, looked: true, before, written: false });
    return before?.doc;
  }

  async getUnique<T>(collection: Collection<T>, name: string, value: string): Promise<T | undefined> {
    const key = uniqueKey(collection, name, value);
    let known = this.uniques.get(key);
    if (!known) {
      const before = await this.backend.readUnique(collection, name, value);
      known = { collection, name, value, looked: true, before, written: false };
      this.uniques.set(key, known);
    }
    const id = known.written ? known.after : known.before;
    return id === undefined ? undefined : this.get(collection, id);
  }

  insert<T>(collection: Collection<T>, doc: T): void {
    const id = collection.id(doc);
    const key = `${collection.name}/${id}`;
    const known = this.documents.get(key);
    if (known && (known.written ? known.after : known.before)) throw alreadyExists(key);
    this.write(known ?? { collection, id, looked: false, written: false }, key, doc);
  }

  put<T>(collection: Collection<T>, doc: T): void {
    const key = `${collection.name}/${collection.id(doc)}`;
    this.write(this.touched(key), key, doc);
  }

  delete<T>(collection: Collection<T>, id: string): void {
    const key = `${collection.name}/${id}`;
    this.write(this.touched(key), key, undefined);
  }

  next(sequence: string): Promise<number> {
    return this.backend.next(sequence);
  }

  append<T>(collection: Collection<T>, id: string, entry: object): void {
    this.appends.push({ collection, id, json: JSON.stringify(entry) });
  }

  demand(lease: Lease): void {
    this.leases.push(lease);
  }

  record(event: EventRecord): void {
    this.events.push(event);
  }

  /** Nothing where nothing is to be written: what was only read needs no commit. */
  plan(once?: Plan['once']): Plan | undefined {
    const documents = [...this.documents.values()];
    const writes = documents.some((d) => d.written) || this.appends.length > 0 || this.events.length > 0;
    if (!writes && !once) return undefined;
    return {
      id: randomId(16),
      documents,
      uniques: [...this.uniques.values()],
      appends: this.appends,
      events: this.events,
      leases: this.leases,
      once,
    };
  }

  private touched(key: string): PlannedDocument {
    const known = this.documents.get(key);
    if (!known) throw new Error(`${key} is changed by a transaction that has not read it; call tx.get first`);
    return known;
  }

  private write(document: PlannedDocument, key: string, doc: unknown): void {
    const { collection } = document;
    const current = document.written ? document.after : document.before;
    document.after = doc === undefined ? undefined : { json: encode(collection, doc), doc };
    document.written = true;
    this.documents.set(key, document);
    for (const [name, valueIn] of Object.entries(collection.unique ?? {})) {
      const from = current ? valueIn(current.doc) : null;
      const to = doc === undefined ? null : valueIn(doc);
      if (from === to) continue;
      if (from !== null) this.claim(collection, name, from, undefined, document.id);
      if (to !== null) this.claim(collection, name, to, document.id, undefined);
    }
  }

  private claim(
    collection: Collection<Any>,
    name: string,
    value: string,
    after: string | undefined,
    before: string | undefined,
  ): void {
    const key = uniqueKey(collection, name, value);
    const known = this.uniques.get(key) ?? { collection, name, value, looked: false, before, written: false };
    const holder = known.written ? known.after : known.before;
    if (after !== undefined && holder !== undefined && holder !== after) throw alreadyExists(key);
    known.after = after;
    known.written = true;
    this.uniques.set(key, known);
  }
}

/** Such a plan passes also when the store is full, with the events that tell of it: it makes room. */
export function removesOnly(plan: Plan): boolean {
  const written = plan.documents.filter((document) => document.written);
  const writes = plan.once !== undefined || plan.appends.length > 0;
  return !writes && written.length > 0 && written.every((document) => document.after === undefined);
}

/** What changes in the indexes and counters of a collection when one document becomes another. */
export interface IndexMove {
  name: string;
  from: IndexEntry | null;
  to: IndexEntry | null;
}

/** Every document stands in the index of all under this name. */
export const ALL = '*';

export function indexMoves<T>(
  collection: Collection<T>,
  before: T | undefined,
  after: T | undefined,
): IndexMove[] {
  const moves: IndexMove[] = [];
  const from = before === undefined ? {} : indexEntries(collection, before);
  const to = after === undefined ? {} : indexEntries(collection, after);
  for (const name of indexNames(collection)) {
    const old = from[name] ?? null;
    const now = to[name] ?? null;
    if (old?.value === now?.value && old?.order === now?.order) continue;
    moves.push({ name, from: old, to: now });
  }
  return moves;
}

export function indexNames(collection: Collection<Any>): string[] {
  return [ALL, ...Object.keys(collection.indexes ?? {})];
}

function indexEntries<T>(collection: Collection<T>, doc: T): Record<string, IndexEntry | null> {
  const order = collection.order(doc);
  const entries: Record<string, IndexEntry | null> = { [ALL]: { value: '', order } };
  for (const [name, of] of Object.entries(collection.indexes ?? {})) {
    const entry = of(doc);
    entries[name] = typeof entry === 'string' ? { value: entry, order } : entry;
  }
  return entries;
}

/** The counters that change, by how much; those that stay are left out. */
export function countDeltas<T>(
  collection: Collection<T>,
  before: T | undefined,
  after: T | undefined,
): Record<string, number> {
  const deltas: Record<string, number> = {};
  for (const [doc, sign] of [
    [before, -1],
    [after, 1],
  ] as const) {
    if (doc === undefined) continue;
    for (const [name, amount] of Object.entries({ total: 1, ...collection.counts?.(doc) })) {
      deltas[name] = (deltas[name] ?? 0) + sign * amount;
    }
  }
  for (const name of Object.keys(deltas)) if (deltas[name] === 0) delete deltas[name];
  return deltas;
}

/** The version is put before the text: copying each document into an object with one more field takes longer than the rest. */
export function encode<T>(collection: Collection<T>, doc: T): string {
  return `{"v":${collection.version},${JSON.stringify(doc).slice(1)}`;
}

export function decode<T>(collection: Collection<T>, id: string, json: string): T {
  try {
    const raw: unknown = JSON.parse(json);
    if (typeof raw !== 'object' || raw === null || Array.isArray(raw))
      throw new Error('it is no JSON object');
    if (collection.read) return collection.read(raw as Record<string, unknown>);
    const { v: _v, ...doc } = raw as Record<string, unknown>;
    return doc as T;
  } catch (cause) {
    throw damaged(`the ${collection.item} ${id} (${collection.name}:${collection.item}:${id})`, cause);
  }
}

/** What stands in the store is not what we wrote; `what` names the key or the document. */
export function damaged(what: string, cause?: unknown): BrainError {
  const detail = `The store holds something unreadable where ${what} should be; restore it from a backup or remove it.`;
  return new BrainError('unavailable', 'store_damaged', detail, { cause });
}

export function onceKey(key: string): string {
  return sha256(key);
}

/** The queues in which the transactions of this process wait for one another, by what they lost a race on. */
export class KeyedQueues {
  private readonly tails = new Map<string, Promise<void>>();

  /** Resolves with the way to leave when it is this caller's turn, or fails at the deadline. */
  async enter(what: string, deadlineMs: number): Promise<() => void> {
    const ahead = this.tails.get(what);
    let leave = (): void => {};
    const mine = new Promise<void>((resolve) => {
      leave = resolve;
    });
    const tail = (ahead ?? Promise.resolve()).then(() => mine);
    this.tails.set(what, tail);
    void tail.then(() => {
      if (this.tails.get(what) === tail) this.tails.delete(what);
    });
    if (!ahead) return leave;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), Math.max(0, deadlineMs - Date.now()));
    });
    const first = await Promise.race([ahead.then(() => 'turn' as const), late]);
    clearTimeout(timer);
    if (first === 'turn') return leave;
    leave();
    throw busy();
  }
}

function backoffMs(attempt: number): number {
  const most = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** attempt);
  return most / 2 + (Math.random() * most) / 2;
}

function uniqueKey(collection: Collection<Any>, name: string, value: string): string {
  return `${collection.name}.${name}=${value}`;
}

function replay<T>(recorded: string, once: Once): T {
  let record: { body: string; result: T };
  try {
    record = JSON.parse(recorded) as { body: string; result: T };
  } catch (cause) {
    throw damaged('the record of an idempotency key', cause);
  }
  if (record.body === once.body) return record.result;
  const detail =
    'This Idempotency-Key was used with another body within 24 hours; use a new key for a new request.';
  throw new BrainError('invalid', 'idempotency_key_reused', detail);
}

function alreadyExists(what: string): BrainError {
  return new BrainError('conflict', 'already_exists', `${what} exists already.`);
}

function leaseLost(name: string): BrainError {
  return new BrainError(
    'conflict',
    'lease_lost',
    `The lease ${name} is held by another; nothing was changed.`,
  );
}

function busy(): BrainError {
  const detail =
    'Too many changes to the same thing at once; nothing was changed by this request, try again.';
  return new BrainError('unavailable', 'store_busy', detail, { retryAfterSeconds: 1 });
}
