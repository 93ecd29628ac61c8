/**
 * What both adapters share of `Store.transaction`: a `Tx` that collects a plan, and the loop that runs the work,
 * commits the plan, and runs again where something it had read was changed by another.
 */

import { sleep } from '../shared/clock.js';
import { BrainError, isBrainError } from '../shared/errors.js';
import { randomId, sha256 } from '../shared/ids.js';
import type { EventRecord } from './event-log.js';
import { busy, type KeyedQueues } from './queues.js';
import type { Collection, IdempotencyKey, Lease, Tx } from './store.js';

// biome-ignore lint/suspicious/noExplicitAny: a plan holds documents of many collections.
type Any = any;

/** A document as this transaction found it and as it leaves it. `looked` tells a read from an insert's assumption. */
export interface PlannedDocument {
  collection: Collection<Any>;
  id: string;
  looked: boolean;
  /** See `Found`. */
  certain?: Promise<unknown>;
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
  certain?: Promise<unknown>;
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
  record?: PlannedRecord;
}

/** The record of an idempotency key as it must be, and as it becomes; without `after` it stays. */
export interface PlannedRecord {
  key: string;
  before?: string;
  after?: string;
}

/**
 * `done` holds for all that the plan has checked, and what it has written is visible to all. `changed` names what to
 * queue behind; `taken` and `lease_lost` are final. Nothing that follows from the outcome may be told before `durable`
 * has resolved: then what was checked and written is as durable as an acknowledged commit.
 */
export type Outcome =
  | { status: 'done'; refused?: string; durable?: Promise<unknown> }
  | { status: 'changed'; what: string }
  | { status: 'taken'; what: string; durable?: Promise<unknown> }
  | { status: 'lease_lost'; name: string };

/** What is there, or is about to be: then `certain` resolves once it is, and rejects where it never will be. */
export interface Found {
  value?: string;
  certain?: Promise<unknown>;
}

/** What the loop needs from an adapter. */
export interface TransactionBackend {
  find(collection: Collection<Any>, id: string): Promise<Found>;
  findUnique(collection: Collection<Any>, name: string, value: string): Promise<Found>;
  readRecord(key: string): Promise<string | undefined>;
  next(sequence: string): Promise<number>;
  commit(plan: Plan): Promise<Outcome>;
}

/** After so many runs the caller is told that the store is busy. */
const MAX_ATTEMPTS = 10;
const FIRST_BACKOFF_MS = 5;
const MAX_BACKOFF_MS = 1000;
/** Callers hear within two seconds that the store is too busy: before it counts as slow, and with time for the answer's way. */
const MAX_WAIT_MS = 1600;

