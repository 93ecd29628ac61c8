import { Written } from './written.js';

/** No event was handed to a transaction since then. */
const NEVER = Number.POSITIVE_INFINITY;

describe('what was written behind a position', () => {
  it('is as old as the oldest event of the batches that end behind it', () => {
    const written = new Written();
    written.add('10000-0', 9);
    written.add('20000-0', 3);
    written.add('30000-0', 29);
    expect(written.oldestBehind('30000-0', NEVER)).toBeUndefined();
    expect(written.oldestBehind('20000-0', NEVER)).toBe(29);
    expect(written.oldestBehind('19999-5', NEVER)).toBe(3);
  });

  it('stays correct when old batches are merged', () => {
    const written = new Written();
    for (let n = 1; n <= 5000; n += 1) written.add(`${n * 1000}-0`, n === 7 ? 0.5 : n);
    for (let n = 1; n < 5000; n += 1) {
      const oldest = n < 7 ? 0.5 : n + 1;
      expect(written.oldestBehind(`${n * 1000}-0`, NEVER)).toBeLessThanOrEqual(oldest);
    }
    expect(written.oldestBehind('4500000-0', NEVER)).toBe(4501);
  });

  it('is no older than half a second of writes that do not pause', () => {
    const written = new Written();
    for (let ms = 0; ms < 60_000; ms += 5) written.add(`${ms}-0`, ms / 1000);
    expect(written.oldestBehind('59000-0', NEVER)).toBeGreaterThan(58.4);
    expect(written.oldestBehind('59000-0', NEVER)).toBeLessThanOrEqual(59.005);
  });

  it('counts each commit by its position, in whatever order they are answered and whatever their clock says', () => {
    const written = new Written();
    written.add('20000-1', 9.9);
    written.add('20000-0', 9.8);
    expect(written.oldestBehind('20000-0', NEVER)).toBe(9.8);
    expect(written.oldestBehind('20000-1', NEVER)).toBeUndefined();
    // A new master whose clock is behind.
    written.add('15000-0', 10.5);
    expect(written.oldestBehind('20000-0', NEVER)).toBe(9.8);
    expect(written.oldestBehind('14000-0', NEVER)).toBe(9.8);
  });

  it('may be an event whose commit is not answered', () => {
    const written = new Written();
    written.handedOver(100);
    expect(written.oldestBehind('103000-0', 101)).toBeUndefined();
    expect(written.oldestBehind('101500-0', 99.5)).toBe(100);
  });
});
