/** The life cycle of a mission. Pure. */

export const STATUSES = ['PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED'] as const;
export type MissionStatus = (typeof STATUSES)[number];

export const PRIORITIES = ['CRITICAL', 'HIGH', 'NORMAL', 'LOW'] as const;
export type MissionPriority = (typeof PRIORITIES)[number];

/** The moves that `POST …/status` allows. Only `POST …/retry` moves FAILED back to PENDING. */
export const MOVES: Record<MissionStatus, readonly MissionStatus[]> = {
  PENDING: ['RUNNING', 'CANCELLED'],
  RUNNING: ['COMPLETED', 'FAILED', 'CANCELLED'],
  COMPLETED: [],
  FAILED: [],
  CANCELLED: [],
};

export function mayMove(from: MissionStatus, to: MissionStatus): boolean {
  return MOVES[from].includes(to);
}

export function mayRetry(from: MissionStatus): boolean {
  return from === 'FAILED';
}

export function hasEnded(status: MissionStatus): boolean {
  return MOVES[status].length === 0;
}
