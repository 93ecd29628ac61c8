/** `EventLog` in the file of the embedded store; `write` is how events ride in a commit of the store. */

import {
  EventLog,
  type EventRecord,
  type Fork,
  indexKeys,
  indexName,
  type LogBounds,
  type LoggedEvent,
  type LogQuery,
  type LogTail,
  type Place,
  splitPosition,
  type Wait,
} from '../event-log.js';
import type { EmbeddedDatabase, Key } from './database.js';

const LAST = Number.MAX_SAFE_INTEGER;
/** How many batch ids are remembered: far more than can be under way. */
const BATCHES_KEPT = 1000;

export class EmbeddedEventLog extends EventLog {
  readonly batchKnownMs = Number.POSITIVE_INFINITY;
  /** Nothing but a loss of what was never acknowledged takes the file back. */
  readonly history = undefined;
  private readonly batches = new Map<string, string>();
  private last: [ms: number, seq: number];
  /** Up to where the log is on disk: nobody is told of an event that a loss of power could still take back. */
  private durable: [ms: number, seq: number];

  constructor(private readonly db: EmbeddedDatabase) {
    super();
    const [key] = [...db.log.getKeys({ reverse: true, limit: 1 })];
    const trimmed = db.meta.get(['log-last']);
    this.last = key ? [Number(key[0]), Number(key[1])] : trimmed ? splitPosition(trimmed) : [0, 0];
    this.durable = this.last;
    // One batch at a time is under way, so whatever was written when a flush ends is on disk.
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

  /** What was appended is on disk. */
  watchDurability(): () => Promise<void> {
    return () => Promise.resolve();
  }

  /** Only inside a commit. Returns the position of the last event. */
  write(events: EventRecord[]): string {
    const nowMs = Date.now();
    for (const { json, keys } of events) {
      // A clock that was set back must not take the order of the log with it.
      this.last = nowMs > this.last[0] ? [nowMs, 0] : [this.last[0], this.last[1] + 1];
      this.db.log.putSync(this.last, json);
      for (const key of keys) this.db.logIndex.putSync([indexName(key), ...this.last], '');
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
      const json = this.db.log.get(place);
      if (json !== undefined) found.push({ position: place.join('-'), json });
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

  async has({ position, json }: Place): Promise<boolean> {
    const found = this.db.log.get(splitPosition(position));
    return found !== undefined && (json === undefined || json === found);
  }

  async forks(): Promise<Fork[]> {
    return [];
  }

  acknowledged(): Place[] {
    return [];
  }

  async next(after: Place, limit: number, wait?: Wait): Promise<LogTail> {
    let events = this.behind(after.position, limit);
    if (events.length === 0 && wait) {
      await this.flushed(wait);
      if (wait.signal?.aborted) return { events, anchored: true };
      events = this.behind(after.position, limit);
    }
    return { events, anchored: await this.has(after) };
  }

  async trim(
    position: string,
    limit: number,
    tell?: (gone: LoggedEvent[]) => EventRecord,
  ): Promise<LoggedEvent[]> {
    const trimmed = (): LoggedEvent[] => {
      const range = { start: [0, 0], end: splitPosition(position), limit };
      const rows = [...this.db.log.getRange(range)];
      const gone = rows.map(loggedOf);
      if (gone.length === 0) return gone;
      for (const { key, value } of rows) {
        this.db.log.removeSync(key);
        for (const entry of keysOf(value)) this.db.logIndex.removeSync([indexName(entry), ...key]);
      }
      if (tell) this.write([tell(gone)]);
      this.db.meta.putSync(['log-last'], this.last.join('-'));
      this.db.meta.putSync(['log-trimmed'], gone[gone.length - 1].position);
      return gone;
    };
    return this.db.commit(trimmed, { frees: true });
  }

  private behind(after: string, limit: number): LoggedEvent[] {
    const start = splitPosition(after);
    const range = { start, end: this.durable, exclusiveStart: true, inclusiveEnd: true, limit };
    return [...this.db.log.getRange(range)].map(loggedOf);
  }

  /** Resolves with the next flush, or when the waiting is over. */
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

function loggedOf({ key, value }: { key: Key; value: string }): LoggedEvent {
  return { position: key.join('-'), json: value };
}

function keysOf(json: string): string[] {
  try {
    return indexKeys(JSON.parse(json) as Parameters<typeof indexKeys>[0]);
  } catch {
    return [];
  }
}
