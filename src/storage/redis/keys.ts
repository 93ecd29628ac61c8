/** The name of every key that we have in Redis. */
import { digest, sha256 } from '../../shared/ids.js';
import { indexName } from '../event-log.js';
import { ALL } from '../index-moves.js';
import { type PlannedDocument } from '../transaction.js';

/** One adapter keeps the documents of many collections. */
export type AnyCollection = PlannedDocument['collection'];

/**
 * The names of all keys. The first ones stand in the contract and are read by other programs; everything of our own is
 * under `sys`. Values that come from users are hashed, except the ids, which the contract wants as they are.
 */
export class RedisKeys {
  readonly stream: string;
  /** A hash with two fields for each collection: the version of its indexes, and its revision. */
  readonly collections: string;
  readonly fences: string;
  /** Written for its place in the replication: what stands before it has reached whoever has it. */
  readonly barrier: string;
  /** A hash: the id of each server that took writes, and where its history of the log begins. */
  readonly terms: string;

  constructor(readonly prefix: string) {
    this.stream = `${prefix}:events:stream`;
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

  /** Under which all indexes, unique values and counters of a collection stand, whatever their version. */
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

  /** What the keys of the events' index begin with; the name of what they are found by follows. */
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

/** The fields of `collections`. */
export function indexField(name: string): string {
  return `${name}.index`;
}

export function revisionField(name: string): string {
  return `${name}.revision`;
}
