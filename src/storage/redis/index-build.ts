/**
 * One build of the indexes, unique values and counters of a collection, under a lease. No commit passes during a build,
 * because `commit.lua` checks the marker of the version.
 */
import { sleep } from '../../shared/clock.js';
import { BrainError, messageOf } from '../../shared/errors.js';
import { randomId } from '../../shared/ids.js';
import { LogOnce } from '../../shared/log-once.js';
import { decode } from '../codec.js';
import { countDeltas, indexMoves } from '../index-moves.js';
import type { AnyCollection } from '../plan.js';
import type { Lease } from '../store.js';
import { WRITE } from './commit-operations.js';
import { CommitProgram, leaseValue } from './commit-program.js';
import { unavailable } from './errors.js';
import { indexField } from './keys.js';
import type { RedisLeases } from './leases.js';
import type { RedisLink } from './link.js';
import { encodeOrder } from './order.js';
import { SCRIPTS } from './scripts.js';

/** The lease is renewed after each chunk. */
export const BUILD_LEASE_MS = 10_000;
const SCAN_COUNT = 4000;
/** Documents per script call, so that it blocks Redis for only a few milliseconds. */
const CHUNK = 200;
/** A chunk fails its build after this many reads, each of which another program made out of date. */
const MAX_CHUNK_ATTEMPTS = 20;
const CHUNK_BACKOFF_MS = 5;
const PROGRESS_LOG_MS = 5000;
/** The log names at most this many of the documents that the indexes leave out. */
const MAX_REASONS = 5;

interface Report {
  built: number;
  unreadable: number;
  /** Documents with a unique value that another document already holds. The first one keeps it. */
  rivals: number;
  /** Why the first few documents of both kinds were left out. */
  reasons: string[];
}

/** A document as it was read, with the keys of its unique values. */
interface ReadDocument {
  id: string;
  json: string;
  doc: unknown;
  claims: [name: string, key: string][];
}

function emptyReport(): Report {
  return { built: 0, unreadable: 0, rivals: 0, reasons: [] };
}

export class IndexBuild {
  private readonly report = emptyReport();
  private readonly marker: string;
  private readonly progressLog = new LogOnce(PROGRESS_LOG_MS);
  private readonly retryLog = new LogOnce();

  constructor(
    private readonly link: RedisLink,
    private readonly leases: RedisLeases,
    private readonly collection: AnyCollection,
    private readonly lease: Lease,
  ) {
    this.marker = `building ${collection.indexVersion} ${lease.fence}`;
  }

  async run(): Promise<void> {
    const { collection, report, marker } = this;
    const { keys, log } = this.link;
    const startedMs = performance.now();
    // So the first line about the progress comes after the first interval.
    this.progressLog.isDue();
    await this.link.command('hset', [keys.collections, indexField(collection.name), marker]);
    for await (const old of this.scan(keys.indexes(collection))) await this.link.command('unlink', old);
    const prefix = keys.document(collection, '');
    for await (const found of this.scan(prefix)) {
      for (let i = 0; i < found.length; i += CHUNK) {
        const ids = found.slice(i, i + CHUNK).map((key) => key.slice(prefix.length));
        await this.buildChunkWithRetry(ids);
        await this.progress();
      }
    }
    const missing = await this.missing();
    await this.finish();
    const seconds = (performance.now() - startedMs) / 1000;
    if (report.built + report.unreadable + missing === 0) return;
    const { built, unreadable, rivals, reasons } = report;
    const counts = { documents: built, unreadable, rivals, ids_without_document: missing, seconds };
    const untouched = unreadable + rivals > 0 ? `; left as they are: ${reasons.join(', ')}` : '';
    log.info(`${collection.name}: the indexes are built${untouched}`, counts);
  }

  private async buildChunkWithRetry(ids: string[]): Promise<void> {
    const { name } = this.collection;
    for (let attempt = 1; !(await this.buildChunk(ids)); attempt += 1) {
      if (attempt >= MAX_CHUNK_ATTEMPTS) {
        const detail =
          `Another program keeps changing documents of ${name}, so their indexes cannot be built. Stop its writes; the ` +
          'next request starts the build again.';
        throw unavailable('index_rebuilding', detail);
      }
      if (this.retryLog.isDue()) {
        const message = `${name}: another program changed a document during the build of the indexes; reading it again`;
        this.link.log.warn(message, { attempt });
      }
      await sleep(attempt * CHUNK_BACKOFF_MS);
    }
  }

  /** False if another program has changed a document since it was read. Such a program does not know the marker. */
  private async buildChunk(ids: string[]): Promise<boolean> {
    const { collection } = this;
    const { keys } = this.link;
    const documents = ids.map((id) => keys.document(collection, id));
    const jsons = (await this.link.command('mget', documents)) as (string | null)[];
    const chunk = emptyReport();
    const found: ReadDocument[] = [];
    for (const [i, id] of ids.entries()) {
      try {
        found.push(this.read(id, jsons[i] ?? undefined));
        chunk.built += 1;
      } catch (error) {
        chunk.unreadable += 1;
        chunk.reasons.push(`${id} (${reasonOf(error)})`);
      }
    }
    const holders = await this.holders(found);
    const program = this.program();
    const sums: Record<string, number> = {};
    for (const { id, json, doc, claims } of found) {
      program.expect(keys.document(collection, id), json, { status: 'changed', what: id });
      program.move(collection, id, undefined, doc);
      for (const [name, delta] of Object.entries(countDeltas(collection, undefined, doc)))
        sums[name] = (sums[name] ?? 0) + delta;
      for (const [name, key] of claims) {
        const holder = holders.get(key) ?? id;
        holders.set(key, holder);
        program.write(WRITE.SET_STRING, key, holder);
        if (holder === id) continue;
        chunk.rivals += 1;
        chunk.reasons.push(`${id} (${holder} holds its ${name})`);
      }
    }
    program.count(collection, sums);
    if (!(await this.commit(program))) return false;
    this.addToReport(chunk);
    return true;
  }

