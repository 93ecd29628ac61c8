import { silentLogger } from '../../test/support/logs.js';
import { type OpenStore, openStore } from '../../test/support/open-store.js';
import { sleep } from '../shared/clock.js';
import type { EmbeddedStore } from './embedded/embedded-store.js';
import { Retention } from './retention.js';

/** Removes the given numbers, one per commit. */
class Numbers extends Retention {
  protected readonly lease = 'numbers-retention';
  protected readonly what = 'numbers';
  readonly gone: number[] = [];

  constructor(
    store: EmbeddedStore,
    private readonly there: Iterable<number>,
    private readonly commitMs = 0,
  ) {
    super(store, silentLogger());
  }

  protected async *forget(): AsyncGenerator<number> {
    for (const number of this.there) {
      await sleep(this.commitMs);
      this.gone.push(number);
      yield 1;
    }
  }
}

function* endless(): Generator<number> {
  for (let n = 0; ; n++) yield n;
}

describe('retention', () => {
  let opened: OpenStore;
  let store: EmbeddedStore;

  beforeEach(async () => {
    opened = await openStore();
    store = opened.store;
  });
  afterEach(() => opened.close());

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
    while (numbers.gone.length === 0) await sleep(1);
    await numbers.onModuleDestroy();
    expect(await sweeping).toBe(numbers.gone.length);
  });
});
