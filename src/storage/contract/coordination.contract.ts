/** What every backend promises to several clients: sequences, leases, one clock, and news of commits. */
import { codeOf } from '../../../test/support/errors.js';
import { sleep } from '../../shared/clock.js';
import { randomId } from '../../shared/ids.js';
import type { Store } from '../store.js';
import { ITEMS, item } from './items.js';
import type { Backend, Subject } from './subject.js';

/** The monotonic clock measures the delays here. It may run ahead of the wall clock by less than this. */
const CLOCKS_AGREE = 0.99;

export function coordinationContract(subject: Subject): void {
  let backend: Backend;
  let store: Store;
  beforeEach(() => {
    ({ backend, store } = subject);
  });

  describe('sequences', () => {
    it('grow and never repeat, also with several clients and after a restart', async () => {
      const other = await backend.client();
      const draw = (from: Store, count: number): Promise<number[]> =>
        Promise.all(Array.from({ length: count }, () => from.transaction((tx) => tx.next('seq'))));
      const drawn = (await Promise.all([draw(store, 40), draw(other.store, 40)])).flat();
      await subject.restart();
      const later = await draw(subject.store, 5);
      expect(new Set([...drawn, ...later]).size).toBe(85);
      expect(Math.min(...later)).toBeGreaterThan(Math.max(...drawn));
    });
  });

  describe('leases', () => {
    it('have one holder and a fence that grows', async () => {
      const other = await backend.client();
      const name = randomId(8);
      const takers = await Promise.all([store.acquire(name, 5000), other.store.acquire(name, 5000)]);
      const [held, second] = takers.filter((lease) => lease !== undefined);
      expect(second).toBeUndefined();
      expect(await store.acquire(name, 5000)).toBeUndefined();
      await store.release(held);
      const next = await other.store.acquire(name, 5000);
      expect(next?.fence).toBeGreaterThan(held?.fence);
    });

    it('expire, can be renewed, and report that they are lost', async () => {
      const name = randomId(8);
      const lease = await store.acquire(name, 150);
      if (!lease) throw new Error('the lease was not given');
      expect(await store.renew(lease, 150)).toBe(true);
      await sleep(300);
      expect(await store.renew(lease, 150)).toBe(false);
      expect(await store.acquire(name, 1000)).toBeDefined();
      await store.release(lease);
      expect(await store.acquire(name, 1000)).toBeUndefined();
    });

    it('stop a transaction that demands a lost lease', async () => {
      const name = randomId(8);
      const lease = await store.acquire(name, 100);
      if (!lease) throw new Error('the lease was not given');
      const write = (id: string): Promise<void> =>
        store.transaction((tx) => {
          tx.demand(lease);
          tx.insert(ITEMS, item(id));
        });
      await write('held');
      await sleep(250);
      expect(await codeOf(write('lost'))).toBe('lease_lost');
      expect(await store.get(ITEMS, 'lost')).toBeUndefined();
      expect(await store.get(ITEMS, 'held')).toBeDefined();
    });
  });

  describe('the clock', () => {
    /** A client knows the time after the first answer. */
    const other = async (): Promise<Store> => {
      const client = await backend.client();
      await client.store.entries(ITEMS, 'none', { limit: 1 });
      return client.store;
    };

    it('is the same for all clients, and the time is between the bounds of each', async () => {
      const stores = [store, await other()];
      // All backends of this suite run on this machine and use its clock.
      const before = Date.now() / 1000;
      const times = stores.map((one) => one.clock());
      const after = (Date.now() + 1) / 1000;
      for (const { earliest, latest } of times) {
        expect(earliest).toBeLessThanOrEqual(after);
        expect(latest).toBeGreaterThanOrEqual(before);
        expect(latest).toBeGreaterThanOrEqual(earliest);
      }
    });

    it('ends a delay of one client for another client too, and never early', async () => {
      const [from, to] = [store, await other()];
      for (const [setter, looker] of [
        [from, to],
        [to, from],
      ]) {
        const setMs = performance.now();
        const due = setter.clock().latest + 0.2;
        while (looker.clock().earliest < due) await sleep(1);
        expect(performance.now() - setMs).toBeGreaterThanOrEqual(200 * CLOCKS_AGREE);
      }
    });
  });

  describe('watch', () => {
    const { change } = subject;
    it('calls back within a second of a commit by another client, until it is stopped', async () => {
      const other = await backend.client();
      other.store.declare(ITEMS);
      let calls = 0;
      const stop = store.watch(ITEMS, () => {
        calls += 1;
      });
      await sleep(700);
      const before = calls;
      await other.store.transaction((tx) => tx.insert(ITEMS, item('seen')));
      await sleep(1000);
      expect(calls).toBeGreaterThan(before);
      stop();
      const stopped = calls;
      await change('seen', (old) => ({ ...old, n: 1 }), other.store);
      await sleep(700);
      expect(calls).toBe(stopped);
    });

    it('knows until when every commit is reported, and never a later time', async () => {
      const other = await backend.client();
      other.store.declare(ITEMS);
      await other.store.transaction((tx) => tx.insert(ITEMS, item('n', { n: 0 })));
      let reported = 0;
      const stop = store.watch(ITEMS, () => {
        reported += 1;
      });
      for (let n = 1; n <= 5; n += 1) {
        await sleep(300);
        const before = reported;
        await change('n', (old) => ({ ...old, n }), other.store);
        const committedMs = performance.now();
        while (store.watchedUntilMs() <= committedMs) await sleep(2);
        expect(reported).toBeGreaterThan(before);
      }
      stop();
    });
  });
}
