/**
 * Reports by a gap that events are missing from the log: a failover took them back (`Rollbacks`), or a process ended without
 * writing its buffer. Each process stores a mark when it starts and deletes it when it stops. A mark without its process
 * means an unclean stop, and the process that finds it reports the gap.
 *
 * A process that is paused or has no connection is not gone. Another process on the same machine can check whether it runs;
 * on other machines it counts as gone after a long silence. If it was wrongly counted as gone, it stores its mark again.
 */

import { nowSeconds } from '../../shared/clock.js';
import { isBrainError, messageOf } from '../../shared/errors.js';
import { randomId } from '../../shared/ids.js';
import type { Logger } from '../../shared/logger.js';
import { fateOf, type Whereabouts, whereabouts } from '../../shared/process-identity.js';
import type { EventLog } from '../../storage/event-log.js';
import { type Collection, type Lease, MAX_PAGE, type Store, type Tx } from '../../storage/store.js';
import type { EventStream } from '../event-stream.js';
import { streamGap } from '../log.events.js';
import type { MissedGap } from './resume.js';
import { Rollbacks } from './rollbacks.js';

interface Mark {
  id: string;
  started_at: number;
  /** All events that it published before this time are in the log. */
  seen_at: number;
  /** The time of its last beat, and how long it can decide after that without a beat. Marks of older releases lack both. */
  heard_at?: number;
  unheard_seconds?: number;
  /** The history of the log in which it was last renewed. A server that took over may have an older copy of the mark. */
  history?: string;
  runs_at?: Whereabouts | null;
}

const MARKS: Collection<Mark> = {
  name: 'processes',
  item: 'process',
  version: 2,
  indexVersion: 1,
  id: (mark) => mark.id,
  order: (mark) => mark.started_at,
};

/** While it is there, the times in the mark of this process were at most a beat old. A full store takes no mark. */
const TIMED: Collection<{ id: string }> = {
  name: 'timed_processes',
  item: 'process',
  version: 1,
  indexVersion: 1,
  id: ({ id }) => id,
  order: () => 0,
};

const BEAT_MS = 2000;
/** Longer than any pause of a healthy process. After this time others check whether the process still runs. */
const ALIVE_MS = 8000;
/** A process on another machine counts as gone after this time; a paused or disconnected one is back sooner. */
const SILENCE_MS = 120_000;
/** The longest time from one beat to the end of the next, also with a slow store. */
const BETWEEN_BEATS_SECONDS = 5;

/** The last times in the mark of another process, and since when they have not changed. */
interface Heard {
  at: number;
  sinceMs: number;
}

export interface GapDetectorSettings {
  maxStaleSeconds: number;
  silenceMs?: number;
  fateOf?: typeof fateOf;
}

export class GapDetector {
  private readonly mark: Mark;
  private readonly rollbacks: Rollbacks;
  private readonly heard = new Map<string, Heard>();
  private lease?: Lease;
  private timer?: NodeJS.Timeout;
  private beating?: Promise<void>;
  private stopped = false;

  constructor(
    private readonly store: Store,
    private readonly log: EventLog,
    private readonly events: EventStream,
    private readonly logger: Logger,
    private readonly settings: GapDetectorSettings,
  ) {
    store.declare(MARKS);
    store.declare(TIMED);
    this.rollbacks = new Rollbacks(store, log, events, logger);
    const now = nowSeconds();
    // A process decides from memory for the grace time; the embedded store can always be reached.
    const graceSeconds = store.kind === 'embedded' ? 0 : settings.maxStaleSeconds;
    const unheard_seconds = graceSeconds + BETWEEN_BEATS_SECONDS;
    const times = { started_at: now, seen_at: now, heard_at: now, unheard_seconds };
    this.mark = { id: randomId(12), ...times, runs_at: whereabouts() };
  }

  /** Does not wait for the store: the first beat that reaches it stores the mark. */
  start(): void {
    this.beat();
  }

  /** Takes a gap that the follower found: it sees more events than a check every two seconds. */
  missed(gap: MissedGap): void {
    this.rollbacks.missed(gap);
  }

