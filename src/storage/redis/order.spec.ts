import fc from 'fast-check';
import { decodeOrder, encodeOrder } from './order.js';

describe('numbers as text', () => {
  const numbers = fc.double({ noNaN: true, noDefaultInfinity: true });

  it('sort like the numbers, and are decoded to the same numbers', () => {
    fc.assert(
      fc.property(numbers, numbers, (a, b) => {
        const [x, y] = [encodeOrder(a), encodeOrder(b)];
        expect(x).toHaveLength(16);
        expect(Math.sign(x < y ? -1 : x > y ? 1 : 0)).toBe(
          a === b ? 0 : Math.sign(a - b) || (a < b ? -1 : 1),
        );
        expect(decodeOrder(x) === a).toBe(true);
      }),
    );
  });

  it('refuse values that are not finite numbers', () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) expect(() => encodeOrder(value)).toThrow();
  });
});
