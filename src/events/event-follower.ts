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
import { atMost, pause } from '../shared/clock.js';
import { messageOf } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import { comparePositions, type EventLog, LOG_START } from '../storage/event-log.js';
import { type MissedGap, resume } from './resume.js';
import { StoredEvent } from './stored-event.js';

/** Handed out in one piece: listeners take a few microseconds for an event, and others wait for their turn. */
const BATCH = 200;
/** Shorter than the silence after which a connection to Redis is given up. */
const WAIT_MS = 500;
const FIRST_RETRY_MS = 50;
const MAX_RETRY_MS = 1000;
/** The same trouble is logged at most so often. */
const LOG_EVERY_MS = 1000;

export class EventFollower implements OnApplicationBootstrap, OnModuleDestroy {
  private place?: string;
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
  get position(): string | undefined {
    return this.place;
  }

  /** Waits for the log to be reached for the first time; false where that takes longer. */
  async reached(ms: number): Promise<boolean> {
    await atMost(ms, this.found);
    return this.place !== undefined;
  }

  onApplicationBootstrap(): void {
    this.running = this.follow();
  }

  async onModuleDestroy(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  /** The event as it is stored, read no further than the listener asks. */
  onEvent(listener: (event: StoredEvent) => void): void {
    this.eventListeners.add(listener);
  }

  onGap(listener: (gap: MissedGap) => void): void {
    this.gapListeners.add(listener);
  }

  private async follow(): Promise<void> {
    const { signal } = this.stopping;
    let retryMs = FIRST_RETRY_MS;
    while (!signal.aborted) {
      try {
        this.place ??= await this.end();
        this.tellFound();
        await this.step(this.place, signal);
        retryMs = FIRST_RETRY_MS;
      } catch (error) {
        if (signal.aborted) return;
        this.trouble('the event log is away; followers wait', error);
        await pause(retryMs, signal);
        retryMs = Math.min(MAX_RETRY_MS, retryMs * 2);
      }
    }
  }

  private async step(place: string, signal: AbortSignal): Promise<void> {
    const { events, anchored } = await this.log.next(place, BATCH, { ms: WAIT_MS, signal });
    if (!anchored) {
      const { from, gap } = await resume(this.log, place);
      if (gap) {
        this.place = from;
        this.logger.warn('events are missing for those who follow', { ...gap });
        for (const listener of this.gapListeners) listener(gap);
        return;
      }
    }
    for (const logged of events) this.handOut(new StoredEvent(logged));
    if (events.length === BATCH) await turn();
  }

  private handOut(event: StoredEvent): void {
    this.place = event.position;
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

  private async end(): Promise<string> {
    const { last, trimmed } = await this.log.bounds();
    if (last !== null && (trimmed === null || comparePositions(last, trimmed) > 0)) return last;
    return trimmed ?? LOG_START;
  }

  private trouble(what: string, error: unknown): void {
    if (Date.now() - this.loggedMs < LOG_EVERY_MS) return;
    this.loggedMs = Date.now();
    this.logger.warn(what, { reason: messageOf(error) });
  }
}
