/** `EventLog` on a Redis stream. `scripts/commit.lua` appends the events of a transaction. */
import { BrainError, isBrainError } from '../../shared/errors.js';
import {
  comparePositions,
  EventLog,
  type EventRecord,
  type Fork,
  type IndexedEvent,
  type LogBounds,
  type LoggedEvent,
  type LogQuery,
  type LogTail,
  type ReaderPosition,
  type Tier,
  type TrimReport,
  type Wait,
} from '../event-log.js';
import { IDEMPOTENCY_KEPT_SECONDS } from '../store.js';
import { CommitProgram } from './commit-program.js';
import type { RedisLink } from './link.js';
import { type Entry, indexedOf, isAt, loggedOf } from './log-entries.js';
import { LogReads } from './log-reads.js';
import { LogTrims } from './log-trims.js';
import type { ReplicaAck } from './replica-ack.js';
import { SCRIPTS } from './scripts.js';
import { forksOf } from './server-histories.js';
import { TransactionRecords } from './transaction-records.js';

const PIECE_CHARACTERS = 64 * 1024;

type TierAnswer = [length: number, first: string, last: string, lastFields: string[]];
type BoundsAnswer = [recent: TierAnswer, evidence: TierAnswer, any: string, decisions: string];

export class RedisEventLog extends EventLog {
  private readonly transactionRecords: TransactionRecords;
  /** Batches without an answer. A copy of them may still arrive, so their records must stay. */
  private readonly unanswered = new Set<string>();
  private readonly reads: LogReads;
  private readonly trims: LogTrims;

  constructor(
    private readonly link: RedisLink,
    private readonly replicaAck: ReplicaAck,
    private readonly keptSeconds = IDEMPOTENCY_KEPT_SECONDS,
  ) {
    super();
    this.transactionRecords = new TransactionRecords(link);
    this.reads = new LogReads(link);
    this.trims = new LogTrims(link);
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
    return this.reads.read(query);
  }

  async bounds(): Promise<LogBounds> {
    const { stream, evidence, trims } = this.link.keys;
    const found = await this.link.script(SCRIPTS.logBounds, [stream, evidence, trims], []);
    const [recent, older, any, decisions] = found as BoundsAnswer;
    const [, , last, fields] = recent[2] === '' ? older : recent;
    return {
      first: older[1] || recent[1] || null,
      last: last || null,
      end: last === '' ? null : loggedOf([last, fields]),
      length: recent[0] + older[0],
      recent: { first: recent[1] || null, length: recent[0] },
      evidence: { first: older[1] || null, length: older[0] },
      trimmed: laterOf(any, decisions) || null,
      evidenceTrimmed: any || null,
    };
  }

  /** The recent tier is read first, because events are moved in the other direction. */
  async tierOf(place: ReaderPosition): Promise<Tier | undefined> {
    const { stream, evidence } = this.link.keys;
    const { position } = place;
    const recent = await this.link.command('xrange', [stream, position, position]);
    if (isAt(place, recent as Entry[])) return 'recent';
    const older = await this.link.command('xrange', [evidence, position, position]);
    return isAt(place, older as Entry[]) ? 'evidence' : undefined;
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
    if (!answer) return { events: [], tier: 'recent', forks };
    const [found, anchor] = answer as [[stream: string, entries: Entry[]][] | null, Entry[]];
    if (isAt(after, anchor)) return { events: eventsOf(found), tier: 'recent', forks };
    const tail = await this.tailFrom(link, after, limit, eventsOf(found));
    return { ...tail, forks };
  }

  async trim(before: string, limit: number, report?: TrimReport): Promise<LoggedEvent[]> {
    return this.trims.trim(before, limit, report);
  }

  async trimRecent(
    limit: number,
    isKept: (event: LoggedEvent) => boolean,
    report?: TrimReport,
  ): Promise<number> {
    return this.trims.trimRecent(limit, isKept, report);
  }

  /** The place is not in the recent tier, so the events after it in the evidence tier come before those of the recent one. */
  private async tailFrom(
    link: RedisLink,
    place: ReaderPosition,
    limit: number,
    recent: IndexedEvent[],
  ): Promise<LogTail> {
    const { evidence } = this.link.keys;
    const range = [evidence, place.position, '+', 'COUNT', limit + 1];
    const found = (await link.command('xrange', range)) as Entry[];
    const isThere = found[0]?.[0] === place.position;
    const older = found.slice(isThere ? 1 : 0, isThere ? limit + 1 : limit);
    return {
      events: older.length > 0 ? older.map(indexedOf) : recent,
      tier: isThere && isAt(place, found) ? 'evidence' : undefined,
    };
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

function eventsOf(found: [stream: string, entries: Entry[]][] | null): IndexedEvent[] {
  return (found?.[0]?.[1] ?? []).map(indexedOf);
}

/** A mark that was never set is empty. */
function laterOf(one: string, other: string): string {
  if (one === '' || other === '') return one || other;
  return comparePositions(one, other) < 0 ? other : one;
}
