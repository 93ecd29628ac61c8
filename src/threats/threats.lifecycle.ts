/** What may become of a threat: a pure table, and what follows from a move. */
export const STATUSES = ['OPEN', 'INVESTIGATING', 'ESCALATED', 'MITIGATED', 'IGNORED', 'RESOLVED'] as const;
export type ThreatStatus = (typeof STATUSES)[number];

/** From the mildest to the worst. */
export const SEVERITIES = ['LOW', 'MEDIUM', 'HIGH', 'CRITICAL'] as const;
export type ThreatSeverity = (typeof SEVERITIES)[number];

export const MOVES: Record<ThreatStatus, readonly ThreatStatus[]> = {
  OPEN: ['INVESTIGATING', 'ESCALATED', 'MITIGATED', 'IGNORED', 'RESOLVED'],
  INVESTIGATING: ['ESCALATED', 'MITIGATED', 'IGNORED', 'RESOLVED'],
  ESCALATED: ['INVESTIGATING', 'MITIGATED', 'IGNORED', 'RESOLVED'],
  // It came back.
  MITIGATED: ['RESOLVED', 'INVESTIGATING'],
  IGNORED: ['OPEN'],
  RESOLVED: ['OPEN'],
};

export function mayMove(from: ThreatStatus, to: ThreatStatus): boolean {
  return MOVES[from].includes(to);
}

export function isClosed(status: ThreatStatus): boolean {
  return status === 'IGNORED' || status === 'MITIGATED' || status === 'RESOLVED';
}

/** A closed threat that becomes open again starts its time anew. */
export function isReopening(from: ThreatStatus, to: ThreatStatus): boolean {
  return isClosed(from) && !isClosed(to);
}

/** The danger is over with this move; RESOLVED after MITIGATED only files it. */
export function isMitigation(from: ThreatStatus, to: ThreatStatus): boolean {
  return to === 'MITIGATED' || (to === 'RESOLVED' && from !== 'MITIGATED');
}

export function isWorse(severity: ThreatSeverity, than: ThreatSeverity): boolean {
  return SEVERITIES.indexOf(severity) > SEVERITIES.indexOf(than);
}
