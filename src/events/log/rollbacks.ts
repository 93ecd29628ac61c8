/**
 * Reports by a gap in the log that a failover took events back. Each process checks whether the events that it has seen are
 * still in the log: the last event at the previous check, the events that the log has acknowledged to it, and those that its
 * follower has read. Each process reports the loss of its own events, because no other process knows how long they waited
 * before they were written. If no process has lost any, one of them reports the rollback.
 */
import { nowSeconds } from '../../shared/clock.js';
import type { Logger } from '../../shared/logger.js';
import {
  comparePositions,
  type EventLog,
  LOG_START,
  type ReaderPosition,
  splitPosition,
} from '../../storage/event-log.js';
import type { Store } from '../../storage/store.js';
import type { EventStream } from '../event-stream.js';
import { streamGap } from '../log.events.js';
import { MAX_EVENT_AGE_SECONDS } from '../publishing/own-events.js';
import { type MissedGap, resumeFromPosition } from './resume.js';

/** All replicas notice a failover within this time. */
const REPORT_MS = 60_000;

export class Rollbacks {
  private end: ReaderPosition | null = null;
  /** When the first event of the log was written, as of the last check. */
  private began = nowSeconds();
  private unchecked: ReaderPosition[] = [];
  private missing: MissedGap[] = [];
  private reported?: { fork: string; history?: string; to: number };

  constructor(
    private readonly store: Store,
    private readonly log: EventLog,
    private readonly events: EventStream,
    private readonly logger: Logger,
  ) {}

  /** Takes a gap that another reader of the log found. */
  missed(gap: MissedGap): void {
    if (gap.reason === 'rollback') this.missing.push(gap);
  }

  /** If it fails, the next call checks the same events again. */
  async check(): Promise<void> {
    const forks = this.log.history;
    this.unchecked.push(...this.log.acknowledged());
    const { first, end } = await this.log.bounds();
    // Checked after the end was read: a failover between the two reads is then found by the next check.
    for (const place of this.end ? [this.end, ...this.unchecked] : this.unchecked) {
      const { gaps } = await resumeFromPosition(this.log, place);
      for (const gap of gaps) this.missed(gap);
    }
    await this.report();
    this.unchecked = [];
    this.end = end && { ...end, forks };
    if (first !== null) this.began = secondsOf(first);
  }

  private async report(): Promise<void> {
    const gaps = this.missing.slice();
    const unreported = gaps.filter((gap) => !this.isReported(gap));
    if (unreported.length > 0) {
      const [fork] = unreported.map(({ from }) => from).sort(comparePositions);
      // Every process tries to get the lease. One that has lost no event of its own reports only if it gets it.
      const lease = await this.store.acquire(`rollback:${fork}`, REPORT_MS);
      const since = this.earliestAfter(fork);
      const own = this.events.oldestWrittenAfter(fork, since);
      const to = nowSeconds();
      if (lease || own !== undefined) this.publish(fork, Math.min(since, own ?? to), to);
      this.reported = { fork, history: this.history(), to };
    }
    this.missing = this.missing.slice(gaps.length);
  }

  /** The gap ends now: events that are acknowledged from now on are in the new history. */
  private publish(fork: string, since: number, to: number): void {
    const from = Math.min(since, to);
    this.events.publish(streamGap({ reason: 'rollback', from, to, detected_at: nowSeconds() }));
    this.logger.error('a failover took the newest events of the log back; a gap reports it', { fork });
  }

  /**
   * The earliest time of an event that was committed after the fork. Positions have the time of the store and events that of
   * their process, so the time of the fork is also taken by the clock of this process.
   */
  private earliestAfter(fork: string): number {
    const at = fork === LOG_START ? this.began : secondsOf(fork);
    const ahead = nowSeconds() - this.store.clock().latest;
    return at + Math.min(0, ahead) - MAX_EVENT_AGE_SECONDS;
  }

  /** A second failover may go back to the same fork, and the clock of its server may be behind. */
  private isReported({ from, to }: MissedGap): boolean {
    const { reported } = this;
    return reported?.fork === from && reported.history === this.history() && secondsOf(to) <= reported.to;
  }

  private history(): string | undefined {
    return this.log.history?.at(-1)?.id;
  }
}

function secondsOf(position: string): number {
  return splitPosition(position)[0] / 1000;
}
