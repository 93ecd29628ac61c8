/**
 * Keeps the log within its limits: it removes events that are older than the retention, and the oldest ones above the greatest
 * length. An event in the same commit reports the removal. One replica at a time removes events. Every replica checks how
 * full the log is, because each must know when to sum up its own allowed decisions (`EventStream.condensing`).
 */
import type { OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common';
import type { Config } from '../config/config.js';
import { DAY_SECONDS, nowSeconds, pause } from '../shared/clock.js';
import { messageOf } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import { type EventLog, LOG_END, type LoggedEvent, splitPosition } from '../storage/event-log.js';
import type { Lease, Store } from '../storage/store.js';
import type { EventStream } from './event-stream.js';
import { StoredEvent } from './log/stored-event.js';
import { streamTrimmed, type TrimReason } from './log.events.js';

const EVERY_MS = 1000;
const LEASE_MS = 30_000;
/** Events per commit. Each takes several writes, and the embedded store blocks this process. */
const CHUNK = 250;
/** Redis has the log in memory, about a kilobyte for an event; the embedded store has it on disk. */
const MAX_LENGTH = { redis: 1_000_000, embedded: 10_000_000 };
/** From this share on allowed decisions are summed up, if no event is old enough to be removed. */
const NEARLY_FULL = 0.9;
/** The share to remove at once. Each removal adds an event, so removing events one by one would never end. */
const STEP = 0.01;
const MAX_STEP_SECONDS = 3600;

export class LogTrimmer implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly stopping = new AbortController();
  private readonly maxLength: number;
  private readonly retentionSeconds: number;
  private running?: Promise<void>;
  private used = 0;

  constructor(
    private readonly store: Store,
    private readonly log: EventLog,
    private readonly stream: EventStream,
    private readonly logger: Logger,
    private readonly settings: Pick<Config, 'eventsMaxLength' | 'eventsRetentionDays' | 'durableDecisions'>,
  ) {
    this.maxLength = settings.eventsMaxLength ?? MAX_LENGTH[store.kind];
    this.retentionSeconds = settings.eventsRetentionDays * DAY_SECONDS;
  }

  onApplicationBootstrap(): void {
    this.running = this.run();
  }

  async onModuleDestroy(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  /** Conditions that an operator should look at although everything still works. */
  warnings(): string[] {
    if (!this.stream.condensing) return [];
    const percent = Math.floor(this.used * 100);
    return [
      `events_nearly_full: ${percent} % of BRAIN_EVENTS_MAX_LENGTH are used and no event is older than ` +
        'BRAIN_EVENTS_RETENTION_DAYS; allowed decisions are summed up. Raise the first or lower the second.',
    ];
  }

  /** Checks how full the log is and removes events that are too old or too many; returns the number removed. */
  async sweep(): Promise<number> {
    const { first, length } = await this.log.bounds();
    // Positions have the store's time too.
    const { earliest: now } = this.store.clock();
    const oldest = first === null ? now : splitPosition(first)[0] / 1000;
    const expiry = now - this.retentionSeconds;
    this.used = length / this.maxLength;
    const full = this.used >= NEARLY_FULL && oldest > expiry;
    // With durable decisions every single decision must be in the log.
    this.stream.condensing = full && !this.settings.durableDecisions;
    const slackSeconds = Math.min(MAX_STEP_SECONDS, this.retentionSeconds * STEP);
    const tooOld = oldest < expiry - slackSeconds;
    if (!tooOld && length <= this.maxLength) return 0;
    const lease = await this.store.acquire('events-trimmer', LEASE_MS);
    if (!lease) return 0;
    try {
      const old = tooOld ? await this.trim(lease, 'age', `${Math.floor(expiry * 1000)}-0`) : 0;
      const most = Math.floor(this.maxLength * (1 - STEP));
      const excess = length - old > this.maxLength ? length - old - most : 0;
      return old + (await this.trim(lease, 'length', LOG_END, excess));
    } finally {
      await this.store.release(lease);
    }
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      try {
        const removed = await this.sweep();
        if (removed > 0) this.logger.info('events were trimmed', { removed });
      } catch (error) {
        this.logger.debug('the event log could not be trimmed', { reason: messageOf(error) });
      }
      await pause(EVERY_MS, signal);
    }
  }

  private async trim(
    lease: Lease,
    reason: TrimReason,
    before: string,
    most = Number.POSITIVE_INFINITY,
  ): Promise<number> {
    const report = (gone: LoggedEvent[]) => this.stream.serialize(streamTrimmed(summaryOf(gone, reason)));
    let removed = 0;
    while (removed < most && !this.stopping.signal.aborted) {
      const limit = Math.min(CHUNK, most - removed);
      const gone = await this.log.trim(before, limit, report);
      removed += gone.length;
      if (gone.length < limit || !(await this.store.renew(lease, LEASE_MS))) break;
    }
    return removed;
  }
}

function summaryOf(gone: LoggedEvent[], reason: TrimReason): Parameters<typeof streamTrimmed>[0] {
  const counts: Record<string, number> = {};
  for (const logged of gone) {
    const type = new StoredEvent(logged).type ?? 'unknown';
    counts[type] = (counts[type] ?? 0) + 1;
  }
  const [first, last] = [gone[0].position, gone[gone.length - 1].position];
  return { counts, first, last, reason, trimmed_at: nowSeconds() };
}
