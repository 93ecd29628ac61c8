/** `EventLog` in the data file. `write` appends events inside a commit of the embedded store. */

import type { RangeOptions } from 'lmdb';
import {
  comparePositions,
  EventLog,
  type EventRecord,
  type Fork,
  type IndexedEvent,
  LOG_START,
  type LogBounds,
  type LoggedEvent,
  type LogQuery,
  type LogTail,
  type ReaderPosition,
  splitPosition,
  type Tier,
  type TierBounds,
  type TrimReport,
  type Wait,
} from '../event-log.js';
import { indexName, indexNamesOf } from '../index-names.js';
import type { EmbeddedDatabase, Key } from './database.js';
import type { Table } from './table.js';

const LAST = Number.MAX_SAFE_INTEGER;
/** How many batch ids are remembered. Far fewer batches run at once. */
const BATCHES_KEPT = 1000;
/** Between the JSON of an event and its index names, in one row: neither of them has a line break. */
const SEPARATOR = '\n';
/** The marks of the trims: what `LogBounds` calls `trimmed` and `evidenceTrimmed`. */
const TRIMMED: Key = ['log-trimmed'];
/** Missing until the first trim by a release with two tiers. Before that any event may have been removed. */
const EVIDENCE_TRIMMED: Key = ['log-evidence-trimmed'];

interface Row {
  key: Key;
  value: string;
}

export class EmbeddedEventLog extends EventLog {
  readonly batchKnownMs = Number.POSITIVE_INFINITY;
  /** The file has one history: only a commit that was never acknowledged can get lost. */
  readonly history = undefined;
  private readonly batches = new Map<string, string>();
  private last: [ms: number, seq: number];
  /** The last position on disk. Readers get no event that a power failure could still remove. */
  private durable: [ms: number, seq: number];

  constructor(private readonly db: EmbeddedDatabase) {
    super();
    const [key] = [...db.log.getKeys({ reverse: true, limit: 1 })];
    const trimmed = db.meta.get(['log-last']);
    this.last = key ? [Number(key[0]), Number(key[1])] : trimmed ? splitPosition(trimmed) : [0, 0];
    this.durable = this.last;
    // Only one batch runs at a time, so everything that was written before the end of a flush is on disk.
    db.onFlush(() => {
      this.durable = this.last;
    });
  }

  async append(batchId: string, events: EventRecord[]): Promise<string> {
    const known = this.batches.get(batchId);
    if (known !== undefined) return known;
    const result = await this.db.commit(() => this.write(events));
    this.batches.set(batchId, result);
    if (this.batches.size > BATCHES_KEPT) this.batches.delete(this.batches.keys().next().value as string);
    return result;
  }

  /** An append resolves when it is on disk, so there is nothing more to wait for. */
  watchDurability(): () => Promise<void> {
    return () => Promise.resolve();
  }

  /** Only inside a commit. Returns the position of the last event. */
  write(events: EventRecord[]): string {
    const nowMs = Date.now();
    for (const { json, keys } of events) {
      // Positions must grow even if the clock is set back.
      this.last = nowMs > this.last[0] ? [nowMs, 0] : [this.last[0], this.last[1] + 1];
      const names = keys.map(indexName);
      this.db.log.putSync(this.last, json + SEPARATOR + names.join(' '));
      for (const name of names) this.db.logIndex.putSync([name, ...this.last], '');
    }
    return this.last.join('-');
  }

  async read(query: LogQuery): Promise<LoggedEvent[]> {
    const { key, order, limit } = query;
    if (key !== undefined) return this.readIndex(query, indexName(key));
    const tables = order === 'asc' ? [this.db.evidence, this.db.log] : [this.db.log, this.db.evidence];
    const [first, second] = tables as [Table, Table];
    const range = rangeOf(query, []);
    const rows = [...first.getRange({ ...range, limit })];
    if (rows.length < limit) rows.push(...second.getRange({ ...range, limit: limit - rows.length }));
    return rows.map(loggedOf);
  }

  async bounds(): Promise<LogBounds> {
    const [recent, evidence] = [boundsOf(this.db.log), boundsOf(this.db.evidence)];
    const end = lastOf(this.db.log) ?? lastOf(this.db.evidence);
    const trimmed = this.db.meta.get(TRIMMED) ?? null;
    return {
      first: evidence.first ?? recent.first,
      last: end?.position ?? null,
      end,
      length: recent.length + evidence.length,
      recent,
      evidence,
      trimmed,
      evidenceTrimmed: this.evidenceTrimmed(trimmed),
    };
  }

  async tierOf(place: ReaderPosition): Promise<Tier | undefined> {
    return this.tierAt(place);
  }

  async forks(): Promise<Fork[]> {
    return [];
  }

  acknowledged(): ReaderPosition[] {
    return [];
  }

  async next(after: ReaderPosition, limit: number, wait?: Wait): Promise<LogTail> {
    const tail = this.tailAfter(after, limit);
    if (tail.events.length > 0 || !wait) return tail;
    await this.flushed(wait);
    return wait.signal?.aborted ? { events: [], tier: 'recent' } : this.tailAfter(after, limit);
  }

