/** `EventLog` in the data file. `write` appends events inside a commit of the embedded store. */
import {
  EventLog,
  type EventRecord,
  type Fork,
  type IndexedEvent,
  type LogBounds,
  type LoggedEvent,
  type LogQuery,
  type LogTail,
  type ReaderPosition,
  splitPosition,
  type Wait,
} from '../event-log.js';
import { indexName, indexNamesOf } from '../index-names.js';
import type { EmbeddedDatabase, Key } from './database.js';

const LAST = Number.MAX_SAFE_INTEGER;
/** How many batch ids are remembered. Far fewer batches run at once. */
const BATCHES_KEPT = 1000;
/** Between the JSON of an event and its index names, in one row: neither of them has a line break. */
const SEPARATOR = '\n';

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
    const prefix: Key = query.key === undefined ? [] : [indexName(query.key)];
    const low: Key = [...prefix, ...(query.from === undefined ? [0, 0] : splitPosition(query.from))];
    const high: Key = [...prefix, ...(query.until === undefined ? [LAST, LAST] : splitPosition(query.until))];
    const after = query.after === undefined ? undefined : [...prefix, ...splitPosition(query.after)];
    const exclusiveStart = after !== undefined;
    const range =
      query.order === 'asc'
        ? { start: after ?? low, end: high, inclusiveEnd: true, exclusiveStart }
        : { start: after ?? high, end: low, reverse: true, inclusiveEnd: true, exclusiveStart };
    if (query.key === undefined)
      return [...this.db.log.getRange({ ...range, limit: query.limit })].map(loggedOf);
    const found: LoggedEvent[] = [];
    for (const key of this.db.logIndex.getKeys({ ...range, limit: query.limit })) {
      const place = key.slice(-2);
      const value = this.db.log.get(place);
      if (value !== undefined) found.push(loggedOf({ key: place, value }));
    }
    return found;
  }

  async bounds(): Promise<LogBounds> {
    const [first] = [...this.db.log.getKeys({ limit: 1 })];
    const [last] = [...this.db.log.getRange({ reverse: true, limit: 1 })];
    const end = last ? loggedOf(last) : null;
    const length = Number((this.db.log.getStats() as { entryCount: number }).entryCount);
    const trimmed = this.db.meta.get(['log-trimmed']) ?? null;
    return { first: first?.join('-') ?? null, last: end?.position ?? null, end, length, trimmed };
  }

  async has({ position, json }: ReaderPosition): Promise<boolean> {
    const key = splitPosition(position);
    const value = this.db.log.get(key);
    return value !== undefined && (json === undefined || json === loggedOf({ key, value }).json);
  }

  async forks(): Promise<Fork[]> {
    return [];
  }

  acknowledged(): ReaderPosition[] {
    return [];
  }

  async next(after: ReaderPosition, limit: number, wait?: Wait): Promise<LogTail> {
    let events = this.after(after.position, limit);
    if (events.length === 0 && wait) {
      await this.flushed(wait);
      if (wait.signal?.aborted) return { events, anchored: true };
      events = this.after(after.position, limit);
    }
    return { events, anchored: await this.has(after) };
  }

  async trim(
    position: string,
    limit: number,
    report?: (removed: LoggedEvent[]) => EventRecord,
  ): Promise<LoggedEvent[]> {
    const removeRows = (): LoggedEvent[] => {
      const range = { start: [0, 0], end: splitPosition(position), limit };
      const rows = [...this.db.log.getRange(range)];
      const removed = rows.map(loggedOf);
      if (removed.length === 0) return removed;
      for (const row of rows) {
        this.db.log.removeSync(row.key);
        for (const name of indexNamesOf(indexedOf(row))) this.db.logIndex.removeSync([name, ...row.key]);
      }
      if (report) this.write([report(removed)]);
      this.db.meta.putSync(['log-last'], this.last.join('-'));
      this.db.meta.putSync(['log-trimmed'], removed[removed.length - 1].position);
      return removed;
    };
    return this.db.commit(removeRows, 'none');
  }

  private after(position: string, limit: number): IndexedEvent[] {
    const start = splitPosition(position);
    const range = { start, end: this.durable, exclusiveStart: true, inclusiveEnd: true, limit };
    return [...this.db.log.getRange(range)].map(indexedOf);
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

function loggedOf(row: { key: Key; value: string }): LoggedEvent {
  const { position, json } = indexedOf(row);
  return { position, json };
}

function indexedOf({ key, value }: { key: Key; value: string }): IndexedEvent {
  const position = key.join('-');
  const end = value.lastIndexOf(SEPARATOR);
  if (end < 0) return { position, json: value };
  return { position, json: value.slice(0, end), names: value.slice(end + 1) };
}
