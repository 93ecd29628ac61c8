import { attemptsOf, backoffSeconds } from './outcomes.js';

const most = (): number => 1;
const least = (): number => 0;

describe('the time between two attempts', () => {
  it('doubles with each attempt, by default from one second up to five minutes', () => {
    const seconds = [1, 2, 3, 9, 10, 20].map((attempt) => backoffSeconds({}, attempt, most));
    expect(seconds).toEqual([1, 2, 4, 256, 300, 300]);
  });

  it('varies between half of the maximum and the maximum', () => {
    const step = { retry: { backoff_seconds: 10, max_seconds: 25 } };
    expect([1, 2, 3].map((attempt) => backoffSeconds(step, attempt, least))).toEqual([5, 10, 12.5]);
    expect([1, 2, 3].map((attempt) => backoffSeconds(step, attempt, most))).toEqual([10, 20, 25]);
    for (let i = 0; i < 1000; i += 1) {
      const seconds = backoffSeconds(step, 2);
      expect(seconds).toBeGreaterThanOrEqual(10);
      expect(seconds).toBeLessThanOrEqual(20);
    }
  });

  it('may be zero', () => {
    expect(backoffSeconds({ retry: { backoff_seconds: 0 } }, 5)).toBe(0);
    expect(backoffSeconds({ retry: { max_seconds: 0 } }, 5)).toBe(0);
  });

  it('comes after each attempt but the last; by default there are three attempts', () => {
    expect([attemptsOf({}), attemptsOf({ retry: {} }), attemptsOf({ retry: { attempts: 7 } })]).toEqual([
      3, 3, 7,
    ]);
  });
});