export async function runTransaction<T>(
  backend: TransactionBackend,
  queues: KeyedQueues,
  work: (tx: Tx) => Promise<T> | T,
  idempotency?: IdempotencyKey,
): Promise<T> {
  const startedMs = performance.now();
  let leave: (() => void) | undefined;
  try {
    for (let attempt = 1; ; attempt += 1) {
      const { plan, answer } = await planned(backend, work, idempotency);
      if (!plan) return answer();
      const outcome = await backend.commit(plan);
      if (outcome.status === 'done') {
        const { refused } = outcome;
        if (refused !== undefined) for (const event of plan.events) event.refused?.(refused);
        // Whoever waits behind may build on what is visible already: then all of them share one flush.
        leave?.();
        await outcome.durable;
        return answer();
      }
      if (outcome.status === 'taken') {
        await outcome.durable;
        throw alreadyExists(outcome.what);
      }
      if (outcome.status === 'lease_lost') throw leaseLost(outcome.name);
      const isLate = (): boolean => performance.now() - startedMs > MAX_WAIT_MS;
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

interface Planned<T> {
  /** What must be committed before the answer is given; nothing where the work has touched nothing. */
  plan?: Plan;
  /** Returns the result, or throws the refusal. */
  answer: () => T;
}

/**
 * Runs the work once. Whatever it comes to, be it a result without a change, a refusal, or the answer of an earlier run, follows from
 * what was read, so each of them has a plan that checks it.
 */
async function planned<T>(
  backend: TransactionBackend,
  work: (tx: Tx) => Promise<T> | T,
  idempotency?: IdempotencyKey,
): Promise<Planned<T>> {
  const tx = new PlanningTx(backend);
  const recorded = idempotency && (await backend.readRecord(idempotency.key));
  if (idempotency && recorded !== undefined) {
    return {
      plan: tx.checks({ key: idempotency.key, before: recorded }),
      answer: () => replay<T>(recorded, idempotency),
    };
  }
  try {
    const result = await work(tx);
    const after = idempotency && JSON.stringify({ body: idempotency.body, result });
    return { plan: tx.plan(idempotency && { key: idempotency.key, after }), answer: () => result };
  } catch (error) {
    // An unavailable store says nothing about the request, and a bug is none of a transaction's answers.
    if (!isBrainError(error) || error.kind === 'unavailable') throw error;
    const refuse = (): never => {
      throw error;
    };
    return { plan: tx.checks(idempotency && { key: idempotency.key }), answer: refuse };
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
    const { value: json, certain } = await this.backend.find(collection, id);
    // Asked for twice at once: what is given out must be what is checked.
    if (this.documents.has(key)) return this.get(collection, id);
    const before = json === undefined ? undefined : { json, doc: decode(collection, id, json) };
    this.documents.set(key, { collection, id, looked: true, certain, before, written: false });
    return before?.doc;
  }

  async getUnique<T>(collection: Collection<T>, name: string, value: string): Promise<T | undefined> {
    const key = uniqueKey(collection, name, value);
    let known = this.uniques.get(key);
    if (!known) {
      const { value: before, certain } = await this.backend.findUnique(collection, name, value);
      known = this.uniques.get(key) ?? {
        ...{ collection, name, value, looked: true, certain, before },
        written: false,
      };
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

  /** Nothing where nothing was read and nothing is to be written. */
  plan(record?: PlannedRecord): Plan | undefined {
    const plan: Plan = {
      id: randomId(16),
      documents: [...this.documents.values()],
      uniques: [...this.uniques.values()],
      appends: this.appends,
      events: this.events,
      leases: this.leases,
      record,
    };
    const { documents, uniques, appends, events, leases } = plan;
    const touched = documents.length + uniques.length + appends.length + events.length + leases.length;
    return touched > 0 || record ? plan : undefined;
  }

  /** What was read must still be so; nothing is written. */
  checks(record?: PlannedRecord): Plan | undefined {
    const asRead = <P extends { looked: boolean }>(planned: Map<string, P>): P[] =>
      [...planned.values()]
        .filter(({ looked }) => looked)
        .map((one) => ({ ...one, after: undefined, written: false }));
    const documents = asRead(this.documents);
    const uniques = asRead(this.uniques);
    const { leases } = this;
    if (documents.length + uniques.length + leases.length === 0 && !record) return undefined;
    return { id: randomId(16), documents, uniques, appends: [], events: [], leases, record };
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

/** Such a plan only checks. */
export function writesNothing({ documents, uniques, appends, events, record }: Plan): boolean {
  const written = documents.some((one) => one.written) || uniques.some((one) => one.written);
  return !written && appends.length + events.length === 0 && record?.after === undefined;
}

/** What such a plan checks was true when it was read, which is all that its answer says: it need not be so still. */
export function readsOneThing(plan: Plan): boolean {
  return writesNothing(plan) && plan.documents.length + plan.uniques.length === 1 && plan.leases.length === 0;
}

/** Such a plan passes also when the store is full, with the events that tell of it: it makes room. */
export function removesOnly(plan: Plan): boolean {
  if (writesNothing(plan)) return true;
  const written = plan.documents.filter((document) => document.written);
  const adds = plan.record?.after !== undefined || plan.appends.length > 0;
  return !adds && written.length > 0 && written.every((document) => document.after === undefined);
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

export function recordName(key: string): string {
  return sha256(key);
}

function backoffMs(attempt: number): number {
  const most = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** attempt);
  return most / 2 + (Math.random() * most) / 2;
}

function uniqueKey(collection: Collection<Any>, name: string, value: string): string {
  return `${collection.name}.${name}=${value}`;
}

function replay<T>(recorded: string, idempotency: IdempotencyKey): T {
  let record: { body: string; result: T };
  try {
    record = JSON.parse(recorded) as { body: string; result: T };
  } catch (cause) {
    throw damaged('the record of an idempotency key', cause);
  }
  if (record.body === idempotency.body) return record.result;
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
