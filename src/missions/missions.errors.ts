import { BrainError } from '../shared/errors.js';
import { type MissionPriority, type MissionStatus, MOVES } from './missions.lifecycle.js';

/** What a caller can do with a mission in this status. */
const NEXT_CALL: Record<MissionStatus, string> = {
  PENDING: 'Use POST …/execute to run it.',
  RUNNING: 'Wait until it ends; GET /api/missions/{id} shows its status.',
  COMPLETED: 'It has ended. Create a new mission.',
  FAILED: 'It has ended. Use POST …/retry to continue at the failed step.',
  CANCELLED: 'It has ended. Create a new mission.',
};

export function noSuchMission(id: string): BrainError {
  const detail = `No mission has the id ${id.slice(0, 128)}. GET /api/missions lists all missions.`;
  return new BrainError('not_found', 'mission_not_found', detail);
}

export function missionExists(id: string): BrainError {
  const detail = `A mission with the id ${id} already exists. Choose another id, or leave it out.`;
  return new BrainError('conflict', 'mission_exists', detail);
}

export function tooManyPending(principal: string, most: number): BrainError {
  const list = `/api/missions?status=PENDING&created_by=${encodeURIComponent(principal)}`;
  const detail = `You have ${most} PENDING missions, and no principal may have more (BRAIN_MISSIONS_MAX_PENDING). Execute or cancel some of them first; GET ${list} lists them.`;
  return new BrainError('conflict', 'too_many_missions', detail);
}

export function mayNotPrioritize(priority: MissionPriority): BrainError {
  const detail = `The priority ${priority} needs the permission missions:prioritize. Choose HIGH or a lower priority, or let an operator make the mission.`;
  return new BrainError('forbidden', 'priority_not_allowed', detail);
}

export function notDeletable(status: MissionStatus): BrainError {
  const detail = `The mission is ${status === 'RUNNING' ? 'RUNNING' : 'due'} and cannot be deleted. Cancel it first: POST …/status with CANCELLED.`;
  return new BrainError('conflict', 'mission_active', detail);
}

export function illegalMove(from: MissionStatus, to: MissionStatus): BrainError {
  const choices = MOVES[from].length > 0 ? `Choose one of ${MOVES[from].join(', ')}.` : NEXT_CALL[from];
  const detail = `The mission is ${from} and cannot become ${to}. ${choices}`;
  return new BrainError('conflict', 'illegal_status_change', detail);
}

export function heldByWorker(): BrainError {
  const detail =
    'A worker of this service runs the mission. Set the status CANCELLED, or wait until the mission ends.';
  return new BrainError('conflict', 'mission_held', detail);
}

export function notExecutable(status: MissionStatus): BrainError {
  const detail = `The mission is ${status}; only a PENDING mission can be executed. ${NEXT_CALL[status]}`;
  return new BrainError('conflict', 'not_executable', detail);
}

export function notRetryable(status: MissionStatus): BrainError {
  const detail = `The mission is ${status}; only a FAILED mission can be retried. ${NEXT_CALL[status]}`;
  return new BrainError('conflict', 'not_retryable', detail);
}

export function notYours(): BrainError {
  const detail =
    'Missions of other agents are closed to you. An agent reads, runs and reports on the missions that it made and those that name one of its agents; GET /api/keys/self lists these. Ask an operator.';
  return new BrainError('forbidden', 'not_your_mission', detail);
}
