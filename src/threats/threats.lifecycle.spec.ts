import {
  isClosed,
  isMitigation,
  isReopening,
  isWorse,
  mayMove,
  SEVERITIES,
  STATUSES,
  type ThreatStatus,
} from './threats.lifecycle.js';

/** The contract's table once more, written by hand: rows are from, columns are to, in the order of STATUSES. */
const ALLOWED: Record<ThreatStatus, string> = {
  //               O I E M G R
  OPEN: '          . x x x x x',
  INVESTIGATING: ' . . x x x x',
  ESCALATED: '     . x . x x x',
  MITIGATED: '     . x . . . x',
  IGNORED: '       x . . . . .',
  RESOLVED: '      x . . . . .',
};

const pairs = STATUSES.flatMap((from) =>
  STATUSES.map((to, i) => [from, to, ALLOWED[from].replaceAll(' ', '')[i] === 'x'] as const),
);

describe('the life of a threat', () => {
  it.each(pairs)('moves from %s to %s: %s', (from, to, allowed) => {
    expect(mayMove(from, to)).toBe(allowed);
  });

  it('is closed when it is ignored, mitigated or resolved', () => {
    expect(STATUSES.filter(isClosed)).toEqual(['MITIGATED', 'IGNORED', 'RESOLVED']);
  });

  it('reopens from a closed status to an open one', () => {
    const reopenings = pairs.filter(([from, to, allowed]) => allowed && isReopening(from, to));
    expect(reopenings.map(([from, to]) => `${from}>${to}`)).toEqual([
      'MITIGATED>INVESTIGATING',
      'IGNORED>OPEN',
      'RESOLVED>OPEN',
    ]);
  });

  it('is mitigated by each change to MITIGATED, and to RESOLVED from any other status', () => {
    const mitigations = pairs.filter(([from, to, allowed]) => allowed && isMitigation(from, to));
    expect(mitigations.map(([from, to]) => `${from}>${to}`)).toEqual([
      'OPEN>MITIGATED',
      'OPEN>RESOLVED',
      'INVESTIGATING>MITIGATED',
      'INVESTIGATING>RESOLVED',
      'ESCALATED>MITIGATED',
      'ESCALATED>RESOLVED',
    ]);
  });

  it('orders the severities', () => {
    const worse = SEVERITIES.flatMap((one) =>
      SEVERITIES.filter((than) => isWorse(one, than)).map((than) => `${one}>${than}`),
    );
    expect(worse).toEqual([
      'MEDIUM>LOW',
      'HIGH>LOW',
      'HIGH>MEDIUM',
      'CRITICAL>LOW',
      'CRITICAL>MEDIUM',
      'CRITICAL>HIGH',
    ]);
  });
});
