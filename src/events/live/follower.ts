/**
 * Reads the log and hands every event of every replica, in log order, to those who asked for it with `onEvent`, and to the
 * emitter of this process, so that code listens with `@OnEvent('threat.*')`. A listener there gets the envelope with its
 * position, and behind it the event as it is stored.
 *
 * It begins at the end of the log as it first sees it, and from there on misses and repeats nothing: while the log is away
 * it waits, and then goes on where it was. What it cannot hand out, because it was trimmed meanwhile or a failover took it
 * back, it tells those who asked for it with `onGap`. The keeper puts a rollback into the log; this one only knows of itself.
 */
import { setImmediate as turn } from 'node:timers/promises';
import type { OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common';
import type { EventEmitter2 } from '@nestjs/event-emitter';
import { atMost, pause } from '../../shared/clock.js';
import { messageOf } from '../../shared/errors.js';
import type { Logger } from '../../shared/logger.js';
import { comparePositions, type EventLog, LOG_START, type Place } from '../../storage/event-log.js';
import { type MissedGap, resume } from '../log/resume.js';
import { StoredEvent } from '../log/stored-event.js';

/** Handed out in one piece: listeners take a few microseconds for an event, and others wait for their turn. */
const BATCH = 200;
/** Large events are handed out in smaller pieces: an eighth of what a reader may be behind. */
const PIECE_CHARACTERS = 128 * 1024;
/** Shorter than the silence after which a connection to Redis is given up. */
const WAIT_MS = 500;
/** So often the end of the log is looked at while nobody listens; a failover that takes back less is not noticed. */
const SKIP_MS = 50;
const FIRST_RETRY_MS = 50;
const MAX_RETRY_MS = 1000;
/** The same trouble is logged at most so often. */
const LOG_EVERY_MS = 1000;

export class LogFollower implements OnApplicationBootstrap, OnModuleDestroy {
  private at?: Place;
  private running?: Promise<void>;
  private loggedMs = 0;
  private readonly stopping = new AbortController();
  private readonly found = new Promise<void>((resolve) => {
    this.tellFound = resolve;
  });
  private tellFound!: () => void;
  private readonly eventListeners = new Set<(event: StoredEvent) => void>();
  private readonly gapListeners = new Set<(gap: MissedGap) => void>();

  constructor(
    private readonly log: EventLog,
    private readonly emitter: EventEmitter2,
    private readonly logger: Logger,
  ) {}

  /** Everything up to here was handed out; nothing while the log was never reached. */
  get place(): Place | undefined {
    return this.at;
  }

  /** Waits for the log to be reached for the first time; false where that takes longer. */
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

  /** The event as it is stored, read no further than the listener asks. Returns the way to stop. */
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
        this.tellFound();
        if (this.isHeard()) await this.step(this.at, signal);
        else await this.skip(this.at, signal);
        retryMs = FIRST_RETRY_MS;
      } catch (error) {
        if (signal.aborted) return;
        this.trouble('the event log is away; followers wait', error);
        await pause(retryMs, signal);
        retryMs = Math.min(MAX_RETRY_MS, retryMs * 2);
      }
    }
  }

  private async step(place: Place, signal: AbortSignal): Promise<void> {
    const { events, anchored, forks } = await this.log.next(place, BATCH, { ms: WAIT_MS, signal });
    if (!anchored) {
      const { from, gap, there } = await resume(this.log, place);
      if (gap) return this.miss(from, gap);
      // For a moment two connections may see two histories: then this is not what comes behind the place.
      if (there && forks !== undefined) return pause(SKIP_MS, signal);
    }
    // The event is there in the history that was read: that is now the one of this place.
    this.at = { ...place, forks };
    let size = 0;
    for (const logged of events) {
      this.at = { ...logged, forks };
      this.handOut(new StoredEvent(logged));
      size += logged.json.length;
      if (size < PIECE_CHARACTERS) continue;
      // Those who read as fast as they can must get to it before more is put behind what waits for them.
      await turn();
      size = 0;
    }
    if (events.length === BATCH) await turn();
  }

  /**
   * While nobody listens the events are not read, since reading back what it has just written costs a replica as much as
   * writing it: only the end of the log is looked at, and whether it is still the same log.
   */
  private async skip(place: Place, signal: AbortSignal): Promise<void> {
    const end = await this.end();
    // Looked at behind the end: between the two a failover would hide behind its own end.
    const { from, gap } = await resume(this.log, place);
    if (gap) return this.miss(from, gap);
    // Whoever began to listen meanwhile joined at the place as it was.
    if (this.isHeard()) return;
    this.at = end;
    await pause(SKIP_MS, signal);
  }

  /** Something is missing behind its place: it goes on elsewhere, and those who want to know are told. */
  private miss(from: string, gap: MissedGap): void {
    this.at = { position: from };
    // What was trimmed while nobody listened nobody has missed.
    if (gap.reason === 'trimmed' && !this.isHeard()) return;
    this.logger.warn('events are missing for those who follow', { ...gap });
    for (const listener of this.gapListeners) listener(gap);
  }

  private isHeard(): boolean {
    const { emitter } = this;
    return this.eventListeners.size + emitter.eventNames().length + emitter.listenersAny().length > 0;
  }

  private handOut(event: StoredEvent): void {
    const { type } = event;
    if (type === undefined) return;
    try {
      for (const listener of this.eventListeners) listener(event);
      // Most of what handing out costs is to parse the event, which nobody needs who does not listen.
      if (this.listened(type) && event.read) this.emitter.emit(type, event.read, event);
    } catch (error) {
      this.trouble(`a listener failed at a ${type}`, error);
    }
  }

  /** With wildcards the emitter does not count those who listen to anything. */
  private listened(type: string): boolean {
    return Boolean(this.emitter.hasListeners(type)) || this.emitter.listenersAny().length > 0;
  }

  private async end(): Promise<Place> {
    const forks = this.log.history;
    const { end, trimmed } = await this.log.bounds();
    if (end && (trimmed === null || comparePositions(end.position, trimmed) > 0)) return { ...end, forks };
    return { position: trimmed ?? LOG_START, forks };
  }

  private trouble(what: string, error: unknown): void {
    if (Date.now() - this.loggedMs < LOG_EVERY_MS) return;
    this.loggedMs = Date.now();
    this.logger.warn(what, { reason: messageOf(error) });
  }
}
