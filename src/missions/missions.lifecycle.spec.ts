import { hasEnded, type MissionStatus, mayMove, mayRetry, STATUSES } from './missions.lifecycle.js';

const LEGAL = [
  'PENDING RUNNING',
  'PENDING CANCELLED',
  'RUNNING COMPLETED',
  'RUNNING FAILED',
  'RUNNING CANCELLED',
];
const pairs = STATUSES.flatMap((from) => STATUSES.map((to): [MissionStatus, MissionStatus] => [from, to]));

describe('the life cycle of a mission', () => {
  it.each(pairs)('from %s to %s is as the table says', (from, to) => {
    expect(mayMove(from, to)).toBe(LEGAL.includes(`${from} ${to}`));
  });

  it('has three ends, and only a failed mission can be retried', () => {
    expect(STATUSES.filter(hasEnded)).toEqual(['COMPLETED', 'FAILED', 'CANCELLED']);
    expect(STATUSES.filter(mayRetry)).toEqual(['FAILED']);
  });
});
