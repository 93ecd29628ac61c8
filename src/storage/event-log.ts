/**
 * The port to the event log: an ordered, append-only sequence of serialized events with two kinds of index.
 *
 * The log has two tiers. New events go into the recent tier. When that gets too long, `trimRecent` removes its oldest events,
 * but moves those that are worth more into the evidence tier, with their positions. Every trim takes the oldest events, so all
 * events of the evidence tier come before all events of the recent tier. Readers see one sequence.
 *
 * What a caller may assume:
 * - A position is `<ms>-<seq>`. Users must not interpret it; `comparePositions` compares it. Positions grow with every
 *   append of any replica.
 * - A batch that is sent several times with the same id within `batchKnownMs` is applied once.
 * - An event and its index entries appear together and are trimmed together.
 */

/**
 * `json` is the envelope as readers get it. `keys` are the index keys that find it: `s:<subject>` and `c:<correlation>`. The log
 * stores them with the event, so that a trim removes exactly the entries that were written.
 */
export interface EventRecord {
  json: string;
  keys: string[];
  /** Called when the commit is applied, with the position of its last event. */
  written?: (position: string) => void;
  /** Called when the documents were committed but the log refused the event. */
  refused?: (reason: string) => void;
}

export interface LoggedEvent {
  position: string;
  json: string;
}

/** With the names of its index entries, separated by blanks. Events of older releases were stored without them. */
export interface IndexedEvent extends LoggedEvent {
  names?: string;
}

/**
 * The position at which a history of the log leaves the one before it. Redis with several servers begins a new history
 * with each server that takes writes. The events that the old history had after this position are lost; the events that
 * are there now are new.
 */
export interface Fork {
  /** The id of the history that begins here. */
  id: string;
  /** Grows with every fork. */
  order: number;
  /** The last event that both histories have. */
  position: string;
  /** When it began, in Unix seconds. */
  at: number;
}

/** The event after which a reader goes on, with all that the reader knows of that event. */
export interface ReaderPosition {
  position: string;
  /** The event that it read there. Another history may have another event at the same position. */
  json?: string;
  /** The forks of the history in which it read that, or of an older history. Left out if they are not known. */
  forks?: Fork[];
}

export interface LogQuery {
  order: 'asc' | 'desc';
  limit: number;
  /** The end of the previous page, in the direction of reading. Exclusive. */
  after?: string;
  /** Inclusive bounds. */
  from?: string;
  until?: string;
  /** Only the events under this index key (`s:<subject>`, `c:<correlation>`). */
  key?: string;
}

export type Tier = 'recent' | 'evidence';

export interface TierBounds {
  first: string | null;
  length: number;
}

export interface LogBounds {
  /** Of both tiers together. */
  first: string | null;
  last: string | null;
  /** The event at `last`. */
  end: LoggedEvent | null;
  length: number;
  recent: TierBounds;
  evidence: TierBounds;
  /**
   * The latest event that was ever removed. A reader whose place is before it has missed events. Null if nothing was ever
   * removed.
   */
  trimmed: string | null;
  /**
   * Up to here any event may have been removed; between here and `trimmed` only events that `trimRecent` does not keep. Null
   * if no other event was ever removed.
   */
  evidenceTrimmed: string | null;
}

export interface LogTail {
  events: IndexedEvent[];
  /**
   * Where the event of the reader's place is. In the recent tier: no event is missing between it and these. Undefined if it
   * is not there.
   */
  tier?: Tier;
  /** The forks of the history that was read, or of an older history. Left out if they are not known. */
  forks?: Fork[];
}

export abstract class EventLog {
  /** How long after the first send a batch is known by its id. A batch that is sent later is applied again. */
  abstract readonly batchKnownMs: number;
  /** Returns the position of the last event. Throws `conflict` (`log_refused`) if the log refuses events, as a key of a wrong type does. */
  abstract append(batchId: string, events: EventRecord[]): Promise<string>;
  /**
   * Call it before an append, and call the returned function after it. That resolves when the appended events are as
   * durable as an acknowledged commit. It rejects if that cannot be known.
   */
  abstract watchDurability(): () => Promise<void>;
  abstract read(query: LogQuery): Promise<LoggedEvent[]>;
  abstract bounds(): Promise<LogBounds>;
  /**
   * The tier that has the event of this place. Undefined if it is not there, or if the reader knows another event at this
   * position.
   */
  abstract tierOf(place: ReaderPosition): Promise<Tier | undefined>;
  /**
   * All forks of the current log, oldest first. A place that is not there any more was lost at one of them. None if the
   * store is a file, or if Redis does not report the id of its server.
   */
  abstract forks(): Promise<Fork[]>;
  /**
   * The forks of the history that `read`, `tierOf` and `bounds` see from now on, or of an older history. Needs no request to
   * the store. Undefined if they are not known.
   */
  abstract readonly history: Fork[] | undefined;
  /**
   * The last event of this process that the log has acknowledged, and each that was the last when a connection broke.
   * Each is returned once; the caller must keep it until it has seen that it is still there.
   */
  abstract acknowledged(): ReaderPosition[];
  /**
   * The events after `after`, oldest first. If there are none it waits for the first event of any replica, until `wait`
   * is over. As far as the store knows, the returned events are durable.
   */
  abstract next(after: ReaderPosition, limit: number, wait?: Wait): Promise<LogTail>;
  /**
   * Removes the oldest events of the log that are before `position`, at most `limit`, with their index entries, and returns
   * them. The events that `report` makes of them are appended in the same commit, without index keys.
   */
  abstract trim(position: string, limit: number, report?: TrimReport): Promise<LoggedEvent[]>;
  /**
   * Takes the oldest events of the recent tier, at most `limit`, and returns how many it took. Those that `isKept` accepts are
   * moved into the evidence tier. The others are removed with their index entries, and `report` is called with them. All of
   * it is one commit.
   */
  abstract trimRecent(
    limit: number,
    isKept: (event: LoggedEvent) => boolean,
    report?: TrimReport,
  ): Promise<number>;
}

/** Makes the events that report a removal. Not called if nothing is removed. */
export type TrimReport = (removed: LoggedEvent[]) => EventRecord[];

export interface Wait {
  ms: number;
  /** Ends the wait at once, without events. */
  signal?: AbortSignal;
}

/** Before every event. */
export const LOG_START = '0-0';
/** After every event. */
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

/** The last position before this one, whether or not the log ever had an event there. */
export function positionBefore(position: string): string {
  const [ms, seq] = splitPosition(position);
  return seq > 0 ? `${ms}-${seq - 1}` : `${ms - 1}-999999999999999`;
}

export const POSITION = /^\d{1,15}-\d{1,15}$/;