  private addToReport({ built, unreadable, rivals, reasons }: Report): void {
    const { report } = this;
    report.built += built;
    report.unreadable += unreadable;
    report.rivals += rivals;
    report.reasons.push(...reasons.slice(0, MAX_REASONS - report.reasons.length));
  }

  /** Throws if the document cannot be indexed. The message becomes a reason in the log. */
  private read(id: string, json: string | undefined): ReadDocument {
    const { collection } = this;
    if (json === undefined) throw new Error('its key does not hold a string');
    const doc: unknown = decode(collection, id, json);
    if (collection.id(doc) !== id) throw new Error(`its id is ${collection.id(doc)}`);
    for (const { to } of indexMoves(collection, undefined, doc)) if (to) encodeOrder(to.order);
    for (const [name, delta] of Object.entries(countDeltas(collection, undefined, doc))) {
      if (!Number.isSafeInteger(delta)) throw new Error(`its ${name} is not an integer`);
    }
    const claims: ReadDocument['claims'] = [];
    for (const [name, valueIn] of Object.entries(collection.unique ?? {})) {
      const value = valueIn(doc);
      if (value !== null) claims.push([name, this.link.keys.unique(collection, name, value)]);
    }
    return { id, json, doc, claims };
  }

  /** The documents of earlier chunks that hold these unique values, by key. */
  private async holders(found: ReadDocument[]): Promise<Map<string, string>> {
    const claimed = found.flatMap(({ claims }) => claims.map(([, key]) => key));
    const holders = new Map<string, string>();
    if (claimed.length === 0) return holders;
    const values = (await this.link.command('mget', claimed)) as (string | null)[];
    for (const [i, key] of claimed.entries()) if (values[i]) holders.set(key, values[i]);
    return holders;
  }

  /** Counts the ids without a document in the set of ids. They stay there, because other programs read that set. */
  private async missing(): Promise<number> {
    const { keys } = this.link;
    let missing = 0;
    let cursor = '0';
    do {
      const args = [keys.ids(this.collection), cursor, 'COUNT', SCAN_COUNT];
      const [next, ids] = (await this.link.command('sscan', args)) as [string, string[]];
      cursor = next;
      const documents = ids.map((id) => keys.document(this.collection, id));
      if (ids.length > 0) missing += ids.length - Number(await this.link.command('exists', documents));
    } while (cursor !== '0');
    return missing;
  }

  private async finish(): Promise<void> {
    const { collection } = this;
    const program = this.program();
    program.count(collection, {});
    program.setVersion(collection);
    program.touch(collection);
    await this.commit(program);
  }

  /** A program that checks that this replica still holds the lease and the marker. */
  private program(): CommitProgram {
    const { collection, lease, marker } = this;
    const program = new CommitProgram(this.link.keys, randomId(16));
    const value = leaseValue(lease.fence, lease.token);
    program.expect(this.link.keys.lease(lease.name), value, { status: 'lease_lost', name: lease.name });
    program.expectVersion(collection, marker);
    return program;
  }

  /** False if a document is no longer as it was read. */
  private async commit(program: CommitProgram): Promise<boolean> {
    const { keys, args } = program.build(false);
    const outcome = await this.link.script(SCRIPTS.commit, keys, args);
    if (typeof outcome !== 'number') return true;
    if (program.failure(outcome)?.status === 'changed') return false;
    throw unavailable(
      'index_rebuilding',
      'Another replica has started to build the indexes; try again in a moment.',
    );
  }

  private async progress(): Promise<void> {
    const { lease, collection, report } = this;
    if (!(await this.leases.renew(lease, BUILD_LEASE_MS))) {
      throw unavailable(
        'index_rebuilding',
        'This replica has lost the lease to build the indexes; try again in a moment.',
      );
    }
    if (this.progressLog.isDue())
      this.link.log.info(`${collection.name}: building the indexes`, { documents: report.built });
  }

  /** All keys with this prefix, some at a time. A key that exists during the whole scan is found for certain. */
  private async *scan(prefix: string): AsyncGenerator<string[]> {
    let cursor = '0';
    do {
      const args = [cursor, 'MATCH', `${prefix}*`, 'COUNT', SCAN_COUNT];
      const [next, keys] = (await this.link.command('scan', args)) as [string, string[]];
      cursor = next;
      if (keys.length > 0) yield keys;
    } while (cursor !== '0');
  }
}

function reasonOf(error: unknown): string {
  return error instanceof BrainError && error.more.cause !== undefined
    ? messageOf(error.more.cause)
    : messageOf(error);
}
