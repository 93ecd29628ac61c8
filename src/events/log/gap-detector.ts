/**
 * Reports by a gap that events are missing from the log: a failover took them back (`Rollbacks`), or a process ended without
 * writing its buffer. Each process stores a process record when it starts, renews it with every beat, and deletes it when it
 * stops. A record without its process means an unclean stop, and the process that finds it reports the gap.
 *
 * A process that is paused or has no connection has not ended. Another process on the same machine can check whether it
 * runs; on other machines it counts as ended after a long silence. If that was wrong, it stores its record again.
 */

import { nowSeconds } from '../../shared/clock.js';
import { isBrainError, messageOf } from '../../shared/errors.js';
import { randomId } from '../../shared/ids.js';
import type { Logger } from '../../shared/logger.js';
import { processState, type Whereabouts, whereabouts } from '../../shared/process-identity.js';
import type { EventLog } from '../../storage/event-log.js';
import { type Collection, type Lease, MAX_PAGE, type Store, type Tx } from '../../storage/store.js';
import type { EventStream } from '../event-stream.js';
import { streamGap } from '../log.events.js';
import type { MissedGap } from './resume.js';
import { Rollbacks } from './rollbacks.js';

interface ProcessRecord {
  id: string;
  started_at: number;
  /** All events that it published before this time are in the log. Records of older releases lack this and the next two. */
  complete_until?: number;
  /** The time of its last beat, and how long it can decide after that without a beat. */
  last_beat_at?: number;
  can_decide_seconds?: number;
  /** The history of the log in which it was last renewed. A server that took over may have an older copy of the record. */
  history?: string;
  runs_at?: Whereabouts | null;
}

const RECORDS: Collection<ProcessRecord> = {
  name: 'processes',
  item: 'process',
  version: 2,
  indexVersion: 1,
  id: (record) => record.id,
  order: (record) => record.started_at,
};

/**
 * Exists while the times in the process record are up to date. A full store takes no new times, but it takes the deletion of
 * this document.
 */
const UP_TO_DATE: Collection<{ id: string }> = {
  name: 'timed_processes',
  item: 'process',
  version: 1,
  indexVersion: 1,
  id: ({ id }) => id,
};

const BEAT_MS = 2000;
/** Longer than any pause of a healthy process. After this time others check whether the process still runs. */
const ALIVE_MS = 8000;
/** A process on another machine counts as ended after this time; a paused or disconnected one is back sooner. */
const SILENCE_MS = 120_000;
/** The longest time from one beat to the end of the next, also with a slow store. */
const BETWEEN_BEATS_SECONDS = 5;

/** The last beat of another process, and since when its record has not changed. */
interface LastBeat {
  at: number;
  sinceMs: number;
}

export interface GapDetectorSettings {
  maxStaleSeconds: number;
  silenceMs?: number;
  processState?: typeof processState;
}

