import { hasEnded, type MissionStatus, mayMove, mayRetry, STATUSES } from './missions.lifecycle.js';

const LEGAL = [
  'PENDING RUNNING',
  'PENDING CANCELLED',
  'RUNNING COMPLETED',
  'RUNNING FAILED',
  'RUNNING CANCELLED',
];
const pairs = STATUSES.flatMap((from) => STATUSES.map((to): [MissionStatus, MissionStatus] => [from, to]));

describe('the life of a mission', () => {
  it.each(pairs)('moves from %s to %s as the table says', (from, to) => {
    expect(mayMove(from, to)).toBe(LEGAL.includes(`${from} ${to}`));
  });

  it('has three final statuses, and only FAILED allows a retry', () => {
    expect(STATUSES.filter(hasEnded)).toEqual(['COMPLETED', 'FAILED', 'CANCELLED']);
    expect(STATUSES.filter(mayRetry)).toEqual(['FAILED']);
  });
});
