/** A transaction as the operations of `scripts/commit.lua`: checks, then writes, each with its key and arguments. */

import { type EventRecord, indexName } from '../event-log.js';
import { countDeltas, indexMoves } from '../index-moves.js';
import { IDEMPOTENCY_KEPT_SECONDS, type StatsTemplate, TX_KEPT_SECONDS } from '../store.js';
import { type Outcome, type Plan, type PlannedDocument, type PlannedUnique } from '../transaction.js';
import { type AnyCollection, indexField, type RedisKeys, revisionField } from './keys.js';
import { encodeOrder } from './order.js';

/** The letters of `commit.lua`. */
type Check = 'a' | 'e' | 'v';
type Removal = 'D' | 'U' | 'L' | 'R' | 'J';
type Write = 'S' | 'O' | 'A' | 'I' | 'P' | 'M' | 'H' | 'T';

/** Some operations in their order. */
class Part {
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
  private readonly checks = new Part();
  private readonly removals = new Part();
  private readonly writes = new Part();
  private readonly failures: (Outcome | undefined)[] = [];
  private events: EventRecord[] = [];

  constructor(
    private readonly names: RedisKeys,
    private readonly id: string,
  ) {}

  get recordKey(): string {
    return this.names.transaction(this.id);
  }

  /** The string at the key must still be this, or absent. */
  expect(key: string, value: string | undefined, failure: Outcome): void {
    if (value === undefined) this.checks.add('a', key);
    else this.checks.add('e', key, value);
    this.failures.push(failure);
  }

  /** The indexes must be those of this declaration, or in the state that their builder left. */
  expectVersion(collection: AnyCollection, version = String(collection.indexVersion)): void {
    this.checks.add('v', this.names.collections, collection.name, version);
    this.failures.push(undefined);
  }

  remove(op: Removal, key: string, ...args: string[]): void {
    this.removals.add(op, key, ...args);
  }

  write(op: Write, key: string, ...args: string[]): void {
    this.writes.add(op, key, ...args);
  }

  /** Index rows and the membership in the set of ids, as one document becomes another. */
  move(collection: AnyCollection, id: string, before: unknown, after: unknown): void {
    if (before === undefined && after !== undefined) this.write('A', this.names.ids(collection), id);
    if (before !== undefined && after === undefined) this.remove('R', this.names.ids(collection), id);
    for (const { name, from, to } of indexMoves(collection, before, after)) {
      if (from) this.remove('J', this.names.rows(collection, name, from.value), encodeOrder(from.order) + id);
      if (to) this.write('I', this.names.rows(collection, name, to.value), encodeOrder(to.order) + id);
    }
  }

  /** Counters, and what is rendered from them. */
  count(collection: AnyCollection, deltas: Record<string, number>): void {
    const names = Object.keys(deltas);
    const args = names.flatMap((name) => [name, String(deltas[name])]);
    this.write('H', this.names.counts(collection), String(names.length), ...args);
    if (collection.stats) this.write('T', this.names.stats(collection), templateOf(collection.stats));
  }

  /** From now on the indexes are those of this declaration. */
  setVersion(collection: AnyCollection): void {
    this.write('M', this.names.collections, indexField(collection.name), String(collection.indexVersion));
  }

  /** Whoever watches the collection will see that it has changed. */
  touch(collection: AnyCollection): void {
    this.write('M', this.names.collections, revisionField(collection.name), this.id);
  }

  record(events: EventRecord[]): void {
    this.events = events;
  }

  /** What the check that failed was about; nothing for the version of an index. */
  failure(operation: number): Outcome | undefined {
    return this.failures[operation - 1];
  }

