/** How missions are stored. The document is the queue: one commit changes the state and when the mission is due. */
import type { Actor } from '../shared/context.js';
import type { Collection, StatsTemplate } from '../storage/store.js';
import type { Mission } from './missions.dto.js';
import { hasEnded, type MissionStatus, PRIORITIES, STATUSES } from './missions.lifecycle.js';
import type { Step } from './steps/step.dto.js';

/** How a step ended. A step with an outcome is not run again. */
export interface StepOutcome {
  result: unknown;
  /** The decision that allowed the step; null if the policies were not asked. */
  decision_id: string | null;
  /** Set if the step failed and the mission continued. */
  error?: { code: string; message: string };
  /** The size of a result that is stored in a document of its own, because it is too large for this one. */
  bytes?: number;
}

export interface StoredMission extends Omit<Mission, 'result'> {
  /** When a worker may take the mission, by the store's time; null if none may. While a worker holds it: when it was taken. */
  due_at: number | null;
  /** The fence of the lease of the worker that holds the mission. */
  held_by: number | null;
  outcomes: Record<string, StepOutcome>;
  /** How many attempts of the next step have failed. */
  step_attempts: number;
  /** The next step waits until this time. This decision allowed it. */
  waiting: { until: number; decision_id: string | null } | null;
  log_entries: number;
  log_bytes: number;
  /** How many log entries were dropped because the log was full. */
  log_cut: number;
  /** The correlation id of the request that started the mission. The events of its runs carry it. */
  correlation_id: string | null;
  /** Who started it, else who made it; null in missions of earlier releases. The events of its runs name this actor. */
  started_by: Actor | null;
  /** Grows with each write of a run. It shows a run whether a write that got no answer was applied. */
  run_writes: number;
  /** How often another worker took the mission over during the next step. */
  takeovers: number;
  /** When a request made or changed the mission, by the store's time. */
  touched_at: number;
}

/** The agent that started the mission; undefined if its role is another one, or if nobody has started it. */
export function agentOf({ started_by }: StoredMission): string | undefined {
  return started_by?.role === 'agent' ? started_by.id : undefined;
}

/** The value in the index `due` of missions that a worker holds. Abandoned missions are found there. */
export const HELD = 'held';
/** The value in the index `idle` of PENDING missions that nobody has executed. */
export const IDLE = 'idle';

/** The fields of `MissionStats`: the API answers with them, and other programs read them from the store. */
export const MISSION_STATS: StatsTemplate = {
  total: { counter: 'total' },
  by_status: Object.fromEntries(STATUSES.map((status) => [status, { counter: `by_status.${status}` }])),
  last_updated: { now: true },
};

export const MISSIONS: Collection<StoredMission> = {
  name: 'missions',
  item: 'mission',
  version: 1,
  indexVersion: 2,
  id: (mission) => mission.id,
  order: (mission) => mission.created_at,
  indexes: {
    status: (mission) => mission.status,
    created_by: (mission) => mission.created_by,
    agent_id: (mission) => mission.agent_id,
    due: ({ due_at, held_by, priority }) =>
      due_at === null ? null : { value: held_by === null ? priority : HELD, order: due_at },
    // The commit of a new mission counts the PENDING missions of its creator.
    pending_of: ({ status, created_by }) => (status === 'PENDING' ? created_by : null),
    idle: ({ status, due_at, touched_at }) =>
      status === 'PENDING' && due_at === null ? { value: IDLE, order: touched_at } : null,
    // Retention reads ended missions by when they ended.
    ended: ({ finished_at }) => (finished_at === null ? null : { value: 'ended', order: finished_at }),
  },
  counts: (mission) => ({ [`by_status.${mission.status}`]: 1 }),
  stats: MISSION_STATS,
  read,
};

/** A step result that is too large for the document of its mission. */
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
};

export function resultId(missionId: string, step: string): string {
  return `${missionId}/${step}`;
}

/** Other programs write fewer fields. A missing field gets the default that it has in those programs. */
function read(raw: Record<string, unknown>): StoredMission {
  const { v: _v, ...mission } = raw;
  for (const field of ['id', 'name']) {
    if (typeof mission[field] !== 'string') throw new Error(`${field} must be text`);
  }
  if (!STATUSES.includes(mission.status as never))
    throw new Error(`status must be one of ${STATUSES.join(', ')}`);
  if (mission.priority !== undefined && !PRIORITIES.includes(mission.priority as never))
    throw new Error(`priority must be one of ${PRIORITIES.join(', ')}`);
  if (typeof mission.created_at !== 'number') throw new Error('created_at must be a number');
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
    touched_at: updatedAt,
    ...mission,
    steps,
    created_by: createdBy,
    updated_at: updatedAt,
  } as unknown as StoredMission;
}

/** The state of a mission that was never executed. */
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
    started_by: null,
    run_writes: 0,
    takeovers: 0,
  };
}

/** The public fields. Internal fields and those of other programs stay in the store. */
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
