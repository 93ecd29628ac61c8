/**
 * Makes the indexes, unique values and counters of a collection those of its declaration: where they are missing, as
 * in a database that another program filled, or of another version. One replica builds under a lease, the others wait.
 * While it builds no commit passes: its script looks at the marker.
 */

import { sleep } from '../../shared/clock.js';
import { BrainError, messageOf } from '../../shared/errors.js';
import { randomId } from '../../shared/ids.js';
import { countDeltas, indexMoves } from '../index-moves.js';
import type { Lease } from '../store.js';
import { decode, type Outcome } from '../transaction.js';
import { CommitProgram, leaseValue } from './commit-program.js';
import { unavailable } from './errors.js';
import { type AnyCollection, indexField } from './keys.js';
import type { RedisLeases } from './leases.js';
import type { RedisLink } from './link.js';
import { encodeOrder } from './order.js';
import { SCRIPTS } from './scripts.js';

/** How long a request waits for indexes that are being built. */
const REQUEST_WAIT_MS = 1500;
const LEASE_MS = 10_000;
const RETRY_MS = 250;
const SCAN_COUNT = 4000;
/** Documents per script: it must not hold up Redis for more than some milliseconds. */
const CHUNK = 200;
const PROGRESS_MS = 5000;
/** How many of the documents that cannot be read are named. */
const NAMED = 5;

interface Build {
  collection: AnyCollection;
  lease: Lease;
  marker: string;
  report: Report;
  toldMs: number;
}

interface Report {
  built: number;
  unreadable: number;
  /** Documents which claim a unique value that another one has; the other keeps it. */
  rivals: number;
  /** The first few of both, with the reason. */
  reasons: string[];
}

/** A document as it was found, and the keys of its unique values by their names. */
interface Found {
  id: string;
  json: string;
  doc: unknown;
  claims: [name: string, key: string][];
}

export class IndexBuilder {
  private readonly declared = new Map<string, AnyCollection>();
  private readonly running = new Map<string, Promise<void>>();
  private readonly wasReady = new Set<string>();

  constructor(
    private readonly link: RedisLink,
    private readonly leases: RedisLeases,
  ) {
    link.onConnect(() => {
      for (const collection of this.declared.values()) this.start(collection);
    });
  }

  declare(collection: AnyCollection): void {
    if (this.declared.has(collection.name)) return;
    this.declared.set(collection.name, collection);
    this.start(collection);
  }

