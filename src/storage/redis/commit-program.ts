/** Translates a plan into a request to `scripts/commit.lua`: checks, then writes, each with its key and arguments. */
import type { EventRecord } from '../event-log.js';
import { countDeltas, indexMoves } from '../index-moves.js';
import { indexName } from '../index-names.js';
import {
  type AnyCollection,
  assumptionsOf,
  documentKey,
  type Outcome,
  type Plan,
  type PlannedDocument,
  type PlannedLimit,
  type PlannedUnique,
  type PlannedValues,
  readsOf,
} from '../plan.js';
import { IDEMPOTENCY_KEPT_SECONDS, type StatsTemplate, TX_KEPT_SECONDS } from '../store.js';
import { CHECK, type Check, MARK, REMOVAL, type Removal, WRITE, type Write } from './commit-operations.js';
import { indexField, type RedisKeys, revisionField } from './keys.js';
import { encodeOrder } from './order.js';

/** A list of operations with their keys and arguments. */
class OperationList {
  ops = '';
  readonly keys: string[] = [];
  readonly args: string[] = [];

  add(op: Check | Removal | Write, key: string, ...args: string[]): void {
    this.ops += op;
    this.keys.push(key);
    for (const arg of args) this.args.push(arg);
  }
}

export class CommitProgram {
  private readonly checks = new OperationList();
  private readonly removals = new OperationList();
  private readonly writes = new OperationList();
  private readonly failures: (Outcome | undefined)[] = [];
  private events: EventRecord[] = [];

  constructor(
    private readonly names: RedisKeys,
    private readonly id: string,
  ) {}

  get recordKey(): string {
    return this.names.transaction(this.id);
  }

  /** The key must hold this string; without a value there must be no such key. */
  expect(key: string, value: string | undefined, failure: Outcome): void {
    if (value === undefined) this.checks.add(CHECK.EXPECT_ABSENT, key);
    else this.checks.add(CHECK.EXPECT_VALUE, key, value);
    this.failures.push(failure);
  }

  /** The index must have fewer rows with this value. */
  limit({ collection, index, value, most, refusal }: PlannedLimit): void {
    this.checks.add(CHECK.EXPECT_FEWER_ROWS, this.names.rows(collection, index, value), String(most));
    this.failures.push({ status: 'full', refusal });
  }

  /** The indexes must have this version: that of the declaration, or the marker of a build. */
  expectVersion(collection: AnyCollection, version = String(collection.indexVersion)): void {
    this.checks.add(CHECK.EXPECT_INDEX_VERSION, this.names.collections, collection.name, version);
    this.failures.push(undefined);
  }

  remove(op: Removal, key: string, ...args: string[]): void {
    this.removals.add(op, key, ...args);
  }

  write(op: Write, key: string, ...args: string[]): void {
    this.writes.add(op, key, ...args);
  }

  /** Moves the index rows of a changed document, and updates the set of ids. */
  move(collection: AnyCollection, id: string, before: unknown, after: unknown): void {
    if (before === undefined && after !== undefined)
      this.write(WRITE.ADD_TO_SET, this.names.ids(collection), id);
    if (before !== undefined && after === undefined)
      this.remove(REMOVAL.REMOVE_FROM_SET, this.names.ids(collection), id);
    for (const { name, from, to } of indexMoves(collection, before, after)) {
      const rows = (value: string): string => this.names.rows(collection, name, value);
      if (from) this.remove(REMOVAL.REMOVE_FROM_INDEX, rows(from.value), encodeOrder(from.order) + id);
      if (to) this.write(WRITE.ADD_TO_INDEX, rows(to.value), encodeOrder(to.order) + id);
    }
  }

  /** Adds to the counters, and renders the stats from them. */
  count(collection: AnyCollection, deltas: Record<string, number>): void {
    const names = Object.keys(deltas);
    const args = names.flatMap((name) => [name, String(deltas[name])]);
    this.write(WRITE.ADD_TO_COUNTERS, this.names.counts(collection), String(names.length), ...args);
    if (!collection.stats) return;
    this.write(WRITE.RENDER_STATS, this.names.stats(collection), templateOf(collection.stats));
  }

  /** The indexes now have the version of the declaration. */
  setVersion(collection: AnyCollection): void {
    const version = String(collection.indexVersion);
    this.write(WRITE.SET_FIELD, this.names.collections, indexField(collection.name), version);
  }

  /** Gives the collection a new revision, by which watchers see the change. */
  touch(collection: AnyCollection): void {
    this.write(WRITE.SET_FIELD, this.names.collections, revisionField(collection.name), this.id);
  }

  record(events: EventRecord[]): void {
    this.events = events;
  }

  /** The outcome for a failed check; undefined for an index version, which the script reports as an error. */
  failure(operation: number): Outcome | undefined {
    return this.failures[operation - 1];
  }

  /** `KEYS` and `ARGV`. With `removesOnly` the removals come first, so that the commit passes in a full Redis. */
  build(removesOnly: boolean, keptSeconds = TX_KEPT_SECONDS): { keys: string[]; args: string[] } {
    const parts = removesOnly
      ? [this.checks, this.removals, this.writes]
      : [this.checks, this.writes, this.removals];
    const keys = [this.recordKey];
    const ops = parts.map((part) => part.ops).join('');
    const args = [
      ops,
      this.id,
      String(this.checks.ops.length),
      String(keptSeconds),
      String(IDEMPOTENCY_KEPT_SECONDS),
    ];
    for (const part of parts) {
      for (const key of part.keys) keys.push(key);
      for (const arg of part.args) args.push(arg);
    }
    args.push(String(this.events.length));
    if (this.events.length > 0) {
      keys.push(this.names.stream, this.names.eventIndex);
      // Every argument costs this process time, so all events share one: for each event a line of JSON, which contains no
      // line breaks, and a line of names.
      args.push(this.events.map(({ json, keys }) => `${json}\n${keys.map(indexName).join(' ')}\n`).join(''));
    }
    return { keys, args };
  }
}

