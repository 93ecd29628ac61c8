/** `Store` on Redis: many processes, and one script call per commit. */
import { within } from '../../shared/clock.js';
import { isBrainError } from '../../shared/errors.js';
import { randomId } from '../../shared/ids.js';
import { BackendStore } from '../backend-store.js';
import {
  type AnyCollection,
  type Outcome,
  type Plan,
  readsOneThing,
  removesOnly,
  writesNothing,
  writtenCollections,
} from '../plan.js';
import type { Collection, IdempotencyKey, ListQuery, Page, StoreHealth, StoreTime, Tx } from '../store.js';
import { WriteCheck } from '../write-check.js';
import { RedisClock } from './clock.js';
import { WRITE } from './commit-operations.js';
import { CommitProgram, programOf } from './commit-program.js';
import { explained, unavailable } from './errors.js';
import { healthOf } from './health.js';
import { IndexBuilder } from './index-builder.js';
import { RedisLeases } from './leases.js';
import type { RedisLink } from './link.js';
import { listPage } from './list.js';
import type { ReplicaAck } from './replica-ack.js';
import { SCRIPTS, type Script } from './scripts.js';
import { TransactionRecords } from './transaction-records.js';
import { Watcher } from './watcher.js';

const NO_TIME =
  'Redis does not report its time. So no mission becomes due, and nothing is removed for its age. Allow the user in REDIS_URL ' +
  'the command TIME.';
/** A caller must get an answer within two seconds, whatever the commands of its transaction wait for. */
const TRANSACTION_MS = 1750;

export class RedisStore extends BackendStore {
  readonly kind = 'redis';
  private readonly sequences: RedisLeases;
  private readonly time: RedisClock;
  private readonly indexes: IndexBuilder;
  private readonly watcher: Watcher;
  private readonly transactionRecords: TransactionRecords;
  private readonly writeCheck = new WriteCheck(() => this.tryWrite());

  constructor(
    private readonly link: RedisLink,
    private readonly replicaAck: ReplicaAck,
  ) {
    const leases = new RedisLeases(link);
    super(leases);
    this.sequences = leases;
    this.time = new RedisClock(link);
    this.indexes = new IndexBuilder(link, leases);
    this.watcher = new Watcher(link);
    this.transactionRecords = new TransactionRecords(link);
  }

  declare<T>(collection: Collection<T>): void {
    this.indexes.declare(collection);
  }

  override transaction<T>(
    work: (tx: Tx) => Promise<T> | T,
    options: { idempotency?: IdempotencyKey } = {},
  ): Promise<T> {
    const detail =
      'The store takes too long. The outcome of this request may be unknown; try again in a moment.';
    const late = (): Error => unavailable('store_timeout', detail);
    return within(TRANSACTION_MS, super.transaction(work, options), late);
  }

  list<T>(collection: Collection<T>, query: ListQuery): Promise<Page<T>> {
    return this.indexed(collection, () => listPage(this.link, collection, query));
  }

  async counts<T>(collection: Collection<T>): Promise<Record<string, number>> {
    const { keys } = this.link;
    const key = keys.counts(collection);
    const pairs = (await this.onIndex(collection, SCRIPTS.counts, key)) as string[];
    const counts: Record<string, number> = { total: 0 };
    for (let i = 0; i < pairs.length; i += 2) {
      const name = pairs[i];
      const value = Number(pairs[i + 1]);
      if (!Number.isSafeInteger(value)) throw explained(new Error(`DAMAGED ${name} of ${key}`));
      counts[name] = value;
    }
    return counts;
  }

  clock(): StoreTime {
    return this.time.now();
  }

  watch<T>(collection: Collection<T>, changed: () => void): () => void {
    return this.watcher.watch(collection.name, changed);
  }

  watchedUntilMs(): number {
    return this.watcher.untilMs;
  }

  async health(): Promise<StoreHealth> {
    const health = await healthOf((name, args) => this.link.command(name, args), this.writeCheck);
    if (health.ok && !this.time.isKnown) health.warnings.push(NO_TIME);
    return health;
  }

  async close(): Promise<void> {
    this.time.close();
    this.watcher.close();
    await this.link.close();
  }

  protected async read(collection: AnyCollection, id: string): Promise<string | undefined> {
    const key = this.link.keys.document(collection, id);
    return ((await this.link.command('get', [key])) as string | null) ?? undefined;
  }

