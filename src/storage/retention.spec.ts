import { silentLogger } from '../../test/support/logs.js';
import { openStore } from '../../test/support/open-store.js';
import { readConfig } from '../config/config.js';
import { sleep } from '../shared/clock.js';
import type { EmbeddedStore } from './embedded/embedded-store.js';
import { type OldData, Retention } from './retention.js';

/** Removes the given numbers, one per commit. */
class Numbers extends Retention<number> {
  readonly removed: number[] = [];

  constructor(store: EmbeddedStore, numbers: Iterable<number>, commitMs = 0) {
    const old: OldData<number> = {
      lease: 'numbers-retention',
      what: 'numbers',
      days: () => 1,
      async *find() {
        for (const number of numbers) yield [number];
      },
      remove: async (_tx, number) => {
        await sleep(commitMs);
        this.removed.push(number);
        return true;
      },
    };
    super(old, store, readConfig({}), silentLogger());
  }
}

function* endless(): Generator<number> {
  for (let n = 0; ; n++) yield n;
}

describe('retention', () => {
  let store: EmbeddedStore;
  let close: () => Promise<void>;

  beforeEach(async () => {
    ({ store, close } = await openStore());
  });
  afterEach(() => close());

  it('removes everything and returns the count', async () => {
    expect(await new Numbers(store, [1, 2, 3]).sweep()).toBe(3);
    expect(await new Numbers(store, []).sweep()).toBe(0);
  });

  it('runs one sweep at a time, and releases the lease even after an error', async () => {
    const first = new Numbers(store, [1, 2], 50);
    const sweeping = first.sweep();
    await sleep(20);
    expect(await new Numbers(store, [3]).sweep()).toBe(0);
    expect(await sweeping).toBe(2);
    const broken = new Numbers(store, {
      [Symbol.iterator]() {
        throw new Error('broken');
      },
    });
    await expect(broken.sweep()).rejects.toThrow('broken');
    expect(await new Numbers(store, [3]).sweep()).toBe(1);
  });

  it('stops with the service, after the running commit', async () => {
    const numbers = new Numbers(store, endless(), 5);
    numbers.onApplicationBootstrap();
    const sweeping = numbers.sweep();
    while (numbers.removed.length === 0) await sleep(1);
    await numbers.onModuleDestroy();
    expect(await sweeping).toBe(numbers.removed.length);
  });
});
