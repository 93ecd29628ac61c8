/** `EventLog` on a Redis stream. `scripts/commit.lua` appends the events of a transaction. */
import { BrainError, isBrainError } from '../../shared/errors.js';
import {
  EventLog,
  type EventRecord,
  type Fork,
  type IndexedEvent,
  type LogBounds,
  type LoggedEvent,
  type LogQuery,
  type LogTail,
  positionBefore,
  type ReaderPosition,
  splitPosition,
  type Wait,
} from '../event-log.js';
import { indexNamesOf } from '../index-names.js';
import { IDEMPOTENCY_KEPT_SECONDS } from '../store.js';
import { CommitProgram } from './commit-program.js';
import type { RedisLink } from './link.js';
import type { ReplicaAck } from './replica-ack.js';
import { SCRIPTS } from './scripts.js';
import { forksOf } from './server-histories.js';
import { TransactionRecords } from './transaction-records.js';

const PIECE_CHARACTERS = 64 * 1024;

type Entry = [position: string, fields: string[]];
type Bounds = [
  length: number,
  first: string,
  last: string,
  deleted: string,
  removed: number,
  lastFields: string[],
];

export class RedisEventLog extends EventLog {
  private readonly transactionRecords: TransactionRecords;
  /** Batches without an answer. A copy of them may still arrive, so their records must stay. */
  private readonly unanswered = new Set<string>();

  constructor(
    private readonly link: RedisLink,
    private readonly replicaAck: ReplicaAck,
    private readonly keptSeconds = IDEMPOTENCY_KEPT_SECONDS,
  ) {
    super();
    this.transactionRecords = new TransactionRecords(link);
  }

  get batchKnownMs(): number {
    return this.keptSeconds * 1000;
  }

  watchDurability(): () => Promise<void> {
    const { epoch } = this.link;
    return async () => this.replicaAck.ofWritten(epoch);
  }

  async append(batchId: string, events: EventRecord[]): Promise<string> {
    const { epoch } = this.link;
    const programs = piecesOf(events).map((piece, n) => {
      const program = new CommitProgram(this.link.keys, `batch-${batchId}-${n}`);
      program.record(piece);
      return program;
    });
    try {
      const positions = await Promise.all(programs.map((program) => this.commit(program)));
      const answeredAtOnce = !this.unanswered.delete(batchId) && this.link.epoch === epoch;
      if (answeredAtOnce) this.transactionRecords.forget(...programs.map(({ recordKey }) => recordKey));
      const last = positions.at(-1) ?? '';
      this.link.histories.acknowledge(last, events.at(-1)?.json);
      return last;
    } catch (error) {
      this.unanswered.add(batchId);
      throw error;
    }
  }

  private async commit(program: CommitProgram): Promise<string> {
    const { keys, args } = program.build(false, this.keptSeconds);
    const record = String(await this.link.script(SCRIPTS.commit, keys, args));
    const [position = '', refused] = record.split('\n');
    if (refused) {
      const detail = `The event log refuses events: ${refused}. Rename or remove that key in Redis.`;
      throw new BrainError('conflict', 'log_refused', detail);
    }
    return position;
  }

  async read(query: LogQuery): Promise<LoggedEvent[]> {
    const ascending = query.order === 'asc';
    const low = lowerBound(query);
    const high = upperBound(query);
    if (query.key !== undefined) return this.readIndex(query, query.key, low, high);
    const { stream } = this.link.keys;
    const range = ascending ? [low ?? '-', high ?? '+'] : [high ?? '+', low ?? '-'];
    const command = ascending ? 'xrange' : 'xrevrange';
    const entries = await this.link.command(command, [stream, ...range, 'COUNT', query.limit]);
    return (entries as Entry[]).map(loggedOf);
  }

  async bounds(): Promise<LogBounds> {
    const found = await this.link.script(SCRIPTS.logBounds, [this.link.keys.stream], []);
    const [length, first, last, deleted, removed, fields] = found as Bounds;
    // XTRIM leaves no mark. If another program trimmed the stream, the first event shows up to where.
    const trimmedByOther = removed > 0 && first !== '' ? positionBefore(first) : null;
    const end = last === '' ? null : loggedOf([last, fields]);
    return { first: first || null, last: end && last, end, length, trimmed: deleted || trimmedByOther };
  }

  async has(place: ReaderPosition): Promise<boolean> {
    const { position } = place;
    const found = await this.link.command('xrange', [this.link.keys.stream, position, position]);
    return isAt(place, found as Entry[]);
  }

  get history(): Fork[] | undefined {
    return this.link.histories.forks;
  }

  async forks(): Promise<Fork[]> {
    try {
      return forksOf(await this.link.command('hgetall', [this.link.keys.terms]));
    } catch (error) {
      // Readers work without forks; a rollback is then reported less exactly.
      if (isBrainError(error, 'store_wrong_type')) return [];
      throw error;
    }
  }

  acknowledged(): ReaderPosition[] {
    return this.link.histories.acknowledged();
  }

