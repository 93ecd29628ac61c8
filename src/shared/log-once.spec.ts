import { LogOnce, ONCE } from './log-once.js';

afterEach(() => jest.restoreAllMocks());

it('a line about the same fault is logged once per interval', () => {
  let nowMs = 0;
  jest.spyOn(performance, 'now').mockImplementation(() => nowMs);
  const once = new LogOnce(1000);
  expect([once.isDue('a'), once.isDue('a'), once.isDue('b')]).toEqual([true, false, true]);
  nowMs = 999;
  expect(once.isDue('a')).toBe(false);
  nowMs = 1000;
  expect([once.isDue('a'), once.isDue('a')]).toEqual([true, false]);
});

it('lets a single line through when the interval never ends', () => {
  const once = new LogOnce(ONCE);
  expect([once.isDue(), once.isDue()]).toEqual([true, false]);
});
