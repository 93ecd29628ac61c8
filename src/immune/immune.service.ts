import { Inject, Injectable, Optional } from '@nestjs/common';
import { CONFIG, type Config, settingsIn } from '../config/config.js';
import { EventStream } from '../events/event-stream.js';
import { currentActor } from '../shared/context.js';
import { expectJsonWithin } from '../shared/json-limit.js';
import { pageOf } from '../storage/page.js';
import { type IdempotencyKey, type Page, Store, type StoreHealth } from '../storage/store.js';
import { IMMUNE_EVENTS, kindOf, type StoredImmuneEvent, toImmuneEvent } from './immune.collection.js';
import {
  type ImmuneEvent,
  type ImmuneEventQuery,
  type ImmuneHealth,
  type ListedImmuneEvent,
  MAX_MINUTES,
  type ReportImmuneEvent,
} from './immune.dto.js';
import { immuneCriticalEvent, immuneEventPublished } from './immune.events.js';
import { type KindCount, SEVERITIES, summarize, TYPES } from './immune.health.js';
import { IMMUNE_SETTINGS } from './immune.settings.js';
import { PublicHealth } from './public-health.js';

/** The part of the service that reports an event if no principal does. */
const PART = 'immune';
/** One reporter protects at most this part of BRAIN_IMMUNE_MAX_EVENTS, so that it cannot push out the events of others. */
const PROTECTED_SHARE = 0.1;

const LAST_EVENTS = 10;
const MINUTE_MS = 60_000;

const KINDS = SEVERITIES.flatMap((severity) => TYPES.map((type) => ({ severity, type })));

@Injectable()
export class ImmuneService {
  private readonly forStrangers = new PublicHealth((minutes) => this.health(minutes, false));

  constructor(
    @Inject(Store) private readonly store: Store,
    @Inject(CONFIG) private readonly config: Config,
    @Optional() @Inject(EventStream) private readonly events?: EventStream,
  ) {
    store.declare(IMMUNE_EVENTS);
  }

  storeHealth(): Promise<StoreHealth> {
    return this.store.health();
  }

  /** Returns the id of the new event. */
  async report(input: ReportImmuneEvent, idempotency?: IdempotencyKey): Promise<number> {
    const settings = settingsIn(this.config, IMMUNE_SETTINGS);
    expectJsonWithin(settings.BRAIN_IMMUNE_MAX_META_KIB, input.meta, '/meta');
    const reporter = currentActor(PART).id;
    return this.store.transaction(
      async (tx) => {
        const [id, unprotected] = await Promise.all([
          tx.next('immune-events'),
          input.severity === 'CRITICAL' && this.usedUpShare(reporter, settings.BRAIN_IMMUNE_MAX_EVENTS),
        ]);
        const event: StoredImmuneEvent = {
          id,
          agent_id: input.agent_id ?? null,
          module: input.module ?? null,
          severity: input.severity,
          type: input.type,
          message: input.message,
          meta: input.meta ?? {},
          created_at: new Date().toISOString(),
          reported_by: reporter,
          ...(unprotected && { unprotected }),
        };
        tx.insert(IMMUNE_EVENTS, event);
        this.events?.publish(immuneEventPublished(event), tx);
        if (event.severity === 'CRITICAL') this.events?.publish(immuneCriticalEvent(event), tx);
        return event.id;
      },
      { idempotency },
    );
  }

  /** Reports at the same time may exceed the share by their number. It limits a flood, so a few more do not matter. */
  private async usedUpShare(reporter: string, maxEvents: number): Promise<boolean> {
    const from = windowStart(this.store, MAX_MINUTES);
    const query = { where: { protected: reporter }, from, limit: 0 };
    const { total } = await this.store.list(IMMUNE_EVENTS, query);
    return (total as number) >= maxEvents * PROTECTED_SHARE;
  }

  list(query: ImmuneEventQuery): Promise<Page<ListedImmuneEvent>> {
    const { severity, type, agent_id, module, since, limit, cursor, members } = query;
    const from = since === undefined ? undefined : since * 1000;
    const where = { severity, type, agent_id, module };
    const shape = { of: toImmuneEvent, members };
    return pageOf(this.store, IMMUNE_EVENTS, { where, from, limit, cursor }, shape);
  }

  /** The summary for callers without a key; it is up to a second old. */
  async publicHealth(minutes: number): Promise<ImmuneHealth> {
    return this.forStrangers.health(minutes);
  }

  /** Summarizes the window that ends now. `mayRead` adds the last events. */
  async health(minutes: number, mayRead: boolean): Promise<ImmuneHealth> {
    const from = windowStart(this.store, minutes);
    const [kinds, lastEvents] = await Promise.all([
      Promise.all(KINDS.map((kind) => this.count(kind, from))),
      mayRead ? this.lastEvents(from) : undefined,
    ]);
    const settings = settingsIn(this.config, IMMUNE_SETTINGS);
    const thresholds = {
      degraded_warnings: settings.BRAIN_IMMUNE_DEGRADED_WARNINGS,
      degraded_share: settings.BRAIN_IMMUNE_DEGRADED_SHARE,
    };
    return {
      ...summarize(kinds, thresholds),
      ...(lastEvents && { last_events: lastEvents }),
      window_minutes: minutes,
      thresholds,
    };
  }

  /**
   * The route needs no key, so its cost must not grow with the number of events, or a stranger could load the store. The index of
   * each kind is counted without reading an event: Redis looks the count up, the embedded store adds up counted ranges.
   */
  private async count(kind: Omit<KindCount, 'count'>, from: number): Promise<KindCount> {
    const { total } = await this.store.list(IMMUNE_EVENTS, { where: { kind: kindOf(kind) }, from, limit: 0 });
    return { ...kind, count: total as number };
  }

  private async lastEvents(from: number): Promise<ImmuneEvent[]> {
    const { rows } = await this.store.list(IMMUNE_EVENTS, { from, limit: LAST_EVENTS });
    return rows.reverse().map(toImmuneEvent);
  }
}

/** Where a window that ends now begins, in Unix milliseconds. */
function windowStart(store: Store, minutes: number): number {
  return store.clock().latest * 1000 - minutes * MINUTE_MS;
}
