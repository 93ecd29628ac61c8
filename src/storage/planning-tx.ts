/** The `Tx` that the work gets. It reads from the backend and collects a plan; it writes nothing itself. */
import { BrainError } from '../shared/errors.js';
import { randomId } from '../shared/ids.js';
import { decode, encode } from './codec.js';
import type { EventRecord } from './event-log.js';
import {
  type AnyCollection,
  documentKey,
  type Found,
  type Plan,
  type PlannedDocument,
  type PlannedEntry,
  type PlannedLimit,
  type PlannedRecord,
  type PlannedUnique,
  uniqueKey,
} from './plan.js';
import type { Collection, Lease, RowLimit, Tx } from './store.js';

/** What a transaction reads from its backend. */
export interface TransactionReads {
  find(collection: AnyCollection, id: string): Promise<Found>;
  findUnique(collection: AnyCollection, name: string, value: string): Promise<Found>;
  next(sequence: string): Promise<number>;
}

/** A unique value passes from one document to another, or to none. */
interface Claim {
  collection: AnyCollection;
  name: string;
  value: string;
  /** The id of the document that has the value, as far as this transaction knows. */
  before?: string;
  /** The id of the document that gets it. */
  after?: string;
}

export class PlanningTx implements Tx {
  private readonly documents = new Map<string, PlannedDocument>();
  private readonly uniques = new Map<string, PlannedUnique>();
  private readonly appends: PlannedEntry[] = [];
  private readonly limits: PlannedLimit[] = [];
  private readonly events: EventRecord[] = [];
  private readonly leases: Lease[] = [];

  constructor(private readonly backend: TransactionReads) {}

  async get<T>(collection: Collection<T>, id: string): Promise<T | undefined> {
    const key = documentKey(collection, id);
    const known = this.documents.get(key);
    if (known) return (known.written ? known.after : known.before)?.doc as T | undefined;
    const { value: json, durable } = await this.backend.find(collection, id);
    // Two reads of one document may run at once. Both must return the document that the commit checks.
    if (this.documents.has(key)) return this.get(collection, id);
    const before = json === undefined ? undefined : { json, doc: decode(collection, id, json) };
    this.documents.set(key, { collection, id, wasRead: true, durable, before, written: false });
    return before?.doc;
  }

  async getUnique<T>(collection: Collection<T>, name: string, value: string): Promise<T | undefined> {
    const key = uniqueKey(collection, name, value);
    let known = this.uniques.get(key);
    if (!known) {
      const { value: before, durable } = await this.backend.findUnique(collection, name, value);
      known = this.uniques.get(key) ?? {
        ...{ collection, name, value, wasRead: true, durable, before },
        written: false,
      };
      this.uniques.set(key, known);
    }
    const id = known.written ? known.after : known.before;
    return id === undefined ? undefined : this.get(collection, id);
  }

  insert<T>(collection: Collection<T>, doc: T): void {
    const id = collection.id(doc);
    const key = documentKey(collection, id);
    const known = this.documents.get(key);
    if (known && (known.written ? known.after : known.before)) throw alreadyExists(key);
    this.write(known ?? { collection, id, wasRead: false, written: false }, key, doc);
  }

  put<T>(collection: Collection<T>, doc: T): void {
    const key = documentKey(collection, collection.id(doc));
    this.write(this.known(key), key, doc);
  }

  delete<T>(collection: Collection<T>, id: string): void {
    const key = documentKey(collection, id);
    this.write(this.known(key), key, undefined);
  }

  next(sequence: string): Promise<number> {
    return this.backend.next(sequence);
  }

  append<T>(collection: Collection<T>, id: string, entry: object, keep?: number): void {
    this.appends.push({ collection, id, json: JSON.stringify(entry), keep });
  }

  limit<T>(collection: Collection<T>, limit: RowLimit): void {
    this.limits.push({ collection, ...limit });
  }

  demand(lease: Lease): void {
    this.leases.push(lease);
  }

  record(event: EventRecord): void {
    this.events.push(event);
  }

  /** The plan of all reads and writes; undefined when the work did neither. */
  plan(record?: PlannedRecord): Plan | undefined {
    const plan: Plan = {
      id: randomId(16),
      documents: [...this.documents.values()],
      uniques: [...this.uniques.values()],
      appends: this.appends,
      limits: this.limits,
      events: this.events,
      leases: this.leases,
      record,
    };
    const { documents, uniques, appends, limits, events, leases } = plan;
    const touched = [documents, uniques, appends, limits, events, leases].some((part) => part.length > 0);
    return touched || record ? plan : undefined;
  }

  /** The plan that checks all reads and writes nothing; undefined when the work read nothing. */
  checkOnly(record?: PlannedRecord): Plan | undefined {
    const unwritten = <P extends { wasRead: boolean }>(planned: Map<string, P>): P[] =>
      [...planned.values()]
        .filter(({ wasRead }) => wasRead)
        .map((one) => ({ ...one, after: undefined, written: false }));
    const documents = unwritten(this.documents);
    const uniques = unwritten(this.uniques);
    const { leases } = this;
    if (documents.length + uniques.length + leases.length === 0 && !record) return undefined;
    return { id: randomId(16), documents, uniques, appends: [], limits: [], events: [], leases, record };
  }

  private known(key: string): PlannedDocument {
    const known = this.documents.get(key);
    if (!known) throw new Error(`A transaction changes ${key} without a read; call tx.get first.`);
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
      if (from !== null) this.claim({ collection, name, value: from, before: document.id });
      if (to !== null) this.claim({ collection, name, value: to, after: document.id });
    }
  }

  private claim({ collection, name, value, before, after }: Claim): void {
    const key = uniqueKey(collection, name, value);
    const known = this.uniques.get(key) ?? {
      ...{ collection, name, value, wasRead: false, before },
      written: false,
    };
    const holder = known.written ? known.after : known.before;
    if (after !== undefined && holder !== undefined && holder !== after) throw alreadyExists(key);
    known.after = after;
    known.written = true;
    this.uniques.set(key, known);
  }
}

export function alreadyExists(what: string): BrainError {
  return new BrainError('conflict', 'already_exists', `${what} exists already. Choose another id or value.`);
}
