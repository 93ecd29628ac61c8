/**
 * The worker of a replica: it takes missions that are due, by priority and then by the time they became due, and runs as many at once
 * as the settings allow. There is no separate queue. An index lists the missions that are due, and a lease says which run holds one.
 *
 * This class decides when to search. `MissionSearch` finds the missions, and `Slots` runs them.
 */
import { Inject, Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { CONFIG, type Config, settingsIn } from '../../config/config.js';
import { isStoreAway, messageOf } from '../../shared/errors.js';
import { LogOnce } from '../../shared/log-once.js';
import { ShutdownState } from '../../shared/shutdown-state.js';
import { MISSIONS } from '../missions.collection.js';
import { MISSIONS_SETTINGS } from '../missions.settings.js';
import { RunTools } from './run-tools.js';
import { MissionSearch } from './search.js';
import { Slots } from './slots.js';

/** How soon a change by another replica is noticed. */
const TICK_MS = 250;
/** The worker searches once a second even if nothing changed: a mission may have become due by time. */
const SEARCH_EVERY_TICKS = 4;
/** The worker searches for abandoned missions every five seconds. */
const SEARCH_ABANDONED_EVERY_TICKS = 20;
/** The pause between two warnings that missions cannot be searched. */
const WARNING_PAUSE_MS = 60_000;

@Injectable()
export class MissionsWorker implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly slots: Slots;
  private readonly search: MissionSearch;
  private timer?: NodeJS.Timeout;
  private stopWatching?: () => void;
  private ticks = 0;
  /** Missions were written since the last tick. */
  private missionsChanged = false;
  /** The search that is under way. */
  private searching?: Promise<void>;
  /** `wake` was called since the last search began. */
  private isWoken = false;
  /** The next search also looks for abandoned missions. */
  private searchesAbandoned = true;
  private ending?: Promise<void>;
  private readonly warnings = new LogOnce(WARNING_PAUSE_MS);

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly tools: RunTools,
    shutdownState: ShutdownState,
  ) {
    const settings = settingsIn(config, MISSIONS_SETTINGS);
    const leaseMs = settings.BRAIN_MISSIONS_LEASE_SECONDS * 1000;
    const warn = (error: unknown): void => this.warn(error);
    const { BRAIN_MISSIONS_CONCURRENCY: all, BRAIN_MISSIONS_AGENT_SHARE: percent } = settings;
    const perAgent = percent === 0 ? all : Math.ceil((all * percent) / 100);
    this.slots = new Slots({ all, perAgent }, leaseMs, tools, {
      freed: () => this.wake(),
      failed: warn,
    });
    this.search = new MissionSearch(tools.store, this.slots, warn);
    shutdownState.onLeave(() => void this.end());
  }

  onApplicationBootstrap(): void {
    // This replica's own runs write often. Their notices are collected until the next tick.
    this.stopWatching = this.tools.store.watch(MISSIONS, () => {
      this.missionsChanged = true;
    });
    this.timer = setInterval(() => this.tick(), TICK_MS).unref();
    this.wake();
  }

  onModuleDestroy(): Promise<void> {
    return this.end();
  }

  /** Takes no more missions, lets runs finish within the grace time for requests, and hands the other missions back. */
  private end(): Promise<void> {
    this.slots.close();
    this.ending ??= this.endRuns();
    return this.ending;
  }

  private async endRuns(): Promise<void> {
    clearInterval(this.timer);
    this.stopWatching?.();
    await this.searching;
    await this.slots.finish(this.config.shutdownGraceSeconds * 1000);
  }

  private tick(): void {
    this.ticks += 1;
    this.searchesAbandoned ||= this.ticks % SEARCH_ABANDONED_EVERY_TICKS === 0;
    const isTime = this.ticks % SEARCH_EVERY_TICKS === 0 || this.search.isLooking;
    if (!this.missionsChanged && !isTime) return;
    this.missionsChanged = false;
    this.slots.stopLost();
    this.wake();
  }

  /** Searches for missions to run. A call during a search causes one more search after it. */
  wake(): void {
    this.isWoken = true;
    this.searching ??= this.searchWhileWoken()
      .catch((error: unknown) => this.warn(error))
      .finally(() => {
        this.searching = undefined;
        // A call may come after the last check of the loop.
        if (this.isWoken && !this.slots.isClosed) this.wake();
      });
  }

  private async searchWhileWoken(): Promise<void> {
    while (this.isWoken && !this.slots.isClosed) {
      this.isWoken = false;
      // Begun missions go first. While many missions are due, no slot would ever be free for them later.
      if (this.searchesAbandoned) await this.takeAbandoned();
      this.slots.othersAreDue = await this.search.takeDue();
    }
  }

  private async takeAbandoned(): Promise<void> {
    // Reset first: after an error the search starts over at its next turn, and not at every call of `wake`.
    this.searchesAbandoned = false;
    try {
      const sawAll = await this.search.takeAbandoned();
      if (!sawAll) this.searchesAbandoned = true;
    } catch (error) {
      this.warn(error);
    }
  }

  private warn(error: unknown): void {
    if (isStoreAway(error) || !this.warnings.isDue()) return;
    this.tools.logger.warn('the search for missions failed; it is repeated', { reason: messageOf(error) });
  }
}
