import { ShutdownState } from './shutdown-state.js';

describe('a shutdown', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  it('ends endless requests, and shares one grace time between requests and events', () => {
    const draining = new ShutdownState();
    const ended: string[] = [];
    draining.onLeave(() => ended.push('stream'));
    draining.leave(5000);
    expect(ended).toEqual(['stream']);
    expect(draining.leftMs()).toBe(4000);
    jest.advanceTimersByTime(1500);
    expect(draining.leftMs()).toBe(2500);
    jest.advanceTimersByTime(60_000);
    expect(draining.leftMs()).toBe(1000);
  });
});
