import { BrainError } from '../shared/errors.js';
import { MOVES, type ThreatSeverity, type ThreatStatus } from './threats.lifecycle.js';

export function noSuchThreat(id: string): BrainError {
  return new BrainError(
    'not_found',
    'threat_not_found',
    `No threat has the id ${id.slice(0, 128)}. GET /api/threats lists all threats.`,
  );
}

export function illegalMove(from: ThreatStatus, to: ThreatStatus): BrainError {
  const detail = `The threat is ${from} and cannot become ${to}. Choose one of ${MOVES[from].join(', ')}.`;
  return new BrainError('conflict', 'illegal_status_change', detail);
}

export function closedThreat(status: ThreatStatus): BrainError {
  const detail = `The threat is ${status}, and a closed threat keeps its severity. Reopen it first.`;
  return new BrainError('conflict', 'threat_closed', detail);
}

export function sameSeverity(severity: ThreatSeverity): BrainError {
  return new BrainError(
    'conflict',
    'severity_unchanged',
    `The threat already has the severity ${severity}. Choose another one.`,
  );
}

export function tooManyOpen(reporter: string, most: number): BrainError {
  const detail = `${reporter} has reported ${most} threats that are still open. Close some of them, or report with a fingerprint to count repetitions of one threat; BRAIN_THREATS_MAX_OPEN sets the limit.`;
  return new BrainError('conflict', 'too_many_open_threats', detail);
}

export function fingerprintOpen(other: string): BrainError {
  const detail = `The threat ${other} is open and has the same type, source and fingerprint. Work on that threat, or close it first.`;
  return new BrainError('conflict', 'fingerprint_open', detail);
}