  /** `KEYS` and `ARGV`. Where only things are removed the removals come first, so that it works when Redis is full. */
  build(removesOnly: boolean, keptSeconds = TX_KEPT_SECONDS): { keys: string[]; args: string[] } {
    const parts = removesOnly
      ? [this.checks, this.removals, this.writes]
      : [this.checks, this.writes, this.removals];
    const keys = [this.recordKey];
    const ops = parts.map((part) => part.ops).join('');
    const args = [ops, this.id, String(this.checks.ops.length), String(keptSeconds), ONCE_SECONDS];
    for (const part of parts) {
      for (const key of part.keys) keys.push(key);
      for (const arg of part.args) args.push(arg);
    }
    args.push(String(this.events.length));
    if (this.events.length > 0) {
      keys.push(this.names.stream, this.names.eventIndex);
      // Arguments are what a batch costs this process, so it is one, however many events there are: a line of JSON, which
      // has no line breaks, and a line of names for each.
      args.push(this.events.map(({ json, keys }) => `${json}\n${keys.map(indexName).join(' ')}\n`).join(''));
    }
    return { keys, args };
  }
}

const ONCE_SECONDS = String(IDEMPOTENCY_KEPT_SECONDS);

export function programOf(names: RedisKeys, plan: Plan): CommitProgram {
  const program = new CommitProgram(names, plan.id);
  // What a document says depends on no index; unique values and what is written do.
  const indexed = [...plan.documents.filter(({ written }) => written), ...plan.uniques];
  for (const collection of new Set(indexed.map((one) => one.collection))) program.expectVersion(collection);
  // Before all others: whoever repeats a request gets its answer, whatever it meets besides.
  if (plan.record) {
    const { key, before, after } = plan.record;
    program.expect(names.idempotencyRecord(key), before, {
      status: 'changed',
      what: `idempotency record ${key}`,
    });
    if (after !== undefined) program.write('O', names.idempotencyRecord(key), after);
  }
  for (const { name, fence, token } of plan.leases) {
    program.expect(names.lease(name), leaseValue(fence, token), { status: 'lease_lost', name });
  }
  // What was looked at comes first: where it has changed the work runs again, and may not want the rest.
  for (const first of [true, false]) {
    expectDocuments(
      program,
      names,
      plan.documents.filter(({ looked }) => looked === first),
    );
    claimUniques(
      program,
      names,
      plan.uniques.filter(({ looked }) => looked === first),
    );
  }
  writeDocuments(program, names, plan);
  for (const { collection, id, json } of plan.appends)
    program.write('P', names.entries(collection, id), json);
  program.record(plan.events);
  return program;
}

function expectDocuments(program: CommitProgram, names: RedisKeys, documents: PlannedDocument[]): void {
  for (const { collection, id, before, looked } of documents) {
    const what = `${collection.name}/${id}`;
    const status = looked ? 'changed' : 'taken';
    program.expect(names.document(collection, id), before?.json, { status, what });
  }
}

function claimUniques(program: CommitProgram, names: RedisKeys, uniques: PlannedUnique[]): void {
  for (const { collection, name, value, looked, before, after, written } of uniques) {
    const key = names.unique(collection, name, value);
    if (written && after === undefined && before !== undefined && !looked) {
      // An adopted database may hold two documents with one value. Who does not have it has nothing to give up.
      program.remove('U', key, before);
      continue;
    }
    const status = looked || before !== undefined ? 'changed' : 'taken';
    program.expect(key, before, { status, what: `${collection.name}.${name}` });
    if (written && after === undefined) program.remove('D', key);
    else if (written) program.write('S', key, after as string);
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
  if (after) program.write('S', key, after.json);
  else {
    program.remove('D', key);
    program.remove('L', names.entries(collection, id));
  }
  program.move(collection, id, before?.doc, after?.doc);
}

/** How a lease stands at its key. */
export function leaseValue(fence: number, token: string): string {
  return `${fence} ${token}`;
}

const templates = new WeakMap<StatsTemplate, string>();

/** The JSON with a mark where each value goes; `commit.lua` puts the values in. */
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
    if ('counter' in value && typeof value.counter === 'string') return [field, `\x01${value.counter}\x02`];
    if ('now' in value && value.now === true) return [field, '\x03\x02'];
    if ('sum' in value && typeof value.sum === 'string') {
      const { sum, count, scale } = value as { sum: string; count: string; scale: number };
      return [field, `\x03${sum}\x04${count}\x04${scale}\x02`];
    }
    return [field, render(value as StatsTemplate)];
  });
  return `{${fields.map(([field, text]) => `${JSON.stringify(field)}:${text}`).join(',')}}`;
}
