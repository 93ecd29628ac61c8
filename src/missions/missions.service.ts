import { randomUUID } from 'node:crypto';
import { Inject, Injectable, Optional } from '@nestjs/common';
import { CONFIG, type Config, settingsIn } from '../config/config.js';
import { EventStream } from '../events/event-stream.js';
import { nowSeconds } from '../shared/clock.js';
import { currentContext } from '../shared/context.js';
import { countedStats } from '../shared/counted-stats.js';
import { type BrainError, faulty } from '../shared/errors.js';
import { expectVersion, type Versions } from '../shared/expect-version.js';
import { pageOf } from '../storage/page.js';
import { type IdempotencyKey, type Page, Store, type StoreHealth, type Tx } from '../storage/store.js';
import { type Caller, expectChangeable, expectReadable, logFor, missionFor, readable } from './access.js';
import type { LogEntry, NewLogEntry } from './log.dto.js';
import { MissionWriter } from './mission-writer.js';
import {
  MISSION_RESULTS,
  MISSION_STATS,
  MISSIONS,
  resultId,
  type StoredMission,
  toMission,
  untouched,
} from './missions.collection.js';
import type { ListedMission, Mission, MissionQuery, NewMission } from './missions.dto.js';
import {
  heldByWorker,
  illegalMove,
  mayNotPrioritize,
  missionExists,
  noSuchMission,
  notDeletable,
  notExecutable,
  notRetryable,
  tooManyPending,
} from './missions.errors.js';
import { missionDeleted } from './missions.events.js';
import { type MissionStatus, mayMove, mayRetry } from './missions.lifecycle.js';
import { removeMission } from './missions.retention.js';
import { MISSIONS_SETTINGS } from './missions.settings.js';
import type { MissionStats } from './stats.dto.js';
import { normalizedSteps, stepFaults } from './steps/check.js';
import { StepKinds } from './steps/kinds.js';
import { dueNow } from './worker/due.js';
import { MissionsWorker } from './worker/worker.js';

type Change = (writer: MissionWriter) => void;

/** The caller of a change, and the versions that the mission may have. */
export interface ChangeBy extends Caller {
  versions?: Versions;
}

interface StatusChange {
  status: MissionStatus;
  reason?: string | null;
}

@Injectable()
export class MissionsService {
  private readonly maxPending: number;

  constructor(
    @Inject(Store) private readonly store: Store,
    private readonly worker: MissionsWorker,
    private readonly kinds: StepKinds,
    @Inject(CONFIG) config: Config,
    @Optional() @Inject(EventStream) private readonly events?: EventStream,
  ) {
    store.declare(MISSIONS);
    store.declare(MISSION_RESULTS);
    this.maxPending = settingsIn(config, MISSIONS_SETTINGS).BRAIN_MISSIONS_MAX_PENDING;
  }

  health(): Promise<StoreHealth> {
    return this.store.health();
  }

  create(input: NewMission, caller: Caller, idempotency?: IdempotencyKey): Promise<Mission> {
    const faults = stepFaults(input.steps ?? [], this.kinds.byName);
    if (faults.length > 0) throw faulty(faults);
    if (input.priority === 'CRITICAL' && !caller.mayPrioritize) throw mayNotPrioritize(input.priority);
    const agent_id = input.agent_id ?? caller.id;
    const agent_role = input.agent_role ?? caller.role;
    const steps = normalizedSteps(input.steps ?? [], this.kinds.byName);
    const touched_at = this.store.clock().latest;
    const mission = newMission(
      { ...input, steps },
      { agent_id, agent_role, created_by: caller.id, touched_at },
    );
    return this.store.transaction(
      async (tx) => {
        // A generated id cannot exist yet.
        if (input.id !== undefined && (await tx.get(MISSIONS, input.id))) throw missionExists(input.id);
        this.limitPending(tx, caller.id);
        return toMission(MissionWriter.create(tx, mission, this.events));
      },
      { idempotency },
    );
  }

  /** Includes the results that are stored in documents of their own. */
  async get(id: string, caller: Caller): Promise<Mission> {
    const stored = await this.stored(id);
    expectReadable(caller, stored);
    const mission = toMission(stored);
    if (stored.status !== 'COMPLETED') return missionFor(caller, mission);
    const outcomes = await Promise.all(
      Object.entries(stored.outcomes).map(async ([step, outcome]) => {
        if (outcome.bytes === undefined) return [step, outcome];
        const large = await this.store.get(MISSION_RESULTS, resultId(id, step));
        return [step, { ...outcome, result: large?.result ?? null }];
      }),
    );
    return missionFor(caller, { ...mission, result: Object.fromEntries(outcomes) as unknown });
  }

  async list(query: MissionQuery, caller: Caller): Promise<Page<ListedMission>> {
    const { limit, cursor, status, created_by, agent_id, members } = query;
    const where = { status, ...readable(caller, { created_by, agent_id }) };
    const of = (mission: StoredMission): Mission => missionFor(caller, toMission(mission));
    return pageOf(this.store, MISSIONS, { where, limit, cursor }, { of, members });
  }

  async stats(): Promise<MissionStats> {
    return countedStats(MISSION_STATS, await this.store.counts(MISSIONS)) as MissionStats;
  }

