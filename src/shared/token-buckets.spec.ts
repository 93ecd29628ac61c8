import fc from 'fast-check';
import { TokenBuckets } from './token-buckets.js';

describe('token buckets', () => {
  let nowMs = 0;
  beforeEach(() => {
    nowMs = 1000;
    jest.spyOn(performance, 'now').mockImplementation(() => nowMs);
  });
  afterEach(() => jest.restoreAllMocks());

  it('admit a burst, then as many as are refilled, and say how long to wait', () => {
    const buckets = new TokenBuckets(10, 50);
    for (let i = 0; i < 50; i += 1) expect(buckets.take('a')).toBe(0);
    expect(buckets.take('a')).toBeCloseTo(0.1);
    expect([buckets.left('a'), buckets.secondsToFull('a')]).toEqual([0, 5]);
    expect(buckets.take('b')).toBe(0);
    nowMs += 100;
    expect(buckets.take('a')).toBe(0);
    expect(buckets.take('a')).toBeCloseTo(0.1);
    nowMs += 3_600_000;
    expect(buckets.left('a')).toBe(50);
  });

  it('owe what was taken at once beyond the last token', () => {
    const buckets = new TokenBuckets(10, 50);
    expect(buckets.take('a', 100)).toBe(0);
    expect(buckets.take('a')).toBeCloseTo(5.1);
    buckets.charge('a', 10);
    expect(buckets.take('a')).toBeCloseTo(6.1);
  });

  it('never admit more than a full bucket and what was refilled', () => {
    const steps = fc.array(fc.record({ afterMs: fc.nat(500), tries: fc.nat(30) }), { maxLength: 50 });
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 50 }), (all, perSecond) => {
        const buckets = new TokenBuckets(perSecond, perSecond * 5);
        const startMs = nowMs;
        let admitted = 0;
        for (const { afterMs, tries } of all) {
          nowMs += afterMs;
          for (let i = 0; i < tries; i += 1) if (buckets.take('a') === 0) admitted += 1;
        }
        const most = perSecond * 5 + ((nowMs - startMs) / 1000) * perSecond;
        expect(admitted).toBeLessThanOrEqual(Math.ceil(most));
      }),
    );
  });

  it('stay bounded in number, and forget the full ones first', () => {
    const buckets = new TokenBuckets(1, 5);
    buckets.take('busy', 1000);
    for (let i = 0; i < 60_000; i += 1) {
      nowMs += 1;
      buckets.take(`other-${i}`);
    }
    expect(buckets.take('busy')).toBeGreaterThan(0);
    const { size } = (buckets as unknown as { buckets: Map<string, unknown> }).buckets;
    expect(size).toBeLessThanOrEqual(20_000);
  });
});
