import { randomUUID } from 'node:crypto';
import { Inject, Injectable, Optional } from '@nestjs/common';
import { EventStream } from '../events/event-stream.js';
import { nowSeconds } from '../shared/clock.js';
import { currentContext } from '../shared/context.js';
import { faulty } from '../shared/errors.js';
import { expectVersion } from '../shared/expect-version.js';
import { type IdempotencyKey, type Page, Store, type StoreHealth } from '../storage/store.js';
import { MissionWriter } from './mission-writer.js';
import {
  MISSION_RESULTS,
  MISSIONS,
  resultId,
  type StoredMission,
  toMission,
  untouched,
} from './missions.collection.js';
import type {
  LogEntry,
  Mission,
  MissionQuery,
  MissionStats,
  NewLogEntry,
  NewMission,
} from './missions.dto.js';
import {
  heldByWorker,
  illegalMove,
  mayNotDelegate,
  missionExists,
  noSuchMission,
  notExecutable,
  notRetryable,
  notYours,
} from './missions.errors.js';
import { type MissionStatus, mayMove, mayRetry, STATUSES } from './missions.lifecycle.js';
import { stepFaults } from './steps/check.js';
import { dueNow } from './worker/due.js';
import { MissionsWorker } from './worker/worker.js';

/** Who asks: an agent sets in motion only what it made itself, and reports on that and on what was given to it. */
export interface Asker {
  id: string;
  role: string;
  mayDelegate: boolean;
}

type Work = (book: MissionWriter) => void;

interface StatusChange {
  status: MissionStatus;
  reason?: string | null;
}

@Injectable()
export class MissionsService {
  constructor(
    @Inject(Store) private readonly store: Store,
    private readonly worker: MissionsWorker,
    @Optional() @Inject(EventStream) private readonly events?: EventStream,
  ) {
    store.declare(MISSIONS);
    store.declare(MISSION_RESULTS);
  }

  health(): Promise<StoreHealth> {
    return this.store.health();
  }

  create(input: NewMission, asker: Asker, idempotency?: IdempotencyKey): Promise<Mission> {
    const faults = stepFaults(input.steps ?? [], this.worker.kinds);
    if (faults.length > 0) throw faulty(faults);
    const agent_id = input.agent_id ?? asker.id;
    const agent_role = input.agent_role ?? asker.role;
    if (!asker.mayDelegate && (agent_id !== asker.id || agent_role !== asker.role)) throw mayNotDelegate();
    const mission = newMission(input, { agent_id, agent_role, created_by: asker.id });
    return this.store.transaction(
      async (tx) => {
        // An id of our own is new.
        if (input.id !== undefined && (await tx.get(MISSIONS, input.id))) throw missionExists(input.id);
        return toMission(MissionWriter.create(tx, mission, this.events));
      },
      { idempotency },
    );
  }

  /** Results that were too large for the mission are put back in their places. */
  async get(id: string): Promise<Mission> {
    const stored = await this.store.get(MISSIONS, id);
    if (!stored) throw noSuchMission(id);
    const mission = toMission(stored);
    if (stored.status !== 'COMPLETED') return mission;
    const outcomes = await Promise.all(
      Object.entries(stored.outcomes).map(async ([step, outcome]) => {
        if (outcome.bytes === undefined) return [step, outcome];
        const large = await this.store.get(MISSION_RESULTS, resultId(id, step));
        return [step, { ...outcome, result: large?.result ?? null }];
      }),
    );
    return { ...mission, result: Object.fromEntries(outcomes) as unknown };
  }

  async list({ limit, cursor, status, created_by, agent_id }: MissionQuery): Promise<Page<Mission>> {
    const page = await this.store.list(MISSIONS, { where: { status, created_by, agent_id }, limit, cursor });
    return { ...page, rows: page.rows.map(toMission) };
  }

  async stats(): Promise<MissionStats> {
    const counts = await this.store.counts(MISSIONS);
    const by = STATUSES.map((status) => [status, counts[`by_status.${status}`] ?? 0]);
    const by_status = Object.fromEntries(by) as Record<MissionStatus, number>;
    return { total: counts.total ?? 0, by_status, last_updated: nowSeconds() };
  }

