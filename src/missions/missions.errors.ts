import { BrainError } from '../shared/errors.js';
import { type MissionStatus, MOVES } from './missions.lifecycle.js';

export function noSuchMission(id: string): BrainError {
  const detail = `No mission has the id ${id.slice(0, 128)}. GET /api/missions lists all missions.`;
  return new BrainError('not_found', 'mission_not_found', detail);
}

export function missionExists(id: string): BrainError {
  const detail = `A mission with the id ${id} already exists. Choose another id, or leave it out.`;
  return new BrainError('conflict', 'mission_exists', detail);
}

export function illegalMove(from: MissionStatus, to: MissionStatus): BrainError {
  const choices = MOVES[from].length > 0 ? `Choose one of ${MOVES[from].join(', ')}.` : 'It has ended.';
  const retry = from === 'FAILED' && to === 'PENDING' ? ' Use POST …/retry to run it again.' : '';
  const detail = `The mission is ${from} and cannot become ${to}. ${choices}${retry}`;
  return new BrainError('conflict', 'illegal_status_change', detail);
}

export function heldByWorker(): BrainError {
  const detail =
    'A worker of this service runs the mission. Until it ends, only the status CANCELLED can be set.';
  return new BrainError('conflict', 'mission_held', detail);
}

export function notExecutable(status: MissionStatus): BrainError {
  const detail =
    status === 'FAILED'
      ? 'The mission has failed. Use POST …/retry to continue at the failed step.'
      : `The mission is ${status}. Only a PENDING mission can be executed.`;
  return new BrainError('conflict', 'not_executable', detail);
}

export function notRetryable(status: MissionStatus): BrainError {
  return new BrainError(
    'conflict',
    'not_retryable',
    `The mission is ${status}. Only a FAILED mission can be retried.`,
  );
}

export function notYours(): BrainError {
  const detail =
    'This mission belongs to another agent. An agent can execute and retry missions that it created, and report on those and on missions that run under its id. Ask an operator.';
  return new BrainError('forbidden', 'not_your_mission', detail);
}

export function mayNotDelegate(): BrainError {
  const detail =
    'An agent_id or agent_role other than your own needs the permission missions:delegate. Leave both out.';
  return new BrainError('forbidden', 'may_not_delegate', detail);
}
