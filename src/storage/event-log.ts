/**
 * The port to the event log: an ordered, append-only sequence of serialized events with two kinds of index.
 *
 * What a caller may assume:
 * - A position is `<ms>-<seq>`, opaque to users and comparable with `comparePositions`; positions grow with every
 *   append, whichever replica appends.
 * - A batch is applied once, however often it is sent with the same id within `batchKnownMs`.
 * - An event and its index entries appear together and are trimmed together.
 */
import { digest } from '../shared/ids.js';

/** `json` is the envelope as it will be read; `keys` are the values by which the index finds it. */
export interface EventRecord {
  json: string;
  keys: string[];
  /** Told when the state was committed but the log itself refused the event. */
  refused?: (reason: string) => void;
}

export interface LoggedEvent {
  position: string;
  json: string;
}

/**
 * Where a history of the log parts from the one before it. A store of several servers begins a new one with each server that takes
 * writes: what stood behind this position before is lost, what stands there now is new.
 */
export interface Fork {
  /** Names the history that begins here. */
  id: string;
  /** Grows with every fork. */
  order: number;
  /** The last event that both histories have. */
  position: string;
  /** When it began, in Unix seconds. */
  at: number;
}

/** Behind which event a reader is, with what it knows of that event. */
export interface Place {
  position: string;
  /** What it read there: another history may have another event at the same position. */
  json?: string;
  /** The forks of the history in which it read that, or of an older one; left out where they are not known. */
  forks?: Fork[];
}

export interface LogQuery {
  order: 'asc' | 'desc';
  limit: number;
  /** Exclusive: where the previous page ended, in the direction of reading. */
  after?: string;
  /** Inclusive bounds. */
  from?: string;
  until?: string;
  /** Only the events under this index key (`s:<subject>`, `c:<correlation>`). */
  key?: string;
}

export interface LogBounds {
  first: string | null;
  last: string | null;
  /** The event at `last`. */
  end: LoggedEvent | null;
  length: number;
  /**
   * The latest event that was ever trimmed: what a reader has missed whose place is before it. Nothing where the log still
   * has all that was ever written to it.
   */
  trimmed: string | null;
}

export interface LogTail {
  events: LoggedEvent[];
  /** The event behind which was read is still there, so nothing is missing between it and these. */
  anchored: boolean;
  /** The forks of the history that was read, or of an older one; left out where they are not known. */
  forks?: Fork[];
}

export abstract class EventLog {
  /** So long after its first send a batch is known by its id; one that is sent later is applied again. */
  abstract readonly batchKnownMs: number;
  /** Returns the position of the last event of the batch. A log that refuses (wrong type) throws `conflict` (`log_refused`). */
  abstract append(batchId: string, events: EventRecord[]): Promise<string>;
  /**
   * Called before an append, and what it returns after it: that resolves when what was appended in between is as durable as
   * an acknowledged commit, and rejects where nobody can say so.
   */
  abstract watchDurability(): () => Promise<void>;
  abstract read(query: LogQuery): Promise<LoggedEvent[]>;
  abstract bounds(): Promise<LogBounds>;
  /** Whether the event at this place is (still) there: the same one, where the reader knows what it read. */
  abstract has(place: Place): Promise<boolean>;
  /**
   * Every fork of the log as it stands, oldest first. A place that is not there any more was lost at one of them. None where the
   * store is one file, or where Redis does not tell which server it is.
   */
  abstract forks(): Promise<Fork[]>;
  /**
   * The forks of the history that is read by `read`, `has` and `bounds` from now on, or of an older one, without asking. Nothing
   * where they are not known.
   */
  abstract readonly history: Fork[] | undefined;
  /**
   * The last event of this process that the log has acknowledged, and those that were the last when a connection broke. Each is
   * told once: who asks keeps it until it has seen that it is still there.
   */
  abstract acknowledged(): Place[];
  /**
   * What comes behind `after`, oldest first; where there is nothing yet it waits for the first of any replica, until
   * `wait` is over. What is returned is durable as far as the store can tell.
   */
  abstract next(after: Place, limit: number, wait?: Wait): Promise<LogTail>;
  /**
   * Removes every event before `position`, at most `limit` at once, with its index entries; returns what was removed.
   * The event that `tell` makes of them is appended in the same commit; it stands under no index key.
   */
  abstract trim(
    position: string,
    limit: number,
    tell?: (gone: LoggedEvent[]) => EventRecord,
  ): Promise<LoggedEvent[]>;
}

export interface Wait {
  ms: number;
  /** Ends the waiting at once, with nothing. */
  signal?: AbortSignal;
}

/** Before every event. */
export const LOG_START = '0-0';
/** Behind every event. */
export const LOG_END = '999999999999999-0';

export function comparePositions(a: string, b: string): number {
  const [aMs, aSeq] = splitPosition(a);
  const [bMs, bSeq] = splitPosition(b);
  return aMs - bMs || aSeq - bSeq;
}

export function splitPosition(position: string): [ms: number, seq: number] {
  const dash = position.indexOf('-');
  return [Number(position.slice(0, dash)), Number(position.slice(dash + 1))];
}

/** The last place before this one, whether or not an event ever stood there. */
export function positionBefore(position: string): string {
  const [ms, seq] = splitPosition(position);
  return seq > 0 ? `${ms}-${seq - 1}` : `${ms - 1}-999999999999999`;
}

export const POSITION = /^\d{1,15}-\d{1,15}$/;

/** The values by which an event is found: its subjects, and the correlation that caused it. */
const SUBJECT_FIELDS = ['threat_id', 'mission_id', 'policy_id', 'agent_id', 'event_id'];

export function indexKeys(event: { payload: unknown; meta: { correlation_id: string | null } }): string[] {
  const keys: string[] = [];
  const payload = event.payload as Record<string, unknown> | null;
  for (const field of SUBJECT_FIELDS) {
    const value = payload?.[field];
    if (typeof value !== 'string' && typeof value !== 'number') continue;
    const key = `s:${value}`;
    if (!keys.includes(key)) keys.push(key);
  }
  if (event.meta.correlation_id !== null) keys.push(`c:${event.meta.correlation_id}`);
  return keys;
}

/** No blank, no brace, and with its colon no digest. */
const PLAIN = /^[sc]:[\w.-]{1,40}$/;

/** A key as it stands in the index: itself where it may stand in the name of a key, as most ids may, else its digest. */
export function indexName(key: string): string {
  return PLAIN.test(key) ? key : digest(key);
}