  async trim(position: string, limit: number, report?: TrimReport): Promise<LoggedEvent[]> {
    const removeRows = (): LoggedEvent[] => {
      const range = { start: [0, 0], end: splitPosition(position) };
      const evidence = [...this.db.evidence.getRange({ ...range, limit })];
      const room = limit - evidence.length;
      const recent = room > 0 ? [...this.db.log.getRange({ ...range, limit: room })] : [];
      for (const { key } of evidence) this.db.evidence.removeSync(key);
      for (const { key } of recent) this.db.log.removeSync(key);
      const removed = this.noteRemoved([...evidence, ...recent].map(indexedOf), report);
      if (removed.length > 0) this.db.meta.putSync(EVIDENCE_TRIMMED, removed[removed.length - 1].position);
      return removed;
    };
    return this.db.commit(removeRows, 'none');
  }

  async trimRecent(
    limit: number,
    isKept: (event: LoggedEvent) => boolean,
    report?: TrimReport,
  ): Promise<number> {
    const takeRows = (): number => {
      const rows = [...this.db.log.getRange({ start: [0, 0], limit })];
      const removed: IndexedEvent[] = [];
      const evidenceTrimmed = this.evidenceTrimmed(this.db.meta.get(TRIMMED) ?? null) ?? LOG_START;
      this.db.meta.putSync(EVIDENCE_TRIMMED, evidenceTrimmed);
      for (const row of rows) {
        const event = indexedOf(row);
        this.db.log.removeSync(row.key);
        if (isKept(event)) this.db.evidence.putSync(row.key, row.value);
        else removed.push(event);
      }
      this.noteRemoved(removed, report);
      return rows.length;
    };
    return this.db.commit(takeRows, 'none');
  }

  /** Only inside a trim: removes the index entries of these events, reports them, and notes up to where events are missing. */
  private noteRemoved(removed: IndexedEvent[], report?: TrimReport): LoggedEvent[] {
    const { meta, logIndex } = this.db;
    for (const event of removed)
      for (const name of indexNamesOf(event)) logIndex.removeSync([name, ...splitPosition(event.position)]);
    const events = removed.map(({ position, json }) => ({ position, json }));
    const last = events.at(-1);
    if (last) {
      const before = meta.get(TRIMMED);
      if (before === undefined || comparePositions(before, last.position) < 0)
        meta.putSync(TRIMMED, last.position);
      if (report) this.write(report(events));
    }
    // The table of the recent tier may be empty now, and positions must grow also after a restart.
    meta.putSync(['log-last'], this.last.join('-'));
    return events;
  }

  private evidenceTrimmed(trimmed: string | null): string | null {
    const noted = this.db.meta.get(EVIDENCE_TRIMMED) ?? trimmed;
    return noted === LOG_START ? null : noted;
  }

  private readIndex(query: LogQuery, name: string): LoggedEvent[] {
    const found: LoggedEvent[] = [];
    for (const key of this.db.logIndex.getKeys({ ...rangeOf(query, [name]), limit: query.limit })) {
      const place = key.slice(-2);
      const value = this.db.log.get(place) ?? this.db.evidence.get(place);
      if (value !== undefined) found.push(loggedOf({ key: place, value }));
    }
    return found;
  }

  private tierAt({ position, json }: ReaderPosition): Tier | undefined {
    const key = splitPosition(position);
    const isThere = (value: string | undefined): boolean =>
      value !== undefined && (json === undefined || json === loggedOf({ key, value }).json);
    if (isThere(this.db.log.get(key))) return 'recent';
    return isThere(this.db.evidence.get(key)) ? 'evidence' : undefined;
  }

  private tailAfter(place: ReaderPosition, limit: number): LogTail {
    const tier = this.tierAt(place);
    const range = {
      ...{ start: splitPosition(place.position), end: this.durable, limit },
      ...{ exclusiveStart: true, inclusiveEnd: true },
    };
    const older = tier === 'recent' ? [] : [...this.db.evidence.getRange(range)];
    const rows = older.length > 0 ? older : [...this.db.log.getRange(range)];
    return { events: rows.map(indexedOf), tier };
  }

  /** Resolves after the next flush, or when the wait ends. */
  private flushed({ ms, signal }: Wait): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        stop();
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const stop = this.db.onFlush(done);
      const timer = setTimeout(done, ms);
      signal?.addEventListener('abort', done);
      if (signal?.aborted) done();
    });
  }
}

function rangeOf({ order, from, until, after }: LogQuery, prefix: Key): RangeOptions {
  const low: Key = [...prefix, ...(from === undefined ? [0, 0] : splitPosition(from))];
  const high: Key = [...prefix, ...(until === undefined ? [LAST, LAST] : splitPosition(until))];
  const start = after === undefined ? undefined : [...prefix, ...splitPosition(after)];
  const ends = { inclusiveEnd: true, exclusiveStart: start !== undefined };
  return order === 'asc'
    ? { ...ends, start: start ?? low, end: high }
    : { ...ends, start: start ?? high, end: low, reverse: true };
}

function boundsOf(table: Table): TierBounds {
  const [first] = [...table.getKeys({ limit: 1 })];
  return { first: first?.join('-') ?? null, length: table.getStats().entryCount };
}

function lastOf(table: Table): LoggedEvent | null {
  const [last] = [...table.getRange({ reverse: true, limit: 1 })];
  return last ? loggedOf(last) : null;
}

function loggedOf(row: Row): LoggedEvent {
  const { position, json } = indexedOf(row);
  return { position, json };
}

function indexedOf({ key, value }: Row): IndexedEvent {
  const position = key.join('-');
  const end = value.lastIndexOf(SEPARATOR);
  if (end < 0) return { position, json: value };
  return { position, json: value.slice(0, end), names: value.slice(end + 1) };
}
