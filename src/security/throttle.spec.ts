import { addressOf, Throttle } from './throttle.js';

describe('the throttle', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  it('allows ten attempts, then returns how long to wait, and allows one more after that', () => {
    const throttle = new Throttle();
    for (let i = 0; i < 10; i += 1) expect(throttle.take('a')).toBe(0);
    expect(throttle.take('a')).toBe(6);
    jest.advanceTimersByTime(5_999);
    expect(throttle.take('a')).toBe(1);
    jest.advanceTimersByTime(2);
    expect(throttle.take('a')).toBe(0);
    expect(throttle.take('a')).toBe(6);
    expect(throttle.take('b')).toBe(0);
  });

  it('returns an attempt that was not needed, and never allows more than ten', () => {
    const throttle = new Throttle();
    for (let i = 0; i < 100; i += 1) {
      expect(throttle.take('a')).toBe(0);
      throttle.giveBack('a');
    }
    throttle.giveBack('a');
    jest.advanceTimersByTime(3_600_000);
    for (let i = 0; i < 10; i += 1) expect(throttle.take('a')).toBe(0);
    expect(throttle.take('a')).toBeGreaterThan(0);
  });

  it('remembers a limited number of addresses and drops the ones that were quiet longest', () => {
    const throttle = new Throttle();
    for (const address of ['quiet', 'busy']) while (throttle.take(address) === 0);
    for (let i = 0; i < 10_000; i += 1) {
      throttle.take(`other-${i}`);
      if (i % 1000 === 0) expect(throttle.take('busy')).toBeGreaterThan(0);
    }
    expect(throttle.take('busy')).toBeGreaterThan(0);
    expect(throttle.take('quiet')).toBe(0);
  });

  it('reports failures at most once a second, with their number', () => {
    const throttle = new Throttle();
    expect([throttle.failed('a'), throttle.failed('a'), throttle.failed('a')]).toEqual([1, 0, 0]);
    expect(throttle.failed('b')).toBe(1);
    jest.advanceTimersByTime(1000);
    expect(throttle.failed('a')).toBe(3);
  });

  it('allows a few lookups a second for all throttled addresses together', () => {
    const throttle = new Throttle();
    jest.advanceTimersByTime(1000);
    const taken = Array.from({ length: 30 }, () => throttle.takeSpare());
    expect(taken.filter(Boolean)).toHaveLength(20);
    jest.advanceTimersByTime(1000);
    expect(throttle.takeSpare()).toBe(true);
  });
});

describe('an address', () => {
  it.each([
    ['203.0.113.7', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['::FFFF:203.0.113.7', '203.0.113.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::6', '2001:db8:1:2::/64'],
    ['2001:db8:0001::', '2001:db8:1:0::/64'],
    ['2001:db8::6', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['64:ff9b::203.0.113.7', '64:ff9b:0:0::/64'],
    ['2001:db8::1%eth0', '2001:db8:0:0::/64'],
    ['10', 'unknown'],
    ['0x7f.1', 'unknown'],
    ['010.0.0.1', 'unknown'],
    ['not an address', 'unknown'],
    ['x'.repeat(10_000), 'unknown'],
    [undefined, 'unknown'],
  ])('%.40s counts as %s', (ip, address) => {
    expect(addressOf(ip)).toBe(address);
  });
});
