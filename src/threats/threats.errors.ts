import { BrainError } from '../shared/errors.js';
import { MOVES, type ThreatSeverity, type ThreatStatus } from './threats.lifecycle.js';

export function noSuchThreat(id: string): BrainError {
  return new BrainError(
    'not_found',
    'threat_not_found',
    `There is no threat ${id.slice(0, 128)}; GET /api/threats lists them.`,
  );
}

export function illegalMove(from: ThreatStatus, to: ThreatStatus): BrainError {
  const detail = `A threat that is ${from} cannot become ${to}; it can become ${MOVES[from].join(', ')}.`;
  return new BrainError('conflict', 'illegal_status_change', detail);
}

export function closedThreat(status: ThreatStatus): BrainError {
  const detail = `The threat is ${status} and keeps its severity; reopen it first.`;
  return new BrainError('conflict', 'threat_closed', detail);
}

export function sameSeverity(severity: ThreatSeverity): BrainError {
  return new BrainError('conflict', 'severity_unchanged', `The severity is ${severity} already.`);
}

export function fingerprintOpen(other: string): BrainError {
  const detail = `The threat ${other} with the same fingerprint is open; work on that one, or close it first.`;
  return new BrainError('conflict', 'fingerprint_open', detail);
}
