import { Written } from './written.js';

describe('the age of the events after a position', () => {
  it('is as old as the oldest event in the batches that end after it', () => {
    const written = new Written();
    written.add('10000-0', 9);
    written.add('20000-0', 3);
    written.add('30000-0', 29);
    expect(written.oldestBehind('30000-0')).toBeUndefined();
    expect(written.oldestBehind('20000-0')).toBe(29);
    expect(written.oldestBehind('19999-5')).toBe(3);
  });

  it('stays correct when old batches are merged', () => {
    const written = new Written();
    for (let n = 1; n <= 5000; n += 1) written.add(`${n * 1000}-0`, n === 7 ? 0.5 : n);
    for (let n = 1; n < 5000; n += 1) {
      const oldest = n < 7 ? 0.5 : n + 1;
      expect(written.oldestBehind(`${n * 1000}-0`)).toBeLessThanOrEqual(oldest);
    }
    expect(written.oldestBehind('4500000-0')).toBe(4501);
  });

  it('may include an event of a transaction shortly before', () => {
    const written = new Written();
    written.handedOver(100);
    expect(written.oldestBehind('103000-0')).toBeUndefined();
    expect(written.oldestBehind('101500-0')).toBe(100);
  });
});