  /** Uses a connection of its own, because a command that waits blocks all commands after it. */
  async next(after: ReaderPosition, limit: number, wait?: Wait): Promise<LogTail> {
    const link = this.link.blockingLink();
    // Read before the request, so that the events never belong to an older history than these forks.
    const { forks } = link.histories;
    const { position } = after;
    const { stream } = this.link.keys;
    const block = wait ? ['BLOCK', wait.ms] : [];
    const args = ['COUNT', limit, ...block, 'STREAMS', stream, position];
    const answers = Promise.all([
      link.command('xread', args, stream),
      // Sent after the read on the same connection: if the event is there now, it was there during the read.
      link.command('xrange', [stream, position, position]),
    ]);
    const answer = await unlessAborted(answers, wait?.signal);
    if (!answer) return { events: [], anchored: true, forks };
    const [found, anchor] = answer as [[stream: string, entries: Entry[]][] | null, Entry[]];
    return { events: (found?.[0]?.[1] ?? []).map(indexedOf), anchored: isAt(after, anchor), forks };
  }

  async trim(
    before: string,
    limit: number,
    report?: (removed: LoggedEvent[]) => EventRecord,
  ): Promise<LoggedEvent[]> {
    const { keys } = this.link;
    const range = [keys.stream, '-', `(${before}`, 'COUNT', limit];
    const entries = (await this.link.command('xrange', range)) as Entry[];
    if (entries.length === 0) return [];
    const events = entries.map(loggedOf);
    const indexes: string[] = [];
    const args: (string | number)[] = [report ? report(events).json : ''];
    for (const entry of entries) {
      const [position] = entry;
      const names = indexNamesOf(indexedOf(entry));
      for (const name of names) indexes.push(keys.eventIndex + name);
      args.push(position, indexMemberOf(position), names.length);
    }
    const removed = await this.link.script(SCRIPTS.trimLog, [keys.stream, ...indexes], args);
    return Number(removed) > 0 ? events : [];
  }

  private async readIndex(query: LogQuery, key: string, low?: string, high?: string): Promise<LoggedEvent[]> {
    const keys = [this.link.keys.stream, this.link.keys.events(key)];
    const args = [query.order, query.limit, memberBoundOf(low) ?? '-', memberBoundOf(high) ?? '+'];
    const found = (await this.link.script(SCRIPTS.readLog, keys, args)) as string[];
    const events: LoggedEvent[] = [];
    for (let i = 0; i < found.length; i += 2) {
      events.push({ position: found[i], json: found[i + 1] });
    }
    return events;
  }
}

/**
 * Splits a batch into pieces, which are sent in order on one connection. Each piece blocks Redis for about a millisecond,
 * so other commands get their turn in between; and V8 allocates a longer text anew from the system for each batch. The id
 * of the batch makes sure that each piece is applied once. A refused piece is sent again with the batch, and its events
 * then come after those of the other pieces.
 */
function piecesOf(events: EventRecord[]): EventRecord[][] {
  const pieces: EventRecord[][] = [];
  let room = 0;
  for (const event of events) {
    if (room <= 0) {
      pieces.push([]);
      room = PIECE_CHARACTERS;
    }
    pieces[pieces.length - 1].push(event);
    room -= event.json.length;
  }
  return pieces;
}

/** Resolves with undefined if the signal comes first. The commands that still run then end with their connection. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T | undefined> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const stop = (): void => resolve(undefined);
    signal.addEventListener('abort', stop);
    void work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
    if (signal.aborted) stop();
  });
}

function loggedOf([position, fields]: Entry): LoggedEvent {
  return { position, json: fields[fields.indexOf('event') + 1] ?? '' };
}

/** The index names are in a second field, which other programs do not write. */
function indexedOf(entry: Entry): IndexedEvent {
  const [, fields] = entry;
  return { ...loggedOf(entry), names: fields[2] === 'keys' ? fields[3] : undefined };
}

/** Compares the event as well, if the reader knows it: another history may have another event at that position. */
function isAt({ json }: ReaderPosition, [found]: (Entry | undefined)[]): boolean {
  return found !== undefined && (json === undefined || json === loggedOf(found).json);
}

/** The member of an index for a position. The members sort by bytes in the order of the log. */
function indexMemberOf(position: string): string {
  return splitPosition(position)
    .map((part) => String(part).padStart(15, '0'))
    .join('-');
}

/** The oldest position of a query. `(` excludes the position itself. */
function lowerBound({ order, after, from }: LogQuery): string | undefined {
  return order === 'asc' && after !== undefined ? `(${after}` : from;
}

/** The newest position of a query. */
function upperBound({ order, after, until }: LogQuery): string | undefined {
  return order !== 'asc' && after !== undefined ? `(${after}` : until;
}

/** The same bound for an index, whose members sort by bytes. */
function memberBoundOf(bound: string | undefined): string | undefined {
  if (bound === undefined) return undefined;
  return bound.startsWith('(') ? `(${indexMemberOf(bound.slice(1))}` : `[${indexMemberOf(bound)}`;
}
