/**
 * The worker of a replica: it takes missions that are due, by priority and then by the time they became due, and runs as many at once
 * as the settings allow. There is no separate queue. An index lists the missions that are due, and a lease says which run holds one.
 */
import { Inject, Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { CONFIG, type Config, settingsIn } from '../../config/config.js';
import { atMost } from '../../shared/clock.js';
import { runInContext } from '../../shared/context.js';
import { messageOf } from '../../shared/errors.js';
import { LogOnce } from '../../shared/log-once.js';
import { ShutdownState } from '../../shared/shutdown-state.js';
import type { Lease, Store } from '../../storage/store.js';
import { HELD, MISSIONS, type StoredMission } from '../missions.collection.js';
import { PRIORITIES } from '../missions.lifecycle.js';
import { MISSIONS_SETTINGS } from '../missions.settings.js';
import { dueNow } from './due.js';
import { MissionRun } from './run.js';
import { RunTools } from './run-tools.js';

/** How often a lease is renewed within its time. */
const RENEWALS = 3;
/** How soon a change by another replica is noticed. */
const TICK_MS = 250;
/** Every so many ticks the worker searches even if nothing changed: a mission may have become due by time. */
const SEARCH_EVERY_TICKS = 4;
/** Every so many ticks the worker searches for missions whose worker is gone. */
const RECOVER_EVERY_TICKS = 20;
/** How many missions a search lists beyond the free slots, because other workers may have taken some of them. */
const SPARE = 10;
/** Most held missions have a living worker, so they are searched page by page. */
const HELD_PAGE = 100;
/** The pause between two warnings that missions cannot be searched. */
const WARNING_PAUSE_MS = 60_000;

@Injectable()
export class MissionsWorker implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly store: Store;
  private readonly leaseMs: number;
  /** How many missions this worker runs at the same time. */
  private readonly slots: number;
  private readonly runs = new Map<string, { run: MissionRun; finished: Promise<void> }>();
  private timer?: NodeJS.Timeout;
  private stopWatching?: () => void;
  private ticks = 0;
  /** The search that is under way. */
  private search?: Promise<void>;
  /** Someone called `wake` since the last search began. */
  private searchAgain = false;
  /** Missions were written since the last tick. */
  private changed = false;
  /** The next search also looks for abandoned missions. */
  private recovering = true;
  /** The page at which the search for abandoned missions continues. */
  private heldCursor?: string;
  /** More missions are due than this worker has slots for. */
  private othersWait = false;
  private isStopped = false;
  private ended?: Promise<void>;
  private readonly warnings = new LogOnce(WARNING_PAUSE_MS);

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly tools: RunTools,
    shutdownState: ShutdownState,
  ) {
    this.store = tools.store;
    const settings = settingsIn(config, MISSIONS_SETTINGS);
    this.slots = settings.BRAIN_MISSIONS_CONCURRENCY;
    this.leaseMs = settings.BRAIN_MISSIONS_LEASE_SECONDS * 1000;
    shutdownState.onLeave(() => void this.end());
  }

  onApplicationBootstrap(): void {
    // This replica's own runs write often. Their notices are collected until the next tick.
    this.stopWatching = this.store.watch(MISSIONS, () => {
      this.changed = true;
    });
    this.timer = setInterval(() => this.tick(), TICK_MS).unref();
    this.wake();
  }

  onModuleDestroy(): Promise<void> {
    return this.end();
  }

  /** Takes no more missions, lets runs finish within the grace time for requests, and hands the other missions back. */
  private end(): Promise<void> {
    this.isStopped = true;
    this.ended ??= this.endRuns();
    return this.ended;
  }

  private async endRuns(): Promise<void> {
    clearInterval(this.timer);
    this.stopWatching?.();
    await this.search;
    const finished = Promise.all([...this.runs.values()].map((one) => one.finished));
    await atMost(this.config.shutdownGraceSeconds * 1000, finished);
    for (const { run } of this.runs.values()) run.stop('stopping');
    await finished;
  }

  /** Searches for missions to run. A call during a search causes one more search after it. */
  wake(): void {
    this.searchAgain = true;
    this.search ??= this.searchWhileWoken()
      .catch((error: unknown) => this.warn(error))
      .finally(() => {
        this.search = undefined;
        // A call may come after the last check of the loop.
        if (this.searchAgain && !this.isStopped) this.wake();
      });
  }

  private tick(): void {
    this.ticks += 1;
    this.recovering ||= this.ticks % RECOVER_EVERY_TICKS === 0;
    if (!this.changed && this.ticks % SEARCH_EVERY_TICKS !== 0) return;
    this.changed = false;
    for (const { run } of this.runs.values()) run.stopIfLost().catch((error: unknown) => this.warn(error));
    this.wake();
  }

  private async searchWhileWoken(): Promise<void> {
    while (this.searchAgain && !this.isStopped) {
      this.searchAgain = false;
      // Begun missions go first. While many missions are due, no slot would ever be free for them later.
      if (this.recovering) await this.takeAbandoned().catch((error: unknown) => this.warn(error));
      this.othersWait = await this.takeDue();
    }
  }

  private get freeSlots(): number {
    return this.isStopped ? 0 : this.slots - this.runs.size;
  }

  /** Takes due missions until no slot or no mission is left. Returns whether due missions remain without a slot. */
  private async takeDue(): Promise<boolean> {
    for (;;) {
      const until = dueNow(this.store);
      // Missions that runs of this worker have not yet marked as held are still in the index of due missions.
      const held = [...this.runs.values()].filter(({ run }) => run.isHeld).length;
      const limit = this.slots - held + SPARE;
      const lists = await Promise.all(PRIORITIES.map((priority) => this.listDue(priority, limit, until)));
      const due = lists.flat();
      if (this.isStopped) return false;
      const { freeSlots } = this;
      if (freeSlots === 0) return due.length > 0;
      const tookAny = await this.fillSlots(due);
      if (!tookAny || due.length <= freeSlots) return false;
    }
  }

  /** Lists each priority by itself, so that unreadable missions of one priority do not block the others. */
  private async listDue(priority: string, limit: number, until: number): Promise<StoredMission[]> {
    try {
      const query = { where: { due: priority }, until, direction: 'asc', limit } as const;
      const { rows } = await this.store.list(MISSIONS, query);
      return rows.filter(({ id }) => !this.runs.has(id));
    } catch (error) {
      this.warn(error);
      return [];
    }
  }

  /** Takes missions that are held under a lease that is over: their worker was killed, or lost the store. */
  private async takeAbandoned(): Promise<void> {
    let cursor = this.heldCursor;
    // Reset first: after an error the search starts over at its next turn, and not at every call of `wake`.
    this.heldCursor = undefined;
    this.recovering = false;
    while (this.freeSlots > 0) {
      const query = { where: { due: HELD }, direction: 'asc', limit: HELD_PAGE, cursor } as const;
      const { rows, next } = await this.store.list(MISSIONS, query);
      await this.fillSlots(rows.filter(({ id }) => !this.runs.has(id)));
      if (this.freeSlots === 0) break;
      if (next === null) return;
      cursor = next;
    }
    // This page may have more abandoned missions. The search continues here once a slot is free.
    this.heldCursor = cursor;
    this.recovering = true;
  }

  /** Takes missions in order, as many at once as there are free slots. Returns whether any could be taken. */
  private async fillSlots(missions: StoredMission[]): Promise<boolean> {
    const rest = [...missions];
    let tookAny = false;
    while (rest.length > 0 && this.freeSlots > 0) {
      const batch = rest.splice(0, this.freeSlots);
      const taken = await Promise.all(batch.map((mission) => this.startRun(mission)));
      tookAny ||= taken.includes(true);
    }
    return tookAny;
  }

  /** Starts a run of the mission, if its lease is free. */
  private async startRun(mission: StoredMission): Promise<boolean> {
    const { id, correlation_id, started_by } = mission;
    const askedMs = performance.now();
    const lease = await this.acquireLease(id);
    if (!lease) return false;
    const run = new MissionRun(mission, lease, this.tools, () => this.othersWait);
    // The events of a run belong to the request that started the mission, not to the one that woke the worker.
    const cause = { correlationId: correlation_id ?? id, actor: started_by ?? undefined };
    const context = { requestId: `mission:${id}`, ...cause };
    const finished = runInContext(context, () => this.runUnderLease(run, id, lease, askedMs));
    this.runs.set(id, { run, finished });
    return true;
  }

  /** Returns undefined if another worker has the lease, or if the store cannot give it now. */
  private async acquireLease(id: string): Promise<Lease | undefined> {
    try {
      const lease = await this.store.acquire(`mission:${id}`, this.leaseMs);
      if (!lease || !this.isStopped) return lease;
      await this.store.release(lease);
    } catch (error) {
      this.warn(error);
    }
    return undefined;
  }

  /**
   * Runs the mission and renews its lease. The time of the lease counts from when it was asked for, so the run ends before another
   * worker can take the mission.
   */
  private async runUnderLease(run: MissionRun, id: string, lease: Lease, askedMs: number): Promise<void> {
    let expiry: NodeJS.Timeout | undefined;
    const stopAfter = (sinceMs: number): void => {
      clearTimeout(expiry);
      const leftMs = sinceMs + this.leaseMs - performance.now();
      expiry = setTimeout(() => run.stop('lease_lost'), leftMs).unref();
    };
    stopAfter(askedMs);
    const renewal = setInterval(() => {
      const renewedMs = performance.now();
      this.store.renew(lease, this.leaseMs).then(
        (isHeld) => (isHeld ? stopAfter(renewedMs) : run.stop('lease_lost')),
        // The store is unavailable, also for other workers. The expiry timer keeps running.
        () => undefined,
      );
    }, this.leaseMs / RENEWALS);
    try {
      await run.run();
    } finally {
      clearInterval(renewal);
      clearTimeout(expiry);
      this.runs.delete(id);
      await this.store.release(lease).catch(() => undefined);
      if (!this.isStopped) this.wake();
    }
  }

  private warn(error: unknown): void {
    if (!this.warnings.isDue()) return;
    this.tools.logger.warn('the search for missions failed; it is repeated', { reason: messageOf(error) });
  }
}