export class GapDetector {
  private readonly record: ProcessRecord;
  private readonly rollbacks: Rollbacks;
  private readonly lastBeats = new Map<string, LastBeat>();
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
    store.declare(RECORDS);
    store.declare(UP_TO_DATE);
    this.rollbacks = new Rollbacks(store, log, events, logger);
    const now = nowSeconds();
    // A process decides from memory for the grace time; the embedded store can always be reached.
    const graceSeconds = store.kind === 'embedded' ? 0 : settings.maxStaleSeconds;
    const can_decide_seconds = graceSeconds + BETWEEN_BEATS_SECONDS;
    const times = { started_at: now, complete_until: now, last_beat_at: now, can_decide_seconds };
    this.record = { id: randomId(12), ...times, runs_at: whereabouts() };
  }

  /** Does not wait for the store: the first beat that reaches it stores the record. */
  start(): void {
    this.beat();
  }

  /** Takes a gap that the follower found: it sees more events than a check every two seconds. */
  missed(gap: MissedGap): void {
    this.rollbacks.missed(gap);
  }

  /** Called after the flush of EventStream. If that failed the record stays, and the next start reports the gap. */
  async stop(flushed: boolean): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.beating;
    if (!flushed) return;
    try {
      await this.store.transaction(async (tx) => {
        await removeRecord(tx, this.record.id);
      });
      if (this.lease) await this.store.release(this.lease);
    } catch (error) {
      // The record stays, and the next start reports a gap, though nothing is missing.
      this.logger.warn('the record of this process could not be deleted', { reason: messageOf(error) });
    }
  }

  private beat(): void {
    this.beating = this.beatOnce()
      .catch((error: unknown) => {
        // While the store could not be reached, the other processes could not beat.
        this.lastBeats.clear();
        this.logger.debug('the record of this process could not be renewed', { reason: messageOf(error) });
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
      await this.renewRecord(failed ? undefined : this.events.completeUntil());
    } catch (error) {
      if (isBrainError(error, 'storage_full')) await this.removeUpToDate();
      throw error;
    }
    if (failed) throw failed.error;
    await this.reportUncleanStops();
  }

  private async renewRecord(completeUntil = this.record.complete_until): Promise<void> {
    const held = this.lease && (await this.store.renew(this.lease, ALIVE_MS));
    if (!held) this.lease = await this.store.acquire(leaseOf(this.record.id), ALIVE_MS);
    const { lease } = this;
    if (!lease) return;
    this.record.complete_until = completeUntil;
    this.record.last_beat_at = nowSeconds();
    this.record.history = this.log.history?.at(-1)?.id;
    await this.store.transaction(async (tx) => {
      // Another process would take a record without a lease for that of an ended process.
      tx.demand(lease);
      if (await tx.get(RECORDS, this.record.id)) tx.put(RECORDS, this.record);
      else tx.insert(RECORDS, this.record);
      if (!(await tx.get(UP_TO_DATE, this.record.id))) tx.insert(UP_TO_DATE, { id: this.record.id });
    });
  }

  /** The times in the record get old from now on, so the gap of an unclean stop must end when it is noticed. */
  private async removeUpToDate(): Promise<void> {
    const { id } = this.record;
    await this.store.transaction(async (tx) => {
      if (await tx.get(UP_TO_DATE, id)) tx.delete(UP_TO_DATE, id);
    });
  }

  private async reportUncleanStops(): Promise<void> {
    const { rows } = await this.store.list(RECORDS, { direction: 'asc', limit: MAX_PAGE });
    const others = rows.filter(({ id }) => id !== this.record.id);
    for (const id of this.lastBeats.keys())
      if (!others.some((record) => record.id === id)) this.lastBeats.delete(id);
    for (const record of others) {
      const lastBeat = this.noteBeat(record);
      const lease = await this.store.acquire(leaseOf(record.id), ALIVE_MS);
      if (!lease) continue;
      if (this.hasEnded(record, lastBeat)) await this.reportUncleanStop(record.id);
      await this.store.release(lease);
    }
  }

  private noteBeat({ id, started_at, last_beat_at = started_at }: ProcessRecord): LastBeat {
    let beat = this.lastBeats.get(id);
    if (beat?.at === last_beat_at) return beat;
    beat = { at: last_beat_at, sinceMs: performance.now() };
    this.lastBeats.set(id, beat);
    return beat;
  }

  private hasEnded({ runs_at }: ProcessRecord, { sinceMs }: LastBeat): boolean {
    // Only one process at a time has the folder of an embedded store, so any other one has ended.
    if (this.store.kind === 'embedded') return true;
    const state = (this.settings.processState ?? processState)(runs_at);
    if (state !== 'unknown') return state === 'ended';
    return performance.now() - sinceMs >= (this.settings.silenceMs ?? SILENCE_MS);
  }

  private async reportUncleanStop(id: string): Promise<void> {
    await this.store.transaction(async (tx) => {
      const ended = await tx.get(RECORDS, id);
      if (!ended) return;
      const now = nowSeconds();
      const { started_at, complete_until = started_at } = ended;
      const { last_beat_at = now, can_decide_seconds = 0, history } = ended;
      // Its last event cannot be later than this, even if its record is found much later. The times have its own clock.
      const latest = last_beat_at + can_decide_seconds;
      const isExact =
        (await tx.get(UP_TO_DATE, id)) !== undefined && history === this.log.history?.at(-1)?.id;
      const to = isExact ? latest : Math.max(now, latest);
      await removeRecord(tx, id);
      this.events.publish(
        streamGap({ reason: 'unclean_stop', from: complete_until, to, detected_at: now }),
        tx,
      );
    });
    this.logger.warn('a process ended without writing its buffered events; a gap reports it', {
      process: id,
    });
  }
}

async function removeRecord(tx: Tx, id: string): Promise<void> {
  if (await tx.get(RECORDS, id)) tx.delete(RECORDS, id);
  if (await tx.get(UP_TO_DATE, id)) tx.delete(UP_TO_DATE, id);
}

function leaseOf(id: string): string {
  return `process:${id}`;
}
