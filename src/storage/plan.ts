/** What a transaction has read and wants to write, before its commit. Both backends check and apply the same plan. */
import type { EventRecord } from './event-log.js';
import type { Collection, Lease, RowLimit } from './store.js';

// biome-ignore lint/suspicious/noExplicitAny: a plan holds documents of many collections.
export type AnyCollection = Collection<any>;

interface PlannedContent {
  json: string;
  doc: unknown;
}

/** A document before the transaction and after it. */
export interface PlannedDocument {
  collection: AnyCollection;
  id: string;
  /** The work has read it. An insert has not: it only assumes that there is none. */
  wasRead: boolean;
  /** See `Found`. */
  durable?: Promise<unknown>;
  before?: PlannedContent;
  after?: PlannedContent;
  written: boolean;
}

/** A unique value. `before` and `after` are the ids of the document that holds it. */
export interface PlannedUnique {
  collection: AnyCollection;
  name: string;
  value: string;
  wasRead: boolean;
  durable?: Promise<unknown>;
  before?: string;
  after?: string;
  written: boolean;
}

/** An entry for the list of a document. With `keep` older entries beyond this number are removed. */
export interface PlannedEntry {
  collection: AnyCollection;
  id: string;
  json: string;
  keep?: number;
}

export interface PlannedLimit extends RowLimit {
  collection: AnyCollection;
}

/** The idempotency record. It must equal `before`. Without `after` it stays as it is. */
export interface PlannedRecord {
  key: string;
  before?: string;
  after?: string;
}

export interface Plan {
  /** Random. The commit stores it, so a plan that is sent twice is applied once. */
  id: string;
  documents: PlannedDocument[];
  uniques: PlannedUnique[];
  appends: PlannedEntry[];
  /** Checked last: a repeated request gets its answer, and a changed read its next attempt, also where a limit is reached. */
  limits: PlannedLimit[];
  events: EventRecord[];
  leases: Lease[];
  record?: PlannedRecord;
  /** See `TransactionOptions`. */
  essential?: boolean;
}

/**
 * What a backend made of a plan.
 *
 * - `done`: all checks passed, and the writes are visible to everybody. `position` is that of the last event.
 * - `changed`: something that was read has changed. `what` names the queue for the next attempt.
 * - `taken`, `full` and `lease_lost` are final. `full` means that a limit on the rows of a value is reached.
 *
 * No answer may be given before `durable` has resolved. Then all that the plan checked and wrote is as durable as an
 * acknowledged commit.
 */
export type Outcome =
  | { status: 'done'; position?: string; refused?: string; durable?: Promise<unknown> }
  | { status: 'changed'; what: string }
  | { status: 'taken'; what: string; durable?: Promise<unknown> }
  | { status: 'full'; refusal: RowLimit['refusal']; durable?: Promise<unknown> }
  | { status: 'lease_lost'; name: string };

/**
 * A value that a transaction reads. The value may still be on its way to the disk. Then `durable` resolves when it has
 * arrived, and rejects when it was not written.
 */
export interface Found {
  value?: string;
  durable?: Promise<unknown>;
}

/** Names a document in error texts, in the queues and in maps. */
export function documentKey(collection: AnyCollection, id: string): string {
  return `${collection.name}/${id}`;
}

/** Names a unique value in the same way. */
export function uniqueKey(collection: AnyCollection, name: string, value: string): string {
  return `${collection.name}.${name}=${value}`;
}

/** Values that the commit expects as they were when the work ran. */
export type PlannedValues = Pick<Plan, 'documents' | 'uniques'>;

/**
 * What the work has read. It is checked before the assumptions: after a changed read the work runs again, and may not insert the
 * same document.
 */
export function readsOf({ documents, uniques }: Plan): PlannedValues {
  return {
    documents: documents.filter(({ wasRead }) => wasRead),
    uniques: uniques.filter(({ wasRead }) => wasRead),
  };
}

/** What the work has not read but writes: an insert assumes that there is no such document. */
export function assumptionsOf({ documents, uniques }: Plan): PlannedValues {
  return {
    documents: documents.filter(({ wasRead }) => !wasRead),
    uniques: uniques.filter(({ wasRead }) => !wasRead),
  };
}

/** The names of the collections whose documents the plan writes. */
export function writtenCollections(plan: Plan): Set<string> {
  return new Set(plan.documents.filter(({ written }) => written).map(({ collection }) => collection.name));
}

/** The plan only checks. */
export function writesNothing({ documents, uniques, appends, events, record }: Plan): boolean {
  const written = documents.some((one) => one.written) || uniques.some((one) => one.written);
  return !written && appends.length + events.length === 0 && record?.after === undefined;
}

/**
 * The answer follows from a single read. It was true when it was read, and it may be out of date by now, so it needs no
 * check at the commit.
 */
export function readsOneThing(plan: Plan): boolean {
  const { documents, uniques, leases, limits } = plan;
  return (
    writesNothing(plan) && documents.length + uniques.length === 1 && leases.length + limits.length === 0
  );
}

/** The plan frees space. It passes in a full store as well, together with the events that report it. */
export function removesOnly(plan: Plan): boolean {
  if (writesNothing(plan)) return true;
  const written = plan.documents.filter((document) => document.written);
  const adds = plan.record?.after !== undefined || plan.appends.length > 0;
  return !adds && written.length > 0 && written.every((document) => document.after === undefined);
}
