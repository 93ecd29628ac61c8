import fc from 'fast-check';
import { includesText } from './includes-text.js';

describe('the search for a text in another', () => {
  it('agrees with that of the language, for parts of any length', () => {
    const piece = fc.string({ unit: fc.constantFrom('a', 'b', '\u{1f98a}'), maxLength: 3 });
    const long = fc.tuple(piece, fc.integer({ min: 1, max: 60 })).map(([one, times]) => one.repeat(times));
    fc.assert(
      fc.property(fc.array(long, { maxLength: 4 }), long, long, (pieces, one, other) => {
        const part = one + other;
        for (const text of [pieces.join(''), pieces.join('') + part + pieces.join(''), part.slice(1)])
          expect([text, part, includesText(text, part)]).toEqual([text, part, text.includes(part)]);
      }),
      { numRuns: 2000 },
    );
  });

  it('takes linear time where that of the language takes quadratic time', () => {
    const half = 'a'.repeat(1_000_000);
    // That would be a trillion steps.
    expect(includesText(half + half, `${half}b${half}`.slice(500_000, 1_500_000))).toBe(false);
    expect(includesText(`${half}b${half}`, `${half}b${half}`.slice(500_000, 1_500_000))).toBe(true);
  });
});
