import fc from 'fast-check';
import type { LoggedEvent } from '../../storage/event-log.js';
import { ReadSize } from './read-size.js';

const read = (count: number, characters: number): LoggedEvent[] =>
  Array.from({ length: count }, (_, n) => ({ position: `1-${n}`, json: 'x'.repeat(characters) }));

describe('the size of a read', () => {
  it('grows with small events, and shrinks at once with large ones', () => {
    const size = new ReadSize(100_000);
    expect(size.events).toBe(64);
    const seen = [500, 500, 500, 500, 50_000, 500].map((characters) => {
      size.learn(read(size.events, characters));
      return size.events;
    });
    expect(seen).toEqual([128, 200, 200, 200, 4, 8]);
    size.learn([]);
    expect(size.events).toBe(8);
  });

  it('reads at most twice the bytes of events of one size, but for a few events', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 300_000 }), (characters) => {
        const size = new ReadSize(1_000_000);
        size.learn(read(1, characters));
        for (let n = 0; n < 5; n += 1) {
          expect(size.events * characters).toBeLessThanOrEqual(Math.max(2_000_000, 4 * characters));
          size.learn(read(1, characters));
        }
      }),
    );
  });
});
