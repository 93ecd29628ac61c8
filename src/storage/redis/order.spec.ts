import fc from 'fast-check';
import { decodeOrder, encodeOrder } from './order.js';

describe('numbers as text', () => {
  const numbers = fc.double({ noNaN: true, noDefaultInfinity: true });

  it('sort like the numbers, and come back as they were', () => {
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

  it('refuse what has no place in an order', () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) expect(() => encodeOrder(value)).toThrow();
  });
});
