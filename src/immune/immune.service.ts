import { Inject, Injectable, Optional } from '@nestjs/common';
import { CONFIG, type Config, settingsIn } from '../config/config.js';
import { EventStream } from '../events/event-stream.js';
import { type IdempotencyKey, type Page, Store, type StoreHealth } from '../storage/store.js';
import { IMMUNE_EVENTS, kindOf } from './immune.collection.js';
import type { ImmuneEvent, ImmuneEventQuery, ImmuneHealth, ReportImmuneEvent } from './immune.dto.js';
import { immuneCriticalEvent, immuneEventPublished } from './immune.events.js';
import { type KindCount, SEVERITIES, summarize, TYPES } from './immune.health.js';
import { IMMUNE_SETTINGS } from './immune.settings.js';
import { PublicHealth } from './public-health.js';

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
  report(input: ReportImmuneEvent, idempotency?: IdempotencyKey): Promise<number> {
    return this.store.transaction(
      async (tx) => {
        const event: ImmuneEvent = {
          id: await tx.next('immune-events'),
          agent_id: input.agent_id ?? null,
          module: input.module ?? null,
          severity: input.severity,
          type: input.type,
          message: input.message,
          meta: input.meta ?? {},
          created_at: new Date().toISOString(),
        };
        tx.insert(IMMUNE_EVENTS, event);
        this.events?.publish(immuneEventPublished(event), tx);
        if (event.severity === 'CRITICAL') this.events?.publish(immuneCriticalEvent(event), tx);
        return event.id;
      },
      { idempotency },
    );
  }

  list(query: ImmuneEventQuery): Promise<Page<ImmuneEvent>> {
    const { severity, type, agent_id, module, since, limit, cursor } = query;
    const from = since === undefined ? undefined : since * 1000;
    const where = { severity, type, agent_id, module };
    return this.store.list(IMMUNE_EVENTS, { where, from, limit, cursor });
  }

  /** The summary for callers without a key; it is up to a second old. */
  async publicHealth(minutes: number): Promise<ImmuneHealth> {
    return this.forStrangers.health(minutes);
  }

  /** Summarizes the window that ends now. `mayRead` adds the last events. */
  async health(minutes: number, mayRead: boolean): Promise<ImmuneHealth> {
    const from = this.store.clock().latest * 1000 - minutes * MINUTE_MS;
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
    return rows.reverse();
  }
}