export function programOf(names: RedisKeys, plan: Plan): CommitProgram {
  const program = new CommitProgram(names, plan.id);
  // To read a document by its id needs no index. Unique values, limits and all writes do.
  const indexed = [...plan.documents.filter(({ written }) => written), ...plan.uniques, ...plan.limits];
  for (const collection of new Set(indexed.map((one) => one.collection))) program.expectVersion(collection);
  // The record comes first: a repeated request gets its answer, whatever else has changed.
  if (plan.record) {
    const { key, before, after } = plan.record;
    program.expect(names.idempotencyRecord(key), before, {
      status: 'changed',
      what: `idempotency record ${key}`,
    });
    if (after !== undefined) program.write(WRITE.SET_IDEMPOTENCY_RECORD, names.idempotencyRecord(key), after);
  }
  for (const { name, fence, token } of plan.leases) {
    program.expect(names.lease(name), leaseValue(fence, token), { status: 'lease_lost', name });
  }
  expectUnchanged(program, names, readsOf(plan));
  expectUnchanged(program, names, assumptionsOf(plan));
  for (const limit of plan.limits) program.limit(limit);
  writeDocuments(program, names, plan);
  for (const { collection, id, json, keep } of plan.appends) {
    program.write(WRITE.APPEND_TO_LIST, names.entries(collection, id), json);
    if (keep !== undefined) program.write(WRITE.TRIM_LIST, names.entries(collection, id), String(keep));
  }
  program.record(plan.events);
  return program;
}

function expectUnchanged(program: CommitProgram, names: RedisKeys, reads: PlannedValues): void {
  expectDocuments(program, names, reads.documents);
  expectUniques(program, names, reads.uniques);
}

function expectDocuments(program: CommitProgram, names: RedisKeys, documents: PlannedDocument[]): void {
  for (const { collection, id, before, wasRead } of documents) {
    const what = documentKey(collection, id);
    const status = wasRead ? 'changed' : 'taken';
    program.expect(names.document(collection, id), before?.json, { status, what });
  }
}

/** Also writes the values, because a value that is released without having been read needs no check. */
function expectUniques(program: CommitProgram, names: RedisKeys, uniques: PlannedUnique[]): void {
  for (const { collection, name, value, wasRead, before, after, written } of uniques) {
    const key = names.unique(collection, name, value);
    if (written && after === undefined && before !== undefined && !wasRead) {
      // A database of another program may hold two documents with one value. Only its holder may release it.
      program.remove(REMOVAL.DELETE_STRING_IF_EQUAL, key, before);
      continue;
    }
    const status = wasRead || before !== undefined ? 'changed' : 'taken';
    program.expect(key, before, { status, what: `${collection.name}.${name}` });
    if (written && after === undefined) program.remove(REMOVAL.DELETE_STRING, key);
    else if (written) program.write(WRITE.SET_STRING, key, after as string);
  }
}

function writeDocuments(program: CommitProgram, names: RedisKeys, plan: Plan): void {
  const changed = new Map<AnyCollection, Record<string, number>>();
  for (const document of plan.documents) {
    if (!document.written) continue;
    const { collection } = document;
    writeDocument(program, names, document);
    const sums = changed.get(collection) ?? {};
    changed.set(collection, sums);
    const deltas = countDeltas(collection, document.before?.doc, document.after?.doc);
    for (const name of Object.keys(deltas)) sums[name] = (sums[name] ?? 0) + deltas[name];
  }
  for (const [collection, deltas] of changed) {
    program.count(collection, deltas);
    program.touch(collection);
  }
}

function writeDocument(program: CommitProgram, names: RedisKeys, document: PlannedDocument): void {
  const { collection, id, before, after } = document;
  const key = names.document(collection, id);
  if (after) program.write(WRITE.SET_STRING, key, after.json);
  else {
    program.remove(REMOVAL.DELETE_STRING, key);
    program.remove(REMOVAL.DELETE_LIST, names.entries(collection, id));
  }
  program.move(collection, id, before?.doc, after?.doc);
}

/** The value of a lease at its key. */
export function leaseValue(fence: number, token: string): string {
  return `${fence} ${token}`;
}

const templates = new WeakMap<StatsTemplate, string>();

/** The JSON with a marked place for each value. `commit.lua` fills in the values. */
function templateOf(stats: StatsTemplate): string {
  let text = templates.get(stats);
  if (text === undefined) {
    text = render(stats);
    templates.set(stats, text);
  }
  return text;
}

function render(stats: StatsTemplate): string {
  const fields = Object.entries(stats).map(([field, value]) => {
    if ('counter' in value && typeof value.counter === 'string') {
      return [field, `${MARK.COUNTER}${value.counter}${MARK.END}`];
    }
    if ('now' in value && value.now === true) return [field, `${MARK.COMPUTED}${MARK.END}`];
    if ('sum' in value && typeof value.sum === 'string') {
      const { sum, count, scale } = value as { sum: string; count: string; scale: number };
      return [field, `${MARK.COMPUTED}${[sum, count, scale].join(MARK.PART)}${MARK.END}`];
    }
    return [field, render(value as StatsTemplate)];
  });
  return `{${fields.map(([field, text]) => `${JSON.stringify(field)}:${text}`).join(',')}}`;
}