  /** Records the progress of a mission that an outside program runs, or cancels a mission. Starts nothing. */
  changeStatus(id: string, { status, reason }: StatusChange, by: ChangeBy): Promise<Mission> {
    const move = (writer: MissionWriter): void => {
      const { status: from, due_at } = writer.current;
      if (!mayMove(from, status)) throw illegalMove(from, status);
      // A worker of this service runs the mission, or will continue it after a wait.
      if (from === 'RUNNING' && due_at !== null && status !== 'CANCELLED') throw heldByWorker();
      writer.move(status, reason ?? undefined);
      writer.change({ due_at: null, held_by: null });
    };
    // An agent could change the status of its missions for ever, and so use up the space that is kept for operators.
    return this.changeAs(id, by, move, by.mayDelegate);
  }

  async log(
    id: string,
    { timestamp, level = 'info', message, data }: NewLogEntry,
    by: ChangeBy,
  ): Promise<void> {
    await this.changeAs(id, by, (writer) => writer.log(level, message, data, timestamp));
  }

  async entries(
    id: string,
    page: { limit: number; cursor?: string },
    caller: Caller,
  ): Promise<{ log: LogEntry[]; next: string | null }> {
    const mission = await this.stored(id);
    expectReadable(caller, mission);
    const { entries, next } = await this.store.entries(MISSIONS, id, page);
    const log = logFor(caller, mission, entries as LogEntry[]);
    const { log_cut } = mission;
    if (next === null && log_cut > 0) {
      const message = `${log_cut} more entries were dropped`;
      log.push({ timestamp: nowSeconds(), level: 'warning', message, data: { cut: log_cut } });
    }
    return { log, next };
  }

  /** Makes the mission due. A mission that is already due keeps its turn. */
  async execute(id: string, by: ChangeBy): Promise<void> {
    await this.changeAs(id, by, (writer) => {
      const { status, due_at } = writer.current;
      if (status !== 'PENDING') throw notExecutable(status);
      if (due_at === null) writer.change({ due_at: dueNow(this.store), ...cause() });
    });
    this.worker.wake();
  }

  /** Continues at the step that failed. Completed steps are not run again. */
  async retry(id: string, by: ChangeBy): Promise<void> {
    await this.changeAs(id, by, (writer) => {
      const { status } = writer.current;
      if (!mayRetry(status)) throw notRetryable(status);
      writer.move('PENDING', 'retry');
      writer.change({
        due_at: dueNow(this.store),
        step_attempts: 0,
        waiting: null,
        ...cause(),
      });
    });
    this.worker.wake();
  }

  /** Removes the mission with its log, results and counts. The event stays in the log. */
  async delete(id: string, by: ChangeBy): Promise<void> {
    await this.store.transaction(async (tx) => {
      const mission = await tx.get(MISSIONS, id);
      if (!mission) throw noSuchMission(id);
      expectVersion(mission.version, by.versions);
      if (mission.status === 'RUNNING' || mission.due_at !== null) throw notDeletable(mission.status);
      await removeMission(tx, mission);
      this.events?.publish(missionDeleted(mission, by.id), tx);
    });
  }

  private limitPending(tx: Tx, principal: string): void {
    if (this.maxPending === 0) return;
    const refusal = (): BrainError => tooManyPending(principal, this.maxPending);
    tx.limit(MISSIONS, { index: 'pending_of', value: principal, most: this.maxPending, refusal });
  }

  private changeAs(id: string, by: ChangeBy, change: Change, essential = false): Promise<Mission> {
    const work = async (tx: Tx): Promise<Mission> => {
      const mission = await tx.get(MISSIONS, id);
      if (!mission) throw noSuchMission(id);
      expectChangeable(by, mission);
      expectVersion(mission.version, by.versions);
      const writer = new MissionWriter(tx, mission, this.events);
      change(writer);
      // `execute` changes nothing if the mission is already due.
      if (writer.current === mission) return missionFor(by, toMission(mission));
      writer.change({ touched_at: this.store.clock().latest });
      return missionFor(by, toMission(writer.save()));
    };
    return this.store.transaction(work, { essential });
  }

  private async stored(id: string): Promise<StoredMission> {
    const mission = await this.store.get(MISSIONS, id);
    if (!mission) throw noSuchMission(id);
    return mission;
  }
}

function newMission(
  input: NewMission,
  made: Pick<StoredMission, 'agent_id' | 'agent_role' | 'created_by' | 'touched_at'>,
): StoredMission {
  const now = nowSeconds();
  return {
    id: input.id ?? randomUUID(),
    name: input.name,
    description: input.description ?? null,
    data: input.data ?? {},
    steps: input.steps ?? [],
    priority: input.priority ?? 'NORMAL',
    status: 'PENDING',
    progress: { done: 0, total: input.steps?.length ?? 0 },
    ...made,
    created_at: now,
    updated_at: now,
    ...untouched(),
    ...cause(),
  };
}

/** The request that makes or starts a mission, for the events of its runs. */
function cause(): Pick<StoredMission, 'correlation_id' | 'started_by'> {
  const { correlationId: correlation_id = null, actor: started_by = null } = currentContext() ?? {};
  return { correlation_id, started_by };
}
