/**
 * Takes missions that are due, by priority and then in the order in which they became so, and runs as many at a time as the
 * settings allow. There is no queue beside the missions: what is due stands in their index, and a lease says who has which.
 */
import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
  Optional,
} from '@nestjs/common';
import { CONFIG, type Config } from '../../config/config.js';
import { EventStream } from '../../events/event-stream.js';
import { ImmuneService } from '../../immune/immune.service.js';
import { PolicyService } from '../../policy/decisions/policy.service.js';
import { atMost } from '../../shared/clock.js';
import { runInContext } from '../../shared/context.js';
import { messageOf } from '../../shared/errors.js';
import { Logger } from '../../shared/logger.js';
import { ShutdownState } from '../../shared/shutdown-state.js';
import { type Lease, Store } from '../../storage/store.js';
import { HELD, MISSIONS, type StoredMission } from '../missions.collection.js';
import { PRIORITIES } from '../missions.lifecycle.js';
import { type Kinds, kindsOf } from '../steps/kinds.js';
import { dueNow } from './due.js';
import { MissionRun } from './run.js';

/** A lease is renewed so often within its time. */
const RENEWALS = 3;
/** How soon it is looked what others have changed. */
const LOOK_MS = 250;
/** The safety net below the kicks, in looks. */
const POLL_EVERY = 4;
/** How often it is looked for missions whose worker is gone, in looks. */
const RECOVER_EVERY = 20;
/** Looked at for each priority beyond the free places: some may be in others' hands already. */
const SPARE = 10;
/** Held missions are looked through in pages: most are in living hands. */
const HELD_PAGE = 100;
/** What keeps missions from being found is told so often. */
const TROUBLE_MS = 60_000;

@Injectable()
export class MissionsWorker implements OnApplicationBootstrap, OnModuleDestroy {
  readonly kinds: Kinds;
  private readonly runs = new Map<string, { run: MissionRun; over: Promise<void> }>();
  private timer?: NodeJS.Timeout;
  private stopWatching?: () => void;
  private looking?: Promise<void>;
  private again = false;
  private changed = false;
  private looks = 0;
  private recovering = true;
  /** Where the look for them goes on. */
  private heldFrom?: string;
  private stopped = false;
  private ended?: Promise<void>;
  private readonly leaseMs: number;
  private waiting = false;
  private quietUntilMs = 0;

  constructor(
    @Inject(Store) private readonly store: Store,
    @Inject(CONFIG) private readonly config: Config,
    private readonly policy: PolicyService,
    immune: ImmuneService,
    private readonly logger: Logger,
    draining: ShutdownState,
    @Optional() @Inject(EventStream) private readonly events?: EventStream,
  ) {
    this.leaseMs = config.missionsLeaseSeconds * 1000;
    draining.onLeave(() => void this.end());
    this.kinds = kindsOf({ immune, allowPrivate: config.httpAllowPrivate });
  }

  onApplicationBootstrap(): void {
    // Every write of this replica's own runs is told as well, so what was told is gathered until the next look.
    this.stopWatching = this.store.watch(MISSIONS, () => {
      this.changed = true;
    });
    this.timer = setInterval(() => this.look(), LOOK_MS).unref();
    this.kick();
  }

  onModuleDestroy(): Promise<void> {
    return this.end();
  }

  /** Takes nothing new, lets what runs finish within the grace time that requests have too, and hands the rest back. */
  private end(): Promise<void> {
    this.stopped = true;
    this.ended ??= this.endRuns();
    return this.ended;
  }

  private async endRuns(): Promise<void> {
    clearInterval(this.timer);
    this.stopWatching?.();
    await this.looking;
    const over = Promise.all([...this.runs.values()].map((one) => one.over));
    await atMost(this.config.shutdownGraceSeconds * 1000, over);
    for (const { run } of this.runs.values()) run.stop('stopping');
    await over;
  }

  /** There may be something to do; whoever kicks while it is looked for is looked for too. */
  kick(): void {
    this.again = true;
    this.looking ??= this.lookWhile()
      .catch((error: unknown) => this.trouble(error))
      .finally(() => {
        this.looking = undefined;
        // Kicked when it had looked for the last time.
        if (this.again && !this.stopped) this.kick();
      });
  }

  /** Runs see whether their mission was cancelled, and what became due elsewhere is found. */
  private look(): void {
    this.looks += 1;
    this.recovering ||= this.looks % RECOVER_EVERY === 0;
    if (!this.changed && this.looks % POLL_EVERY !== 0) return;
    this.changed = false;
    for (const { run } of this.runs.values()) run.look().catch((error: unknown) => this.trouble(error));
    this.kick();
  }

  private async lookWhile(): Promise<void> {
    while (this.again && !this.stopped) {
      this.again = false;
      // First what was begun: where many are due there would never be a place for it.
      if (this.recovering) await this.recover().catch((error: unknown) => this.trouble(error));
      // Set at once: what runs asks for it at any moment.
      this.waiting = await this.takeDue();
    }
  }