  /** Called after the flush of EventStream. If that failed the mark stays, and the next start reports the gap. */
  async stop(flushed: boolean): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.beating;
    if (!flushed) return;
    try {
      await this.store.transaction(async (tx) => {
        await removeMark(tx, this.mark.id);
      });
      if (this.lease) await this.store.release(this.lease);
    } catch (error) {
      // The mark stays, and the next start reports a gap, though nothing is missing.
      this.logger.warn('the mark of this process could not be deleted', { reason: messageOf(error) });
    }
  }

  private beat(): void {
    this.beating = this.beatOnce()
      .catch((error: unknown) => {
        // While the store could not be reached, the other processes could not beat.
        this.heard.clear();
        this.logger.debug('the mark of this process could not be renewed', { reason: messageOf(error) });
      })
      .finally(() => {
        if (this.stopped) return;
        this.timer = setTimeout(() => this.beat(), BEAT_MS);
        this.timer.unref();
      });
  }

  private async beatOnce(): Promise<void> {
    const failed = await this.rollbacks.check().then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    try {
      // Without the check nobody knows whether its events are still in the log, but the process is alive.
      await this.renewMark(failed ? this.mark.seen_at : this.events.completeUntil());
    } catch (error) {
      if (isBrainError(error, 'storage_full')) await this.giveUpTimes();
      throw error;
    }
    if (failed) throw failed.error;
    await this.reportUncleanStops();
  }

  private async renewMark(completeUntil: number): Promise<void> {
    const held = this.lease && (await this.store.renew(this.lease, ALIVE_MS));
    if (!held) this.lease = await this.store.acquire(leaseOf(this.mark.id), ALIVE_MS);
    const { lease } = this;
    if (!lease) return;
    this.mark.seen_at = completeUntil;
    this.mark.heard_at = nowSeconds();
    this.mark.history = this.log.history?.at(-1)?.id;
    await this.store.transaction(async (tx) => {
      // Another process would take a mark without a lease for that of an ended process.
      tx.demand(lease);
      if (await tx.get(MARKS, this.mark.id)) tx.put(MARKS, this.mark);
      else tx.insert(MARKS, this.mark);
      if (!(await tx.get(TIMED, this.mark.id))) tx.insert(TIMED, { id: this.mark.id });
    });
  }

  /** A full store takes only removals. Without this document, a gap of this process ends when it is noticed. */
  private async giveUpTimes(): Promise<void> {
    const { id } = this.mark;
    await this.store.transaction(async (tx) => {
      if (await tx.get(TIMED, id)) tx.delete(TIMED, id);
    });
  }

  private async reportUncleanStops(): Promise<void> {
    const { rows } = await this.store.list(MARKS, { direction: 'asc', limit: MAX_PAGE });
    const others = rows.filter(({ id }) => id !== this.mark.id);
    for (const id of this.heard.keys()) if (!others.some((mark) => mark.id === id)) this.heard.delete(id);
    for (const mark of others) {
      const heard = this.hear(mark);
      const lease = await this.store.acquire(leaseOf(mark.id), ALIVE_MS);
      if (!lease) continue;
      if (this.isGone(mark, heard)) await this.reportUncleanStop(mark.id);
      await this.store.release(lease);
    }
  }

  private hear({ id, seen_at, heard_at = seen_at }: Mark): Heard {
    let heard = this.heard.get(id);
    if (heard?.at === heard_at) return heard;
    heard = { at: heard_at, sinceMs: performance.now() };
    this.heard.set(id, heard);
    return heard;
  }

  private isGone({ runs_at }: Mark, { sinceMs }: Heard): boolean {
    // Only one process at a time has the folder of an embedded store, so any other one has ended.
    if (this.store.kind === 'embedded') return true;
    const fate = (this.settings.fateOf ?? fateOf)(runs_at);
    if (fate !== 'unknown') return fate === 'gone';
    return performance.now() - sinceMs >= (this.settings.silenceMs ?? SILENCE_MS);
  }

  private async reportUncleanStop(id: string): Promise<void> {
    await this.store.transaction(async (tx) => {
      const gone = await tx.get(MARKS, id);
      if (!gone) return;
      const now = nowSeconds();
      const { seen_at, heard_at = now, unheard_seconds = 0, history } = gone;
      // Its last event cannot be later than this, even if its mark is found much later. The times have its own clock.
      const latest = heard_at + unheard_seconds;
      const isExact = (await tx.get(TIMED, id)) !== undefined && history === this.log.history?.at(-1)?.id;
      const to = isExact ? latest : Math.max(now, latest);
      await removeMark(tx, id);
      this.events.publish(streamGap({ reason: 'unclean_stop', from: seen_at, to, detected_at: now }), tx);
    });
    this.logger.warn('a process ended without writing its buffered events; a gap reports it', {
      process: id,
    });
  }
}

async function removeMark(tx: Tx, id: string): Promise<void> {
  if (await tx.get(MARKS, id)) tx.delete(MARKS, id);
  if (await tx.get(TIMED, id)) tx.delete(TIMED, id);
}

function leaseOf(id: string): string {
  return `process:${id}`;
}
