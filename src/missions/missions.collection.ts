/** How missions are stored. The document is the queue: what is due moves in the same commit as the state. */
import type { Collection } from '../storage/store.js';
import type { Mission, Step } from './missions.dto.js';
import { hasEnded, type MissionStatus, PRIORITIES, STATUSES } from './missions.lifecycle.js';

/** What became of a step; one that is here is not run again. */
export interface StepOutcome {
  result: unknown;
  /** Of the decision that let it run; null where the policies were not asked. */
  decision_id: string | null;
  /** Only where the mission went on although it failed. */
  error?: { code: string; message: string };
  /** Its result is too large for the mission and stands in a document of its own. */
  bytes?: number;
}

export interface StoredMission extends Omit<Mission, 'result'> {
  /** When a worker may take it, by the store's time; null where none may. One that a worker holds keeps when it was taken. */
  due_at: number | null;
  /** The worker that holds it, by the number of its lease. */
  held_by: number | null;
  outcomes: Record<string, StepOutcome>;
  /** Attempts of the step that is next, that have ended. */
  step_attempts: number;
  /** The step that is next was allowed by this decision, and waits. */
  waiting: { until: number; decision_id: string | null } | null;
  log_entries: number;
  log_bytes: number;
  log_cut: number;
  /** Of the request that set it in motion; the events of its run carry it. */
  correlation_id: string | null;
  /** Grows with each write of a run, so that one whose answer got lost is not done twice. */
  run_writes: number;
  /** How often it was taken over in the step that is next. */
  takeovers: number;
}

/** The index of those that a worker holds: one whose lease is lost is found there and taken over. */
export const HELD = 'held';

export const MISSIONS: Collection<StoredMission> = {
  name: 'missions',
  item: 'mission',
  version: 1,
  indexVersion: 1,
  id: (mission) => mission.id,
  order: (mission) => mission.created_at,
  indexes: {
    status: (mission) => mission.status,
    created_by: (mission) => mission.created_by,
    agent_id: (mission) => mission.agent_id,
    due: ({ due_at, held_by, priority }) =>
      due_at === null ? null : { value: held_by === null ? priority : HELD, order: due_at },
    // Ended ones by when they ended, for retention.
    ended: ({ finished_at }) => (finished_at === null ? null : { value: 'ended', order: finished_at }),
  },
  counts: (mission) => ({ [`by_status.${mission.status}`]: 1 }),
  stats: {
    total: { counter: 'total' },
    by_status: Object.fromEntries(STATUSES.map((status) => [status, { counter: `by_status.${status}` }])),
    last_updated: { now: true },
  },
  read,
};

/** A result that is too large for the mission itself. */
export interface MissionResult {
  id: string;
  mission_id: string;
  result: unknown;
}

export const MISSION_RESULTS: Collection<MissionResult> = {
  name: 'mission_results',
  item: 'result',
  version: 1,
  indexVersion: 1,
  id: (result) => result.id,
  order: () => 0,
};

export function resultId(missionId: string, step: string): string {
  return `${missionId}/${step}`;
}

/** Other programs write fewer fields; what they leave out is what it means to them. */
function read(raw: Record<string, unknown>): StoredMission {
  const { v: _v, ...mission } = raw;
  for (const field of ['id', 'name']) {
    if (typeof mission[field] !== 'string') throw new Error(`${field} is no text`);
  }
  if (!STATUSES.includes(mission.status as never)) throw new Error('status is none of ours');
  if (mission.priority !== undefined && !PRIORITIES.includes(mission.priority as never))
    throw new Error('priority is none of ours');
  if (typeof mission.created_at !== 'number') throw new Error('created_at is no number');
  for (const [field, value] of Object.entries(mission)) if (value === null) delete mission[field];
  const steps = Array.isArray(mission.steps) ? (mission.steps as Step[]) : [];
  const createdBy = typeof mission.created_by === 'string' ? mission.created_by : 'unknown';
  const updatedAt = typeof mission.updated_at === 'number' ? mission.updated_at : mission.created_at;
  return {
    description: null,
    data: {},
    priority: 'NORMAL',
    progress: { done: 0, total: steps.length },
    agent_id: createdBy,
    agent_role: 'agent',
    ...untouched(),
    finished_at: hasEnded(mission.status as MissionStatus) ? updatedAt : null,
    ...mission,
    steps,
    created_by: createdBy,
    updated_at: updatedAt,
  } as unknown as StoredMission;
}

/** What a mission is that nobody has begun yet. */
export function untouched() {
  return {
    attempts: 0,
    error: null,
    started_at: null,
    finished_at: null,
    version: 1,
    due_at: null,
    held_by: null,
    outcomes: {},
    step_attempts: 0,
    waiting: null,
    log_entries: 0,
    log_bytes: 0,
    log_cut: 0,
    correlation_id: null,
    run_writes: 0,
    takeovers: 0,
  };
}

/** What is answered: the fields of the contract, not what we keep for ourselves. */
export function toMission(mission: StoredMission): Mission {
  return {
    id: mission.id,
    name: mission.name,
    description: mission.description,
    data: mission.data,
    steps: mission.steps,
    priority: mission.priority,
    status: mission.status,
    progress: mission.progress,
    attempts: mission.attempts,
    error: mission.error,
    result: mission.status === 'COMPLETED' ? mission.outcomes : null,
    created_by: mission.created_by,
    agent_id: mission.agent_id,
    agent_role: mission.agent_role,
    created_at: mission.created_at,
    updated_at: mission.updated_at,
    started_at: mission.started_at,
    finished_at: mission.finished_at,
    version: mission.version,
  };
}