  /** Missions that stand in the index as held by this replica. */
  private get held(): number {
    return [...this.runs.values()].filter(({ run }) => run.taken).length;
  }

  private get free(): number {
    return this.stopped ? 0 : this.config.missionsConcurrency - this.runs.size;
  }

  /** By priority, and within one in the order in which they became due. True where more are due than there are places for. */
  private async takeDue(): Promise<boolean> {
    for (;;) {
      const until = dueNow(this.store);
      // Those that were just taken may stand there still.
      const limit = this.config.missionsConcurrency - this.held + SPARE;
      const due = (await Promise.all(PRIORITIES.map((value) => this.due(value, limit, until)))).flat();
      if (this.stopped) return false;
      const { free } = this;
      if (free === 0) return due.length > 0;
      const taken = await this.takeSome(due);
      if (!taken || due.length <= free) return false;
    }
  }

  /** Missions that a worker holds whose lease is over: it was killed, or has lost the store. */
  private async recover(): Promise<void> {
    let cursor = this.heldFrom;
    // After an error it begins anew in its turn, and not at each kick.
    this.heldFrom = undefined;
    this.recovering = false;
    while (this.free > 0) {
      const query = { where: { due: HELD }, direction: 'asc', limit: HELD_PAGE, cursor } as const;
      const { rows, next } = await this.store.list(MISSIONS, query);
      await this.takeSome(rows.filter(({ id }) => !this.runs.has(id)));
      if (this.free === 0) break;
      if (next === null) return;
      cursor = next;
    }
    // There may be more: with the next free place it goes on at this page.
    this.heldFrom = cursor;
    this.recovering = true;
  }

  /** Each priority by itself: what cannot be read in one keeps nobody from the others. */
  private async due(value: string, limit: number, until: number): Promise<StoredMission[]> {
    try {
      const query = { where: { due: value }, until, direction: 'asc', limit } as const;
      const { rows } = await this.store.list(MISSIONS, query);
      return rows.filter(({ id }) => !this.runs.has(id));
    } catch (error) {
      this.trouble(error);
      return [];
    }
  }

  /** As many as there are places for, in their order and so many at once; whether there was any that nobody held. */
  private async takeSome(missions: StoredMission[]): Promise<boolean> {
    const rest = [...missions];
    let any = false;
    while (rest.length > 0 && this.free > 0) {
      const taken = await Promise.all(rest.splice(0, this.free).map((mission) => this.take(mission)));
      any ||= taken.includes(true);
    }
    return any;
  }

  private async take(mission: StoredMission): Promise<boolean> {
    const { id, correlation_id } = mission;
    const askedMs = performance.now();
    const lease = await this.acquire(id);
    if (!lease) return false;
    const tools = {
      store: this.store,
      kinds: this.kinds,
      policy: this.policy,
      policyMode: this.config.missionsPolicy,
      logger: this.logger,
      events: this.events,
      crowded: () => this.waiting,
    };
    const run = new MissionRun(mission, lease, tools);
    // What a run causes belongs to the request that set it in motion, and not to the one that happened to kick the worker.
    const context = { requestId: `mission:${id}`, correlationId: correlation_id ?? id };
    this.runs.set(id, { run, over: runInContext(context, () => this.hold(run, id, lease, askedMs)) });
    return true;
  }

  /** Nothing where another has it, or where it cannot be had now. */
  private async acquire(id: string): Promise<Lease | undefined> {
    try {
      const lease = await this.store.acquire(`mission:${id}`, this.leaseMs);
      if (!lease || !this.stopped) return lease;
      await this.store.release(lease);
    } catch (error) {
      this.trouble(error);
    }
    return undefined;
  }

  /** The lease is as old as the question for it: by its own clock a run ends before anybody else can have the mission. */
  private async hold(run: MissionRun, id: string, lease: Lease, askedMs: number): Promise<void> {
    let expiring: NodeJS.Timeout | undefined;
    const heldSince = (sinceMs: number): void => {
      clearTimeout(expiring);
      const leftMs = sinceMs + this.leaseMs - performance.now();
      expiring = setTimeout(() => run.stop('lease_lost'), leftMs).unref();
    };
    heldSince(askedMs);
    const renewing = setInterval(() => {
      const renewedMs = performance.now();
      this.store.renew(lease, this.leaseMs).then(
        (held) => (held ? heldSince(renewedMs) : run.stop('lease_lost')),
        // While the store is away nobody else can take the mission either; but its time runs out.
        () => undefined,
      );
    }, this.leaseMs / RENEWALS);
    try {
      await run.run();
    } finally {
      clearInterval(renewing);
      clearTimeout(expiring);
      this.runs.delete(id);
      await this.store.release(lease).catch(() => undefined);
      if (!this.stopped) this.kick();
    }
  }

  private trouble(error: unknown): void {
    const nowMs = performance.now();
    if (nowMs < this.quietUntilMs) return;
    this.quietUntilMs = nowMs + TROUBLE_MS;
    this.logger.warn('missions could not be looked for', { reason: messageOf(error) });
  }
}
