/** What every backend promises of lists, counters and appended entries. */
import { codeOf } from '../../../test/support/errors.js';
import type { Store } from '../store.js';
import { ITEMS, item } from './items.js';
import { type Backend, type Subject, walk } from './subject.js';

export function listsContract(subject: Subject): void {
  describe('lists', () => {
    const { add, change } = subject;
    let backend: Backend;
    let store: Store;
    beforeAll(() => {
      ({ backend, store } = subject);
    });

    it('are ordered by the order value and then by id, in both directions', async () => {
      await add(item('c', { at: 2 }), item('a', { at: 2 }), item('b', { at: 1 }), item('d', { at: 10.5 }));
      expect((await walk(store, { direction: 'asc', limit: 3 })).ids).toEqual(['b', 'a', 'c', 'd']);
      expect((await walk(store, { direction: 'desc', limit: 2 })).ids).toEqual(['d', 'c', 'a', 'b']);
    });

    it('filter by one field and by several, with a total', async () => {
      await add(
        item('a', { state: 'open', kind: 'x' }),
        item('b', { state: 'open', kind: 'y' }),
        item('c', { state: 'shut', kind: 'x' }),
      );
      const open = await store.list(ITEMS, { where: { state: 'open' } });
      expect([open.rows.map((row) => row.id).sort(), open.total, open.next]).toEqual([['a', 'b'], 2, null]);
      const both = await store.list(ITEMS, { where: { state: 'open', kind: 'x' } });
      expect([both.rows.map((row) => row.id), both.total]).toEqual([['a'], 1]);
      expect((await store.list(ITEMS, { where: { state: 'nowhere' } })).total).toBe(0);
      expect((await store.list(ITEMS, { where: { state: undefined } })).total).toBe(3);
    });

    it('respect bounds on the order value, both inclusive', async () => {
      await add(...[1, 2, 3, 4].map((at) => item(`i${at}`, { at, kind: at % 2 ? 'odd' : 'even' })));
      const page = await store.list(ITEMS, { from: 2, until: 3, direction: 'asc' });
      expect([page.rows.map((row) => row.id), page.total]).toEqual([['i2', 'i3'], 2]);
      const filtered = await store.list(ITEMS, { where: { kind: 'odd', state: 'open' }, from: 2 });
      expect([filtered.rows.map((row) => row.id), filtered.total]).toEqual([['i3'], 1]);
    });

    it('return only the total on request', async () => {
      await add(item('a', { at: 1 }), item('b', { at: 2 }), item('c', { at: 3 }));
      const { next } = await store.list(ITEMS, { limit: 1 });
      for (const cursor of [undefined, next ?? undefined]) {
        const page = await store.list(ITEMS, { from: 2, limit: 0, cursor });
        expect(page).toEqual({ rows: [], total: 2, next: null });
      }
    });

    it('use the order of an index that has its own', async () => {
      await add(item('a', { n: 3 }), item('b', { n: 1 }), item('c', { n: 2, state: 'shut' }));
      expect((await walk(store, { where: { due: 'due' }, direction: 'asc' })).ids).toEqual(['b', 'a']);
      await change('b', (old) => ({ ...old, n: 9 }));
      expect((await walk(store, { where: { due: 'due' }, direction: 'asc' })).ids).toEqual(['a', 'b']);
    });

    it('find a moved document at its new place only', async () => {
      await add(item('a', { at: 1 }), item('b', { at: 2 }));
      await change('a', (old) => ({ ...old, state: 'shut', at: 3 }));
      expect((await walk(store, {})).ids).toEqual(['a', 'b']);
      expect((await store.list(ITEMS, { where: { state: 'open' } })).rows.map((row) => row.id)).toEqual([
        'b',
      ]);
      expect((await store.list(ITEMS, { where: { state: 'shut' } })).total).toBe(1);
    });

    it('refuse an invalid cursor', async () => {
      const cursor = (json: string): string => Buffer.from(json).toString('base64url');
      for (const wrong of [
        'rubbish',
        cursor('{}'),
        cursor('["1","a"]'),
        cursor('[1e999,"a"]'),
        cursor('[1]'),
      ]) {
        expect([wrong, await codeOf(store.list(ITEMS, { cursor: wrong }))]).toEqual([
          wrong,
          'invalid_request',
        ]);
      }
      for (const wrong of ['rubbish', cursor('[-1,""]'), cursor('[1.5,""]')]) {
        const read = store.entries(ITEMS, 'a', { limit: 1, cursor: wrong });
        expect([wrong, await codeOf(read)]).toEqual([wrong, 'invalid_request']);
      }
    });

    it('contain each row once while others insert, change and remove', async () => {
      const stays = Array.from({ length: 300 }, (_, i) => item(`stay${i}`, { at: i % 7, kind: 'stays' }));
      await add(...stays);
      const other = await backend.client();
      let going = true;
      const disturb = (async () => {
        for (let i = 0; going; i += 1) {
          const id = `go${i % 20}`;
          await other.store.transaction(async (tx) => {
            const there = await tx.get(ITEMS, id);
            if (there && i % 3 === 0) tx.delete(ITEMS, id);
            else if (there) tx.put(ITEMS, { ...there, at: Math.random() * 7 });
            else tx.insert(ITEMS, item(id, { at: Math.random() * 7 }));
          });
        }
      })();
      const { ids } = await walk(store, { limit: 17 });
      going = false;
      await disturb;
      const seen = ids.filter((id) => id.startsWith('stay'));
      expect(seen).toHaveLength(300);
      expect(new Set(seen).size).toBe(300);
    });
  });

  describe('counters', () => {
    const { add, change, clear } = subject;
    let store: Store;
    beforeAll(() => {
      ({ store } = subject);
    });

    it('equal a recount, and leave nothing behind at zero', async () => {
      await add(item('a', { n: 4 }), item('b', { state: 'shut', n: 6 }));
      await change('a', (old) => ({ ...old, state: 'shut' }));
      const counts = await store.counts(ITEMS);
      expect([counts.total, counts['by_state.open'] ?? 0, counts['by_state.shut'], counts.sum]).toEqual([
        2, 0, 2, 10,
      ]);
      await clear();
      expect(Object.values(await store.counts(ITEMS)).every((value) => value === 0)).toBe(true);
    });
  });

  describe('appended entries', () => {
    const { add, clear } = subject;
    let store: Store;
    beforeAll(() => {
      ({ store } = subject);
    });

    it('are returned oldest first, in pages, and are removed with their document', async () => {
      await add(item('a'));
      for (let i = 0; i < 5; i += 1) await store.transaction((tx) => tx.append(ITEMS, 'a', { i }));
      const first = await store.entries(ITEMS, 'a', { limit: 3 });
      expect(first.entries).toEqual([{ i: 0 }, { i: 1 }, { i: 2 }]);
      const second = await store.entries(ITEMS, 'a', { limit: 3, cursor: first.next ?? undefined });
      expect([second.entries, second.next]).toEqual([[{ i: 3 }, { i: 4 }], null]);
      await clear();
      expect((await store.entries(ITEMS, 'a', { limit: 3 })).entries).toEqual([]);
    });
  });
}
