/**
 * Tells by a gap in the log what a failover took back. Every process looks whether there is still what it has seen: the end of the log as it
 * was at the last look, what the log has acknowledged to it, and what its follower has read. Events of its own that may be lost
 * each process tells by itself, since nobody else knows how long they had waited before they were written; where none has any, one tells it.
 */
import { nowSeconds } from '../../shared/clock.js';
import type { Logger } from '../../shared/logger.js';
import {
  comparePositions,
  type EventLog,
  LOG_START,
  type Place,
  splitPosition,
} from '../../storage/event-log.js';
import type { Store } from '../../storage/store.js';
import type { EventStream } from '../event-stream.js';
import { streamGap } from '../log.events.js';
import { RIDE_SECONDS } from '../publishing/written.js';
import { type MissedGap, resume } from './resume.js';

/** The replicas notice a failover within this of one another. */
const TELL_MS = 60_000;

export class Rollbacks {
  private end: Place | null = null;
  /** When the first event of the log was written, as it was at the last look. */
  private began = nowSeconds();
  private unseen: Place[] = [];
  private missing: MissedGap[] = [];
  private told?: { fork: string; to: number };

  constructor(
    private readonly store: Store,
    private readonly log: EventLog,
    private readonly events: EventStream,
    private readonly logger: Logger,
  ) {}

  /** What another reader of the log has missed. */
  missed(gap: MissedGap): void {
    if (gap.reason === 'rollback') this.missing.push(gap);
  }

  /** Where this fails nothing is forgotten: the next look goes on with it. */
  async look(): Promise<void> {
    const forks = this.log.history;
    this.unseen.push(...this.log.acknowledged());
    const { first, end } = await this.log.bounds();
    // Looked for behind the end: between the two a failover would put another end before what is looked for.
    for (const place of this.end ? [this.end, ...this.unseen] : this.unseen) {
      const { gap } = await resume(this.log, place);
      if (gap) this.missed(gap);
    }
    await this.tell();
    this.unseen = [];
    this.end = end && { ...end, forks };
    if (first !== null) this.began = secondsOf(first);
  }

  private async tell(): Promise<void> {
    const gaps = this.missing.slice();
    const untold = gaps.filter((gap) => !this.isTold(gap));
    if (untold.length > 0) {
      const [fork] = untold.map(({ from }) => from).sort(comparePositions);
      // Asked for by everybody, so that those who lost nothing of their own leave it to those who did.
      const lease = await this.store.acquire(`rollback:${fork}`, TELL_MS);
      const own = this.events.writtenBehind(fork);
      const to = nowSeconds();
      if (lease || own !== undefined) this.publish(fork, own ?? to, to);
      this.told = { fork, to };
    }
    this.missing = this.missing.slice(gaps.length);
  }

  /** Until it was noticed, events may have been acknowledged that are gone now; from there on they are in the new history. */
  private publish(fork: string, own: number, to: number): void {
    const since = fork === LOG_START ? this.began : secondsOf(fork);
    const from = Math.min(since - RIDE_SECONDS, own, to);
    this.events.publish(streamGap({ reason: 'rollback', from, to, detected_at: nowSeconds() }));
    this.logger.error('the event log lost its end: a failover took history back; a gap tells it', { fork });
  }

  private isTold({ from, to }: MissedGap): boolean {
    return this.told?.fork === from && secondsOf(to) <= this.told.to;
  }
}

function secondsOf(position: string): number {
  return splitPosition(position)[0] / 1000;
}
