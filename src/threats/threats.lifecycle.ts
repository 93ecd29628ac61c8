/** The life cycle of a threat: the allowed moves, and what a move means. Pure. */
export const STATUSES = ['OPEN', 'INVESTIGATING', 'ESCALATED', 'MITIGATED', 'IGNORED', 'RESOLVED'] as const;
export type ThreatStatus = (typeof STATUSES)[number];

/** From the mildest to the worst. */
export const SEVERITIES = ['LOW', 'MEDIUM', 'HIGH', 'CRITICAL'] as const;
export type ThreatSeverity = (typeof SEVERITIES)[number];

export const MOVES: Record<ThreatStatus, readonly ThreatStatus[]> = {
  OPEN: ['INVESTIGATING', 'ESCALATED', 'MITIGATED', 'IGNORED', 'RESOLVED'],
  INVESTIGATING: ['ESCALATED', 'MITIGATED', 'IGNORED', 'RESOLVED'],
  ESCALATED: ['INVESTIGATING', 'MITIGATED', 'IGNORED', 'RESOLVED'],
  // To INVESTIGATING if the danger returns.
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

/** The time to mitigate starts again with a reopening. */
export function isReopening(from: ThreatStatus, to: ThreatStatus): boolean {
  return isClosed(from) && !isClosed(to);
}

/** The danger ends with this move. From MITIGATED to RESOLVED it was over before. */
export function isMitigation(from: ThreatStatus, to: ThreatStatus): boolean {
  return to === 'MITIGATED' || (to === 'RESOLVED' && from !== 'MITIGATED');
}

export function isWorse(severity: ThreatSeverity, than: ThreatSeverity): boolean {
  return SEVERITIES.indexOf(severity) > SEVERITIES.indexOf(than);
}