  /** Records what an outside worker does, and starts nothing. */
  changeStatus(
    id: string,
    { status, reason }: StatusChange,
    asker: Asker,
    version?: number,
  ): Promise<Mission> {
    return this.report(id, asker, version, (book) => {
      const { status: from, due_at } = book.now;
      if (!mayMove(from, status)) throw illegalMove(from, status);
      // One that runs and is due again is ours, be it that it waits between two steps.
      if (from === 'RUNNING' && due_at !== null && status !== 'CANCELLED') throw heldByWorker();
      book.move(status, reason ?? undefined);
      book.change({ due_at: null, held_by: null });
    });
  }

  async log(
    id: string,
    { timestamp, level = 'info', message, data }: NewLogEntry,
    asker: Asker,
    version?: number,
  ): Promise<void> {
    await this.report(id, asker, version, (book) => book.log(level, message, data, timestamp));
  }

  async entries(
    id: string,
    page: { limit: number; cursor?: string },
  ): Promise<{ log: LogEntry[]; next: string | null }> {
    const { log_cut } = await this.stored(id);
    const { entries, next } = await this.store.entries(MISSIONS, id, page);
    const log = entries as LogEntry[];
    if (next === null && log_cut > 0) {
      const message = `${log_cut} more entries were not kept`;
      log.push({ timestamp: nowSeconds(), level: 'warning', message, data: { cut: log_cut } });
    }
    return { log, next };
  }

  /** Makes it due; one that waits already stays where it is in the queue. */
  async execute(id: string, asker: Asker, version?: number): Promise<void> {
    await this.direct(id, asker, version, (book) => {
      const { status, due_at } = book.now;
      if (status !== 'PENDING') throw notExecutable(status);
      if (due_at === null) book.change({ due_at: dueNow(this.store), correlation_id: correlation() });
    });
    this.worker.kick();
  }

  /** Goes on from the step that failed; those before it are not run again. */
  async retry(id: string, asker: Asker, version?: number): Promise<void> {
    await this.direct(id, asker, version, (book) => {
      const { status } = book.now;
      if (!mayRetry(status)) throw notRetryable(status);
      book.move('PENDING', 'retry');
      book.change({
        due_at: dueNow(this.store),
        step_attempts: 0,
        waiting: null,
        correlation_id: correlation(),
      });
    });
    this.worker.kick();
  }

  private report(id: string, asker: Asker, version: number | undefined, work: Work): Promise<Mission> {
    return this.write(
      id,
      version,
      ({ created_by, agent_id }) => [created_by, agent_id].includes(asker.id) || asker.mayDelegate,
      work,
    );
  }

  private direct(id: string, asker: Asker, version: number | undefined, work: Work): Promise<Mission> {
    return this.write(id, version, ({ created_by }) => created_by === asker.id || asker.mayDelegate, work);
  }

  private write(
    id: string,
    version: number | undefined,
    may: (mission: StoredMission) => boolean,
    work: Work,
  ): Promise<Mission> {
    return this.store.transaction(async (tx) => {
      const mission = await tx.get(MISSIONS, id);
      if (!mission) throw noSuchMission(id);
      if (!may(mission)) throw notYours();
      expectVersion(mission.version, version);
      const book = new MissionWriter(tx, mission, this.events);
      work(book);
      // Nothing was changed: one that waits already was asked for again.
      return toMission(book.now === mission ? mission : book.close());
    });
  }

  private async stored(id: string): Promise<StoredMission> {
    const mission = await this.store.get(MISSIONS, id);
    if (!mission) throw noSuchMission(id);
    return mission;
  }
}

function newMission(
  input: NewMission,
  who: Pick<StoredMission, 'agent_id' | 'agent_role' | 'created_by'>,
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
    ...who,
    created_at: now,
    updated_at: now,
    ...untouched(),
    correlation_id: correlation(),
  };
}

function correlation(): string | null {
  return currentContext()?.correlationId ?? null;
}
