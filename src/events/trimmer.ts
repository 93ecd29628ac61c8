/**
 * Keeps the log within its limits: it removes events that are older than the retention. When the recent tier is too long, it
 * removes its oldest decisions and moves its other oldest events into the evidence tier; when that is too long, it removes its
 * oldest events. An event in the same commit reports the removal. One replica at a time trims. Every replica checks how full
 * the log is, because each must know when to sum up its own allowed decisions (`EventStream.condensing`).
 */
import type { OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common';
import type { Config } from '../config/config.js';
import { DAY_SECONDS, nowSeconds, pause } from '../shared/clock.js';
import { messageOf } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import {
  type EventLog,
  LOG_END,
  type LogBounds,
  splitPosition,
  type TierBounds,
  type TrimReport,
} from '../storage/event-log.js';
import type { Lease, Store } from '../storage/store.js';
import type { EventStream } from './event-stream.js';
import { streamTrimmed, type TrimReason } from './log.events.js';
import { isEvidence, reportsOf } from './trim-reports.js';

const EVERY_MS = 1000;
const LEASE_MS = 30_000;
/** Events per commit. Each takes several writes, and the embedded store blocks this process. */
const CHUNK = 250;
/** Redis has the log in memory, about a kilobyte for an event; the embedded store has it on disk. */
const MAX_LENGTH = { redis: 1_000_000, embedded: 10_000_000 };
/** From this share on a tier is nearly full, if no event in it is old enough to be removed. */
const NEARLY_FULL = 0.9;
/** The share to remove at once. Each removal adds an event, so removing events one by one would never end. */
const STEP = 0.01;
const MAX_STEP_SECONDS = 3600;

type TrimSettings = Pick<
  Config,
  'eventsMaxLength' | 'eventsEvidenceMaxLength' | 'eventsRetentionDays' | 'durableDecisions'
>;

export class LogTrimmer implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly stopping = new AbortController();
  private readonly maxLength: number;
  private readonly maxEvidence: number;
  private readonly retentionSeconds: number;
  private running?: Promise<void>;
  private used = 0;
  /** The share of the evidence tier that is used, if it is nearly full. */
  private evidenceUsed?: number;

  constructor(
    private readonly store: Store,
    private readonly log: EventLog,
    private readonly stream: EventStream,
    private readonly logger: Logger,
    private readonly settings: TrimSettings,
  ) {
    this.maxLength = settings.eventsMaxLength ?? MAX_LENGTH[store.kind];
    this.maxEvidence = settings.eventsEvidenceMaxLength;
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
    const warnings: string[] = [];
    if (this.stream.condensing)
      warnings.push(
        `events_nearly_full: ${percent(this.used)} of BRAIN_EVENTS_MAX_LENGTH are used and no event there is older than ` +
          'BRAIN_EVENTS_RETENTION_DAYS; allowed decisions are summed up. Raise the first or lower the second.',
      );
    if (this.evidenceUsed !== undefined)
      warnings.push(
        `events_evidence_nearly_full: ${percent(this.evidenceUsed)} of BRAIN_EVENTS_EVIDENCE_MAX_LENGTH are used and no ` +
          'event there is older than BRAIN_EVENTS_RETENTION_DAYS. When it is full, the oldest threats, changes and other ' +
          'events that are not decisions are removed. Raise the first or lower the second.',
      );
    return warnings;
  }

  /** Checks how full the log is and removes events that are too old or too many; returns the number removed. */
  async sweep(): Promise<number> {
    const bounds = await this.log.bounds();
    const { recent, evidence } = bounds;
    // Positions have the store's time too.
    const { earliest: now } = this.store.clock();
    const expiry = now - this.retentionSeconds;
    this.used = recent.length / this.maxLength;
    // With durable decisions every single decision must be in the log.
    this.stream.condensing = isNearlyFull(recent, this.maxLength, expiry) && !this.settings.durableDecisions;
    this.evidenceUsed = isNearlyFull(evidence, this.maxEvidence, expiry)
      ? evidence.length / this.maxEvidence
      : undefined;
    const slackSeconds = Math.min(MAX_STEP_SECONDS, this.retentionSeconds * STEP);
    const tooOld = bounds.first !== null && secondsOf(bounds.first) < expiry - slackSeconds;
    const tooLong = recent.length > this.maxLength || evidence.length > this.maxEvidence;
    if (!tooOld && !tooLong) return 0;
    const lease = await this.store.acquire('events-trimmer', LEASE_MS);
    if (!lease) return 0;
    try {
      const old = tooOld ? await this.trim(lease, 'age', `${Math.floor(expiry * 1000)}-0`) : 0;
      return old + (await this.shorten(lease, old > 0 ? await this.log.bounds() : bounds));
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

  private async shorten(lease: Lease, { recent, evidence }: LogBounds): Promise<number> {
    const removed = await this.trim(lease, 'evidence_length', LOG_END, excess(evidence, this.maxEvidence));
    const report = this.reportOf('length');
    const take = (limit: number): Promise<number> => this.log.trimRecent(limit, isEvidence, report);
    return removed + (await this.inChunks(lease, excess(recent, this.maxLength), take));
  }

  private trim(
    lease: Lease,
    reason: TrimReason,
    before: string,
    most = Number.POSITIVE_INFINITY,
  ): Promise<number> {
    const report = this.reportOf(reason);
    return this.inChunks(lease, most, async (limit) => (await this.log.trim(before, limit, report)).length);
  }

  private reportOf(reason: TrimReason): TrimReport {
    return (removed) =>
      reportsOf(removed, reason, nowSeconds()).map((report) => this.stream.serialize(streamTrimmed(report)));
  }

  private async inChunks(
    lease: Lease,
    most: number,
    take: (limit: number) => Promise<number>,
  ): Promise<number> {
    let all = 0;
    while (all < most && !this.stopping.signal.aborted) {
      const limit = Math.min(CHUNK, most - all);
      const taken = await take(limit);
      all += taken;
      if (taken < limit || !(await this.store.renew(lease, LEASE_MS))) break;
    }
    return all;
  }
}

function isNearlyFull({ first, length }: TierBounds, max: number, expiry: number): boolean {
  return length >= max * NEARLY_FULL && first !== null && secondsOf(first) > expiry;
}

function excess({ length }: TierBounds, max: number): number {
  return length > max ? length - Math.floor(max * (1 - STEP)) : 0;
}

function secondsOf(position: string): number {
  return splitPosition(position)[0] / 1000;
}

function percent(share: number): string {
  return `${Math.floor(share * 100)} %`;
}