  /** Resolves when the indexes are those of the declaration; a request waits for it only so long. */
  async ready(collection: AnyCollection): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const detail = `The indexes of ${collection.name} are being built; try again in a moment.`;
      timer = setTimeout(() => reject(unavailable('index_rebuilding', detail)), REQUEST_WAIT_MS);
    });
    try {
      await Promise.race([this.prepared(collection), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  private start(collection: AnyCollection): void {
    this.prepared(collection).catch((error: unknown) => {
      if (!this.link.closed) {
        this.link.log.error(`${collection.name}: the indexes are not ready`, { cause: messageOf(error) });
      }
    });
  }

  private prepared(collection: AnyCollection): Promise<void> {
    const running = this.running.get(collection.name);
    if (running) return running;
    const prepare = this.prepare(collection).finally(() => this.running.delete(collection.name));
    this.running.set(collection.name, prepare);
    return prepare;
  }

  private async prepare(collection: AnyCollection): Promise<void> {
    const { name, indexVersion } = collection;
    while (!this.link.closed) {
      const marker = (await this.link.command('hget', [this.link.keys.collections, indexField(name)])) as
        | string
        | null;
      if (marker === String(indexVersion)) {
        this.wasReady.add(name);
        return;
      }
      // Two releases that run side by side must not build against each other without end: the newer one wins.
      if (this.wasReady.has(name) && Number(marker) > indexVersion) {
        const detail = `The indexes of ${name} belong to a newer release; this replica must be upgraded or restarted.`;
        throw unavailable('index_rebuilding', detail);
      }
      const lease = await this.leases.acquire(`index:${name}`, LEASE_MS);
      if (lease) {
        try {
          await this.build(collection, lease);
        } finally {
          await this.leases.release(lease).catch(() => undefined);
        }
      } else await sleep(RETRY_MS);
    }
  }

  private async build(collection: AnyCollection, lease: Lease): Promise<void> {
    const { keys, log } = this.link;
    const startedMs = performance.now();
    const marker = `building ${collection.indexVersion} ${lease.fence}`;
    const report: Report = { built: 0, unreadable: 0, rivals: 0, reasons: [] };
    const build = { collection, lease, marker, report, toldMs: startedMs };
    await this.link.command('hset', [keys.collections, indexField(collection.name), marker]);
    for await (const old of this.scan(keys.indexes(collection))) await this.link.command('unlink', old);
    const prefix = keys.document(collection, '');
    for await (const found of this.scan(prefix)) {
      for (let i = 0; i < found.length; i += CHUNK) {
        const ids = found.slice(i, i + CHUNK).map((key) => key.slice(prefix.length));
        while (!(await this.buildChunk(build, ids)));
        await this.progress(build);
      }
    }
    const missing = await this.missing(collection);
    await this.finish(build);
    const seconds = (performance.now() - startedMs) / 1000;
    if (report.built + report.unreadable + missing === 0) return;
    const { built, unreadable, rivals, reasons } = report;
    const counts = { documents: built, unreadable, rivals, ids_without_document: missing, seconds };
    const untouched = unreadable + rivals > 0 ? `; left as they are: ${reasons.join(', ')}` : '';
    log.info(`${collection.name}: the indexes are built${untouched}`, counts);
  }

  /** False where a document was changed meanwhile by somebody who knows nothing of indexes; then it is read again. */
  private async buildChunk(build: Build, ids: string[]): Promise<boolean> {
    const { collection, report } = build;
    const { keys } = this.link;
    const documents = ids.map((id) => keys.document(collection, id));
    const jsons = (await this.link.command('mget', documents)) as (string | null)[];
    const chunk: Report = { built: 0, unreadable: 0, rivals: 0, reasons: [] };
    const found: Found[] = [];
    for (const [i, id] of ids.entries()) {
      try {
        found.push(this.read(collection, id, jsons[i] ?? undefined));
        chunk.built += 1;
      } catch (error) {
        chunk.unreadable += 1;
        chunk.reasons.push(`${id} (${reasonOf(error)})`);
      }
    }
    const holders = await this.holders(found);
    const program = this.program(build);
    const sums: Record<string, number> = {};
    for (const { id, json, doc, claims } of found) {
      program.expect(keys.document(collection, id), json, { status: 'changed', what: id });
      program.move(collection, id, undefined, doc);
      for (const [name, delta] of Object.entries(countDeltas(collection, undefined, doc)))
        sums[name] = (sums[name] ?? 0) + delta;
      for (const [name, key] of claims) {
        const holder = holders.get(key) ?? id;
        holders.set(key, holder);
        program.write('S', key, holder);
        if (holder === id) continue;
        chunk.rivals += 1;
        chunk.reasons.push(`${id} (its ${name} is that of ${holder})`);
      }
    }
    program.count(collection, sums);
    if (!(await this.commit(program))) return false;
    report.built += chunk.built;
    report.unreadable += chunk.unreadable;
    report.rivals += chunk.rivals;
    report.reasons.push(...chunk.reasons.slice(0, NAMED - report.reasons.length));
    return true;
  }

  /** Throws where it cannot be indexed, for whatever reason. */
  private read(collection: AnyCollection, id: string, json: string | undefined): Found {
    if (json === undefined) throw new Error('its key holds no string');
    const doc: unknown = decode(collection, id, json);
    if (collection.id(doc) !== id) throw new Error(`its id is ${collection.id(doc)}`);
    for (const { to } of indexMoves(collection, undefined, doc)) if (to) encodeOrder(to.order);
    for (const [name, delta] of Object.entries(countDeltas(collection, undefined, doc))) {
      if (!Number.isSafeInteger(delta)) throw new Error(`its ${name} is no integer`);
    }
    const claims: Found['claims'] = [];
    for (const [name, of] of Object.entries(collection.unique ?? {})) {
      const value = of(doc);
      if (value !== null) claims.push([name, this.link.keys.unique(collection, name, value)]);
    }
    return { id, json, doc, claims };
  }

  /** Who has the unique values already, from chunks before. */
  private async holders(found: Found[]): Promise<Map<string, string>> {
    const claimed = found.flatMap(({ claims }) => claims.map(([, key]) => key));
    const holders = new Map<string, string>();
    if (claimed.length === 0) return holders;
    const values = (await this.link.command('mget', claimed)) as (string | null)[];
    for (const [i, key] of claimed.entries()) if (values[i]) holders.set(key, values[i]);
    return holders;
  }

  /** Ids in the set which other programs read that have no document; they are left there, and counted. */
  private async missing(collection: AnyCollection): Promise<number> {
    const { keys } = this.link;
    let missing = 0;
    let cursor = '0';
    do {
      const args = [keys.ids(collection), cursor, 'COUNT', SCAN_COUNT];
      const [next, ids] = (await this.link.command('sscan', args)) as [string, string[]];
      cursor = next;
      const documents = ids.map((id) => keys.document(collection, id));
      if (ids.length > 0) missing += ids.length - Number(await this.link.command('exists', documents));
    } while (cursor !== '0');
    return missing;
  }

  private async finish(build: Build): Promise<void> {
    const { collection } = build;
    const program = this.program(build);
    program.count(collection, {});
    program.setVersion(collection);
    program.touch(collection);
    await this.commit(program);
  }

  /** Every step demands that the lease and the marker are still ours. */
  private program({ collection, lease, marker }: Build): CommitProgram {
    const program = new CommitProgram(this.link.keys, randomId(16));
    const value = leaseValue(lease.fence, lease.token);
    program.expect(this.link.keys.lease(lease.name), value, { status: 'lease_lost', name: lease.name });
    program.expectVersion(collection, marker);
    return program;
  }

  /** False where a document is no longer as it was read. */
  private async commit(program: CommitProgram): Promise<boolean> {
    const { keys, args } = program.build(false);
    const outcome = await this.link.script(SCRIPTS.commit, keys, args);
    if (typeof outcome !== 'number') return true;
    const failure: Outcome | undefined = program.failure(outcome);
    if (failure?.status === 'changed') return false;
    throw unavailable(
      'index_rebuilding',
      'Another replica has begun to build the indexes; try again in a moment.',
    );
  }

  private async progress(build: Build): Promise<void> {
    const { lease, collection, report } = build;
    if (!(await this.leases.renew(lease, LEASE_MS))) {
      throw unavailable(
        'index_rebuilding',
        'The lease to build the indexes was lost; try again in a moment.',
      );
    }
    if (performance.now() - build.toldMs < PROGRESS_MS) return;
    build.toldMs = performance.now();
    this.link.log.info(`${collection.name}: building the indexes`, { documents: report.built });
  }

  /** All keys with this prefix, some at a time; one that is there all the while is sure to be among them. */
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
