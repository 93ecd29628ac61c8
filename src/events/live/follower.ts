/**
 * Reads the log and hands every event of every replica, in log order, to the listeners of `onEvent` and to the emitter of
 * this process, where code listens with `@OnEvent('threat.*')`. Such a listener gets the envelope with its position, and the
 * stored event as a second argument.
 *
 * It starts at the end of the log. From there on it skips and repeats no event: while the log cannot be reached it waits, and
 * then continues at its place. If events were trimmed before it read them, or a failover took them back, it reports that to
 * the listeners of `onGap`. `GapDetector` writes the gap of a rollback into the log.
 */
import { setImmediate as turn } from 'node:timers/promises';
import type { OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common';
import type { EventEmitter2 } from '@nestjs/event-emitter';
import { atMost, pause } from '../../shared/clock.js';
import { isStoreAway, messageOf } from '../../shared/errors.js';
import { LogOnce } from '../../shared/log-once.js';
import type { Logger } from '../../shared/logger.js';
import { comparePositions, type EventLog, LOG_START, type ReaderPosition } from '../../storage/event-log.js';
import { KnownTrims } from '../log/known-trims.js';
import { type MissedGap, resumeFromPosition } from '../log/resume.js';
import { StoredEvent } from '../log/stored-event.js';

/** Events of one read. Listeners take a few microseconds for each, and other work of the process waits for them. */
const BATCH = 200;
/** Large events are handed out in smaller pieces: an eighth of the backlog that a reader may have. */
const PIECE_CHARACTERS = 128 * 1024;
/** Shorter than the silence after which a connection to Redis is closed. */
const WAIT_MS = 500;
/** How often the end of the log is read while there are no listeners; a failover that takes back less is not noticed. */
const SKIP_MS = 50;
const FIRST_RETRY_MS = 50;
const MAX_RETRY_MS = 1000;

export class LogFollower implements OnApplicationBootstrap, OnModuleDestroy {
  private at?: ReaderPosition;
  private running?: Promise<void>;
  private readonly troubleLog = new LogOnce();
  private readonly stopping = new AbortController();
  private readonly found = new Promise<void>((resolve) => {
    this.resolveFound = resolve;
  });
  private resolveFound!: () => void;
  private readonly eventListeners = new Set<(event: StoredEvent) => void>();
  private readonly gapListeners = new Set<(gap: MissedGap) => void>();
  private readonly knownTrims = new KnownTrims();

  constructor(
    private readonly log: EventLog,
    private readonly emitter: EventEmitter2,
    private readonly logger: Logger,
  ) {}

  /** Every event up to here was handed out. Undefined until the log is first reached. */
  get place(): ReaderPosition | undefined {
    return this.at;
  }

  /** Waits until the log is reached for the first time; false if that takes longer. */
  async reached(ms: number): Promise<boolean> {
    await atMost(ms, this.found);
    return this.at !== undefined;
  }

  onApplicationBootstrap(): void {
    this.running = this.follow();
  }

  async onModuleDestroy(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  /** The listener gets the stored event, which is parsed only if necessary. Returns the function that ends the listening. */
  onEvent(listener: (event: StoredEvent) => void): () => void {
    this.eventListeners.add(listener);
    return () => this.eventListeners.delete(listener);
  }

  onGap(listener: (gap: MissedGap) => void): void {
    this.gapListeners.add(listener);
  }

  private async follow(): Promise<void> {
    const { signal } = this.stopping;
    let retryMs = FIRST_RETRY_MS;
    while (!signal.aborted) {
      try {
        this.at ??= await this.end();
        this.resolveFound();
        if (this.hasAnyListener()) await this.step(this.at, signal);
        else await this.skip(this.at, signal);
        retryMs = FIRST_RETRY_MS;
      } catch (error) {
        if (signal.aborted) return;
        this.trouble('the event log cannot be reached; followers wait', error);
        await pause(retryMs, signal);
        retryMs = Math.min(MAX_RETRY_MS, retryMs * 2);
      }
    }
  }

  private async step(place: ReaderPosition, signal: AbortSignal): Promise<void> {
    const { events, tier, forks } = await this.log.next(place, BATCH, { ms: WAIT_MS, signal });
    if (tier !== 'recent') {
      const { from, gaps, there } = await resumeFromPosition(this.log, place);
      const missed = gaps.filter((gap) => this.knownTrims.note(gap));
      if (missed.length > 0) return this.miss(place, from, missed);
      // For a short time two connections may see two histories; then these are not the next events.
      if (there && tier === undefined && forks !== undefined) return pause(SKIP_MS, signal);
    }
    // The history that was read has the event at this place, so the place belongs to that history now.
    this.at = { ...place, forks };
    let size = 0;
    for (const logged of events) {
      this.at = { ...logged, forks };
      this.handOut(new StoredEvent(logged));
      size += logged.json.length;
      if (size < PIECE_CHARACTERS) continue;
      // The writes to readers must run before more is added to their backlogs.
      await turn();
      size = 0;
    }
    if (events.length === BATCH) await turn();
  }

  /**
   * Without listeners the events are not read, because for a replica reading back its own events costs as much as writing
   * them. Only the end of the log is read, and whether the log still has the event at the current place.
   */
  private async skip(place: ReaderPosition, signal: AbortSignal): Promise<void> {
    const end = await this.end();
    // Checked after the end was read: a failover between the two reads would otherwise not be noticed.
    const { from, gaps } = await resumeFromPosition(this.log, place);
    // Without listeners, nobody has missed the trimmed events.
    if (gaps.some(({ reason }) => reason === 'rollback')) return this.miss(place, from, gaps);
    // A listener that came during these reads has joined at the place before them.
    if (this.hasAnyListener()) return;
    this.at = end;
    await pause(SKIP_MS, signal);
  }

  /** Events are missing after the current place: continues at `from`, and reports the gaps. */
  private miss(place: ReaderPosition, from: string, gaps: MissedGap[]): void {
    const isTrim = gaps.every(({ reason }) => reason === 'trimmed');
    this.at = isTrim && from === place.position ? place : { position: from };
    for (const gap of gaps) {
      this.logger.warn('events are missing for the listeners of this replica', { ...gap });
      for (const listener of this.gapListeners) listener(gap);
    }
  }

  private hasAnyListener(): boolean {
    const { emitter } = this;
    return this.eventListeners.size + emitter.eventNames().length + emitter.listenersAny().length > 0;
  }

  private handOut(event: StoredEvent): void {
    const { type } = event;
    if (type === undefined) return;
    try {
      for (const listener of this.eventListeners) listener(event);
      // Parsing is most of the cost, so it is done only for types with listeners.
      if (this.hasListenersFor(type) && event.read) this.emitter.emit(type, event.read, event);
    } catch (error) {
      this.trouble(`a listener failed at a ${type}`, error);
    }
  }

  /** `hasListeners` does not count the listeners of `onAny`. */
  private hasListenersFor(type: string): boolean {
    return Boolean(this.emitter.hasListeners(type)) || this.emitter.listenersAny().length > 0;
  }

  private async end(): Promise<ReaderPosition> {
    const forks = this.log.history;
    const { end, trimmed } = await this.log.bounds();
    if (end && (trimmed === null || comparePositions(end.position, trimmed) > 0)) return { ...end, forks };
    return { position: trimmed ?? LOG_START, forks };
  }

  private trouble(what: string, error: unknown): void {
    if (!isStoreAway(error) && this.troubleLog.isDue()) this.logger.warn(what, { reason: messageOf(error) });
  }
}
