import { BrainError } from '../shared/errors.js';
import { WriteCheck } from './write-check.js';

const full = new BrainError('unavailable', 'storage_full', 'The disk is full.');

describe('whether the store takes writes', () => {
  let writes: number;
  let refusal: BrainError | undefined;
  let check: WriteCheck;
  beforeEach(() => {
    jest.useFakeTimers();
    writes = 0;
    refusal = undefined;
    check = new WriteCheck(async () => {
      writes += 1;
      if (refusal) throw refusal;
    });
  });
  afterEach(() => jest.useRealTimers());

  it('is tested with a write if no write succeeded lately, once for all callers', async () => {
    expect(await Promise.all([check.refusal(), check.refusal()])).toEqual([undefined, undefined]);
    expect(writes).toBe(1);
    jest.advanceTimersByTime(1500);
    check.worked();
    jest.advanceTimersByTime(1500);
    expect(await check.refusal()).toBeUndefined();
    expect(writes).toBe(1);
    jest.advanceTimersByTime(1000);
    await check.refusal();
    expect(writes).toBe(2);
  });

  it('is tested after a refusal, even if smaller writes succeed', async () => {
    check.worked();
    check.doubted();
    check.worked();
    expect(await check.refusal()).toBeUndefined();
    expect(writes).toBe(1);
    refusal = full;
    check.doubted();
    jest.advanceTimersByTime(600);
    check.worked();
    expect(await check.refusal()).toBe(full);
  });

  it('is false until a test write works, and is tested at most twice a second', async () => {
    refusal = full;
    expect(await check.refusal()).toBe(full);
    refusal = undefined;
    check.worked();
    expect(await check.refusal()).toBe(full);
    expect(writes).toBe(1);
    jest.advanceTimersByTime(600);
    expect(await check.refusal()).toBeUndefined();
    expect(writes).toBe(2);
  });

  it('is unknown when the test write fails because of a bug', async () => {
    const broken = new WriteCheck(() => Promise.reject(new TypeError('x is undefined')));
    await expect(broken.refusal()).rejects.toThrow('x is undefined');
  });
});
