import { BrainError } from '../shared/errors.js';
import { type MissionStatus, MOVES } from './missions.lifecycle.js';

export function noSuchMission(id: string): BrainError {
  const detail = `There is no mission ${id.slice(0, 128)}; GET /api/missions lists them.`;
  return new BrainError('not_found', 'mission_not_found', detail);
}

export function missionExists(id: string): BrainError {
  const detail = `There is a mission ${id} already; choose another id, or leave it out.`;
  return new BrainError('conflict', 'mission_exists', detail);
}

export function illegalMove(from: MissionStatus, to: MissionStatus): BrainError {
  const can = MOVES[from].length > 0 ? `it can become ${MOVES[from].join(', ')}` : 'it has ended';
  const retry = from === 'FAILED' && to === 'PENDING' ? '; POST …/retry brings it back' : '';
  return new BrainError(
    'conflict',
    'illegal_status_change',
    `A mission that is ${from} cannot become ${to}; ${can}${retry}.`,
  );
}

export function heldByWorker(): BrainError {
  const detail = 'A worker of this service runs the mission; only CANCELLED is taken while it does.';
  return new BrainError('conflict', 'mission_held', detail);
}

export function notExecutable(status: MissionStatus): BrainError {
  const detail =
    status === 'FAILED'
      ? 'The mission has failed; POST …/retry goes on from the step that did.'
      : `The mission is ${status}; only one that is PENDING can be executed.`;
  return new BrainError('conflict', 'not_executable', detail);
}

export function notRetryable(status: MissionStatus): BrainError {
  return new BrainError(
    'conflict',
    'not_retryable',
    `The mission is ${status}; only a FAILED one can be retried.`,
  );
}

export function notYours(): BrainError {
  const detail =
    'An agent reports on missions that it made or that were given to it, and sets only its own in motion; ask an operator.';
  return new BrainError('forbidden', 'not_your_mission', detail);
}

export function mayNotDelegate(): BrainError {
  const detail =
    'Another agent_id or agent_role than your own needs the permission missions:delegate; leave them out.';
  return new BrainError('forbidden', 'may_not_delegate', detail);
}
