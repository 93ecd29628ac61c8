/**
 * Keeps the log honest about what it cannot know by itself: that history was taken back (Rollbacks), and that a process ended without
 * flushing its events. Each process leaves a mark when it starts and takes it away when it stops; a mark whose process is gone means an
 * unclean stop, and whoever finds it tells the gap.
 *
 * A process that only stands still or is cut off is not gone. On the same machine another can look whether it runs; elsewhere
 * it counts as gone after a long silence. One that was taken for gone and comes back makes its mark anew.
 */

import { nowSeconds } from '../../shared/clock.js';
import { messageOf } from '../../shared/errors.js';
import { randomId } from '../../shared/ids.js';
import type { Logger } from '../../shared/logger.js';
import { fateOf, type Whereabouts, whereabouts } from '../../shared/process-identity.js';
import type { EventLog } from '../../storage/event-log.js';
import { type Collection, type Lease, MAX_PAGE, type Store } from '../../storage/store.js';
import type { EventStream } from '../event-stream.js';
import { streamGap } from '../log.events.js';
import type { MissedGap } from './resume.js';
import { Rollbacks } from './rollbacks.js';

interface Mark {
  id: string;
  started_at: number;
  /** All that was published before this time is in the log. */
  seen_at: number;
  /** When it was last heard of, and how long it can go on deciding from then on without being heard. Older releases leave it out. */
  heard_at?: number;
  unheard_seconds?: number;
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

const BEAT_MS = 2000;
/** Longer than any pause of a healthy process; who is not heard of for so long is looked for. */
const ALIVE_MS = 8000;
/** One that cannot be looked for is gone after so long: by then one that stood still or was cut off has come back. */
const SILENCE_MS = 120_000;
/** From one beat to the end of the next, also where the store is slow. */
const BETWEEN_BEATS_SECONDS = 5;

/** What this process has heard of another. */
interface Heard {
  at: number;
  sinceMs: number;
  /** Its lease was seen to be held, and from when on it was not: it may renew it where it cannot write, in a store that is full. */
  held: boolean;
  overAt?: number;
}

export interface KeeperSettings {
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
    log: EventLog,
    private readonly events: EventStream,
    private readonly logger: Logger,
    private readonly settings: KeeperSettings,
  ) {
    store.declare(MARKS);
    this.rollbacks = new Rollbacks(store, log, events, logger);
    const now = nowSeconds();
    // From memory a process decides for as long as it may without its store; the embedded one is never away.
    const graceSeconds = store.kind === 'embedded' ? 0 : settings.maxStaleSeconds;
    const unheard_seconds = graceSeconds + BETWEEN_BEATS_SECONDS;
    const times = { started_at: now, seen_at: now, heard_at: now, unheard_seconds };
    this.mark = { id: randomId(12), ...times, runs_at: whereabouts() };
  }

  /** Does not wait for a store that is away: the first beat that reaches it leaves the mark. */
  start(): void {
    this.beat();
  }

  /** What another reader of the log missed: it saw more of the end than a look every two seconds does. */
  missed(gap: MissedGap): void {
    this.rollbacks.missed(gap);
  }

  /** Called after the stream was flushed; an unflushed one leaves its mark, and the next start tells the gap. */
  async stop(flushed: boolean): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.beating;
    if (!flushed) return;
    try {
      await this.store.transaction(async (tx) => {
        if (await tx.get(MARKS, this.mark.id)) tx.delete(MARKS, this.mark.id);
      });
      if (this.lease) await this.store.release(this.lease);
    } catch (error) {
      // The mark stays, and the next start tells a gap: rather one too many than one too few.
      this.logger.warn('the mark of this process could not be taken away', { reason: messageOf(error) });
    }
  }

  private beat(): void {
    this.beating = this.lookAround()
      .catch((error: unknown) => {
        // While the store was away nobody could say that it lives.
        this.heard.clear();
        this.logger.debug('the mark of this process waits', { reason: messageOf(error) });
      })
      .finally(() => {
        if (this.stopped) return;
        this.timer = setTimeout(() => this.beat(), BEAT_MS);
        this.timer.unref();
      });
  }

  private async lookAround(): Promise<void> {
    await this.rollbacks.look();
    await this.renewMark();
    await this.tellUncleanStops();
  }

  private async renewMark(): Promise<void> {
    const held = this.lease && (await this.store.renew(this.lease, ALIVE_MS));
    if (!held) this.lease = await this.store.acquire(leaseOf(this.mark.id), ALIVE_MS);
    const { lease } = this;
    if (!lease) return;
    this.mark.seen_at = this.events.completeUntil();
    this.mark.heard_at = nowSeconds();
    await this.store.transaction(async (tx) => {
      // A mark that stands without its lease, be it that the store was emptied in between, is taken for that of a dead process.
      tx.demand(lease);
      if (await tx.get(MARKS, this.mark.id)) tx.put(MARKS, this.mark);
      else tx.insert(MARKS, this.mark);
    });
  }

  private async tellUncleanStops(): Promise<void> {
    const { rows } = await this.store.list(MARKS, { direction: 'asc', limit: MAX_PAGE });
    const others = rows.filter(({ id }) => id !== this.mark.id);
    for (const id of this.heard.keys()) if (!others.some((mark) => mark.id === id)) this.heard.delete(id);
    for (const mark of others) {
      const heard = this.hear(mark);
      const lease = await this.store.acquire(leaseOf(mark.id), ALIVE_MS);
      if (!lease) {
        Object.assign(heard, { held: true, overAt: undefined });
        continue;
      }
      if (heard.held) heard.overAt ??= nowSeconds();
      if (this.isGone(mark, heard)) await this.tellUncleanStop(mark.id, heard);
      await this.store.release(lease);
    }
  }

  private hear({ id, seen_at, heard_at = seen_at }: Mark): Heard {
    let heard = this.heard.get(id);
    if (heard?.at === heard_at) return heard;
    heard = { at: heard_at, sinceMs: performance.now(), held: false };
    this.heard.set(id, heard);
    return heard;
  }

  private isGone({ runs_at }: Mark, { sinceMs }: Heard): boolean {
    // Only one process holds the folder of an embedded store.
    if (this.store.kind === 'embedded') return true;
    const fate = (this.settings.fateOf ?? fateOf)(runs_at);
    if (fate !== 'unknown') return fate === 'gone';
    return performance.now() - sinceMs >= (this.settings.silenceMs ?? SILENCE_MS);
  }

  private async tellUncleanStop(id: string, { overAt = 0 }: Heard): Promise<void> {
    await this.store.transaction(async (tx) => {
      const gone = await tx.get(MARKS, id);
      if (!gone) return;
      tx.delete(MARKS, id);
      const now = nowSeconds();
      const { seen_at, heard_at = now, unheard_seconds = 0 } = gone;
      // No event of it can be younger than this, however much later the mark is found.
      const lastHeard = Math.max(heard_at, overAt - ALIVE_MS / 1000);
      const to = Math.min(now, lastHeard + unheard_seconds);
      this.events.publish(streamGap({ reason: 'unclean_stop', from: seen_at, to, detected_at: now }), tx);
    });
    this.logger.warn('a process ended without flushing its events; a gap tells it', { process: id });
  }
}

function leaseOf(id: string): string {
  return `process:${id}`;
}
