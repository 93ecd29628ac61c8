/** The name of every key in Redis. */
import { digest, sha256 } from '../../shared/ids.js';
import { ALL } from '../index-moves.js';
import { indexName } from '../index-names.js';
import type { AnyCollection } from '../plan.js';

/**
 * Other programs may read the documents, ids, entries, stats and the stream (docs/redis.md). The keys under `sys` and the
 * documents of the remaining collections are private. A value that comes from a user is hashed. The ids are not, because
 * other programs find documents by them.
 */
export class RedisKeys {
  /** The recent tier of the event log. */
  readonly stream: string;
  readonly evidence: string;
  /** A hash: how far the trims of the log have come. `scripts/log-marks.lua` has its fields. */
  readonly trims: string;
  /** A hash with two fields for each collection: the version of its indexes, and its revision. */
  readonly collections: string;
  readonly fences: string;
  /** A replica that has this write also has every write before it. See `ReplicaAck`. */
  readonly barrier: string;
  /** A hash: the id of each server that took writes, and the position where its history of the log begins. */
  readonly terms: string;

  constructor(readonly prefix: string) {
    this.stream = `${prefix}:events:stream`;
    this.evidence = `${prefix}:events:evidence`;
    this.trims = `${prefix}:sys:trims`;
    this.collections = `${prefix}:sys:collections`;
    this.fences = `${prefix}:sys:fences`;
    this.barrier = `${prefix}:sys:barrier`;
    this.terms = `${prefix}:sys:terms`;
  }

  document({ name, item }: AnyCollection, id: string): string {
    return `${this.prefix}:${name}:${item}:${id}`;
  }

  ids({ name }: AnyCollection): string {
    return `${this.prefix}:${name}:index`;
  }

  entries({ name }: AnyCollection, id: string): string {
    return `${this.prefix}:${name}:log:${id}`;
  }

  stats({ name }: AnyCollection): string {
    return `${this.prefix}:${name}:stats`;
  }

  /** The prefix of all indexes, unique values and counters of a collection, of every version. */
  indexes({ name }: AnyCollection): string {
    return `${this.prefix}:sys:index:${name}:`;
  }

  rows(collection: AnyCollection, name: string, value: string): string {
    const place = name === ALL ? ALL : `${name}:${digest(value)}`;
    return `${this.indexes(collection)}${collection.indexVersion}:rows:${place}`;
  }

  unique(collection: AnyCollection, name: string, value: string): string {
    return `${this.indexes(collection)}${collection.indexVersion}:unique:${name}:${digest(value)}`;
  }

  counts(collection: AnyCollection): string {
    return `${this.indexes(collection)}${collection.indexVersion}:counts`;
  }

  /** The prefix of the keys of the event index. The name of the index key follows. */
  get eventIndex(): string {
    return `${this.prefix}:sys:events:`;
  }

  events(key: string): string {
    return this.eventIndex + indexName(key);
  }

  transaction(id: string): string {
    return `${this.prefix}:sys:tx:${id}`;
  }

  idempotencyRecord(key: string): string {
    return `${this.prefix}:sys:once:${sha256(key)}`;
  }

  sequence(name: string): string {
    return `${this.prefix}:sys:sequence:${name}`;
  }

  lease(name: string): string {
    return `${this.prefix}:sys:lease:${digest(name)}`;
  }
}

/** The fields of the hash `collections`. */
export function indexField(name: string): string {
  return `${name}.index`;
}

export function revisionField(name: string): string {
  return `${name}.revision`;
}
