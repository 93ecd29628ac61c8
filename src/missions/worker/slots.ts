/** The slots of a worker. A mission that runs takes one, and holds its lease. */
import { atMost } from '../../shared/clock.js';
import { runInContext } from '../../shared/context.js';
import type { Lease, Store } from '../../storage/store.js';
import { agentOf, type StoredMission } from '../missions.collection.js';
import { MissionRun } from './run.js';
import type { RunTools } from './run-tools.js';

/** How often a lease is renewed within its time. */
const RENEWALS = 3;

/** What the owner of the slots wants to know. */
interface SlotEvents {
  /** A run has ended, so its slot is free. */
  freed(): void;
  /** The store failed. The mission is found again by a later search. */
  failed(error: unknown): void;
}

interface Running {
  run: MissionRun;
  finished: Promise<void>;
  /** The agent that started the mission. */
  agent: string | undefined;
}

/** How many missions run at once. */
interface SlotCounts {
  /** Of all principals together. */
  all: number;
  /** The missions that one agent has started. */
  perAgent: number;
}

export class Slots {
  /** More missions are due than there are slots. Then a run hands its mission back after its fair share of time. */
  othersAreDue = false;
  isClosed = false;
  /** The agents whose missions were passed over since the last call of `forgetPassedOver`. */
  private readonly passedOver = new Set<string>();
  private readonly runs = new Map<string, Running>();
  private readonly store: Store;

  constructor(
    private readonly counts: SlotCounts,
    private readonly leaseMs: number,
    private readonly tools: RunTools,
    private readonly events: SlotEvents,
  ) {
    this.store = tools.store;
  }

  get count(): number {
    return this.counts.all;
  }

  get free(): number {
    return this.isClosed ? 0 : this.count - this.runs.size;
  }

  /** The number of runs whose missions the store lists as held. The others have not yet made their first write. */
  get heldCount(): number {
    return [...this.runs.values()].filter(({ run }) => run.isHeld).length;
  }

  has(id: string): boolean {
    return this.runs.has(id);
  }

  /** The agent that started the mission has its share of the slots. So the mission is left for later, or for another replica. */
  passesOver(mission: StoredMission): boolean {
    const agent = agentOf(mission);
    if (agent === undefined || this.runsOf(agent) < this.counts.perAgent) return false;
    this.passedOver.add(agent);
    return true;
  }

  forgetPassedOver(): void {
    this.passedOver.clear();
  }

  /**
   * Starts runs in order, as many at once as there are free slots and shares. Returns whether any mission could be taken. A lease
   * that is not free leaves room for the next mission. Missions that have begun may exceed the share, up to all slots but one:
   * while their agent has more due missions than its share, they would never get a slot.
   */
  async fill(missions: StoredMission[], { begun = false }: { begun?: boolean } = {}): Promise<boolean> {
    let rest = missions;
    let tookAny = false;
    for (;;) {
      const batch = this.batchOf(rest, begun ? this.mostBegun : this.counts.perAgent);
      if (batch.size === 0) return tookAny;
      rest = rest.filter((mission) => !batch.has(mission));
      const taken = await Promise.all([...batch].map((mission) => this.startRun(mission)));
      tookAny ||= taken.includes(true);
    }
  }

  /** Stops the runs whose missions were cancelled or taken over. */
  stopLost(): void {
    for (const { run } of this.runs.values())
      run.stopIfLost().catch((error: unknown) => this.events.failed(error));
  }

  /** From now on no mission is taken. */
  close(): void {
    this.isClosed = true;
  }

  /** Lets runs finish within the grace time, and hands the missions of the others back. */
  async finish(graceMs: number): Promise<void> {
    const finished = Promise.all([...this.runs.values()].map((one) => one.finished));
    await atMost(graceMs, finished);
    for (const { run } of this.runs.values()) run.stop('stopping');
    await finished;
  }

  /** The first missions that fit into the free slots, and into the shares of the agents that started them. */
  private batchOf(missions: StoredMission[], perAgent: number): Set<StoredMission> {
    const batch = new Set<StoredMission>();
    const room = new Map<string, number>();
    for (const mission of missions) {
      if (batch.size >= this.free) break;
      const agent = agentOf(mission);
      if (agent !== undefined) {
        const left = room.get(agent) ?? perAgent - this.runsOf(agent);
        if (left <= 0) this.passedOver.add(agent);
        if (left <= 0) continue;
        room.set(agent, left - 1);
      }
      batch.add(mission);
    }
    return batch;
  }

  private get mostBegun(): number {
    return Math.max(this.counts.perAgent, this.count - 1);
  }

  private runsOf(agent: string): number {
    return [...this.runs.values()].filter((running) => running.agent === agent).length;
  }

  /** Other missions wait for the slot of this run. */
  private isAwaited(agent: string | undefined): boolean {
    return this.othersAreDue || (agent !== undefined && this.passedOver.has(agent));
  }

  /** Starts a run of the mission, if its lease is free. */
  private async startRun(mission: StoredMission): Promise<boolean> {
    const { id, correlation_id, started_by } = mission;
    const askedMs = performance.now();
    const lease = await this.acquireLease(id);
    if (!lease) return false;
    const agent = agentOf(mission);
    const run = new MissionRun(mission, lease, this.tools, () => this.isAwaited(agent));
    // The events of a run belong to the request that started the mission, not to the one that woke the worker.
    const cause = { correlationId: correlation_id ?? id, actor: started_by ?? undefined };
    const context = { requestId: `mission:${id}`, ...cause };
    const finished = runInContext(context, () => this.runUnderLease(run, id, lease, askedMs));
    this.runs.set(id, { run, finished, agent });
    return true;
  }

  /** Returns undefined if another worker has the lease, or if the store cannot give it now. */
  private async acquireLease(id: string): Promise<Lease | undefined> {
    try {
      const lease = await this.store.acquire(`mission:${id}`, this.leaseMs);
      if (!lease || !this.isClosed) return lease;
      await this.store.release(lease);
    } catch (error) {
      this.events.failed(error);
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
      if (!this.isClosed) this.events.freed();
    }
  }
}