  protected async readUnique(
    collection: AnyCollection,
    name: string,
    value: string,
  ): Promise<string | undefined> {
    const key = this.link.keys.unique(collection, name, value);
    return ((await this.onIndex(collection, SCRIPTS.unique, key)) as string | null) ?? undefined;
  }

  protected async readEntries(
    collection: AnyCollection,
    id: string,
    offset: number,
    limit: number,
  ): Promise<string[]> {
    const key = this.link.keys.entries(collection, id);
    return (await this.link.command('lrange', [key, offset, offset + limit - 1])) as string[];
  }

  async readRecord(key: string): Promise<string | undefined> {
    return (
      ((await this.link.command('get', [this.link.keys.idempotencyRecord(key)])) as string | null) ??
      undefined
    );
  }

  next(sequence: string): Promise<number> {
    return this.sequences.next(sequence);
  }

  async commit(planned: Plan): Promise<Outcome> {
    // With BRAIN_REDIS_WAIT the check reads again, so that the read and its WAIT use the same connection.
    const needsNoCheck = readsOneThing(planned) && this.link.waitFor === 0;
    if (needsNoCheck && !planned.record) return { status: 'done' };
    const plan = needsNoCheck ? { ...planned, documents: [], uniques: [] } : planned;
    const program = programOf(this.link.keys, plan);
    const { keys, args } = program.build(removesOnly(plan));
    const { epoch } = this.link;
    let answer: unknown;
    try {
      answer = await this.link.script(SCRIPTS.commit, keys, args);
    } catch (error) {
      return this.onError(plan, error);
    }
    if (typeof answer === 'number') return this.onCheckFailed(program.failure(answer) as Outcome);
    if (writesNothing(plan)) return { status: 'done', durable: this.replicaAck.ofRead() };
    // After a reconnect a first copy of the request may still arrive. Then the record must stay.
    if (this.link.epoch === epoch) this.transactionRecords.forget(program.recordKey);
    return this.onCommitted(plan, String(answer));
  }

  private async onError(plan: Plan, error: unknown): Promise<Outcome> {
    this.writeCheck.doubted();
    const collection = isBrainError(error, 'index_rebuilding') && staleOf(plan, error.more.cause);
    if (!collection) throw error;
    // The work may have read by the wrong indexes. It runs again when they are built.
    await this.indexes.ready(collection);
    return { status: 'changed', what: `indexes/${collection.name}` };
  }

  /** `taken` and `full` are answered to the caller, so what they follow from must be durable. */
  private onCheckFailed(failure: Outcome): Outcome {
    const isAnswer = failure.status === 'taken' || failure.status === 'full';
    return isAnswer ? { ...failure, durable: this.replicaAck.ofRead() } : failure;
  }

  /** `record` is the record of the transaction: the position of its last event, and why the log refused its events. */
  private onCommitted(plan: Plan, record: string): Outcome {
    for (const name of writtenCollections(plan)) this.watcher.committed(name, plan.id);
    const [position, refused] = record.split('\n');
    if (position) this.link.histories.acknowledge(position, plan.events.at(-1)?.json);
    const durable = this.replicaAck.ofWritten();
    // A full Redis takes removals, so only other writes show that it takes writes.
    if (!removesOnly(plan)) this.writeCheck.follow(durable);
    return { status: 'done', position, refused, durable };
  }

  /** A commit that changes nothing. Redis refuses it when it refuses all other commits. */
  private async tryWrite(): Promise<void> {
    const program = new CommitProgram(this.link.keys, randomId(16));
    program.write(WRITE.SET_STRING, this.link.keys.barrier, '');
    const { keys, args } = program.build(false);
    await this.link.script(SCRIPTS.commit, keys, args);
    this.transactionRecords.forget(program.recordKey);
    await this.replicaAck.ofWritten();
  }

  private onIndex(collection: AnyCollection, script: Script, key: string): Promise<unknown> {
    const keys = [this.link.keys.collections, key];
    const args = [collection.name, collection.indexVersion];
    return this.indexed(collection, () => this.link.script(script, keys, args));
  }

  /** Reads by an index. A missing index is built first. */
  private async indexed<T>(collection: AnyCollection, read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      if (!isBrainError(error, 'index_rebuilding')) throw error;
      await this.indexes.ready(collection);
      return read();
    }
  }
}

function staleOf(plan: Plan, cause: unknown): AnyCollection | undefined {
  const name = /^STALEINDEX (.+)$/.exec(cause instanceof Error ? cause.message : '')?.[1];
  return [...plan.documents, ...plan.uniques, ...plan.limits].find(
    ({ collection }) => collection.name === name,
  )?.collection;
}
