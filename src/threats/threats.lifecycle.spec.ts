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

/** The allowed moves again, written by hand: a row for each old status, a column for each new one, in the order of STATUSES. */
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

  it.each([
    ['is reopened', isReopening, ['MITIGATED>INVESTIGATING', 'IGNORED>OPEN', 'RESOLVED>OPEN']],
    [
      'is mitigated',
      isMitigation,
      ['OPEN', 'INVESTIGATING', 'ESCALATED'].flatMap((from) => [`${from}>MITIGATED`, `${from}>RESOLVED`]),
    ],
  ])('%s by these moves', (_title, isSo, moves) => {
    const allowed = pairs.filter(([from, to, mayMove]) => mayMove && isSo(from, to));
    expect(allowed.map(([from, to]) => `${from}>${to}`)).toEqual(moves);
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
