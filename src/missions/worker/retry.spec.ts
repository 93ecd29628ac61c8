import { attemptsOf, backoffSeconds } from './retry.js';

const most = (): number => 1;
const least = (): number => 0;

describe('the time between two attempts', () => {
  it('doubles with each, from one second to five minutes where nothing else is said', () => {
    const seconds = [1, 2, 3, 9, 10, 20].map((attempt) => backoffSeconds({}, attempt, most));
    expect(seconds).toEqual([1, 2, 4, 256, 300, 300]);
  });

  it('is between half and all of that', () => {
    const step = { retry: { backoff_seconds: 10, max_seconds: 25 } };
    expect([1, 2, 3].map((attempt) => backoffSeconds(step, attempt, least))).toEqual([5, 10, 12.5]);
    expect([1, 2, 3].map((attempt) => backoffSeconds(step, attempt, most))).toEqual([10, 20, 25]);
    for (let i = 0; i < 1000; i += 1) {
      const seconds = backoffSeconds(step, 2);
      expect(seconds).toBeGreaterThanOrEqual(10);
      expect(seconds).toBeLessThanOrEqual(20);
    }
  });

  it('may be none', () => {
    expect(backoffSeconds({ retry: { backoff_seconds: 0 } }, 5)).toBe(0);
    expect(backoffSeconds({ retry: { max_seconds: 0 } }, 5)).toBe(0);
  });

  it('comes twice, since there are three attempts, or as many as the step says', () => {
    expect([attemptsOf({}), attemptsOf({ retry: {} }), attemptsOf({ retry: { attempts: 7 } })]).toEqual([
      3, 3, 7,
    ]);
  });
});
