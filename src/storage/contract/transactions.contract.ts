/** What every backend promises of transactions. */
import { codeOf } from '../../../test/support/errors.js';
import { BrainError } from '../../shared/errors.js';
import { randomId } from '../../shared/ids.js';
import type { EventRecord } from '../event-log.js';
import type { Store, Tx } from '../store.js';
import { ITEMS, type Item, item, NOTES } from './items.js';
import type { Backend, Client, Subject } from './subject.js';

export function transactionsContract(subject: Subject): void {
  describe('transactions', () => {
    const { add, change } = subject;
    let backend: Backend;
    let here: Client;
    let store: Store;
    beforeAll(() => {
      ({ backend, here, store } = subject);
    });

    it('return what was written, and undefined for what does not exist', async () => {
      await add(item('a', { n: 7 }));
      expect(await store.get(ITEMS, 'a')).toEqual(item('a', { n: 7 }));
      expect(await store.get(ITEMS, 'b')).toBeUndefined();
    });

    it('keep unknown fields', async () => {
      await add({ ...item('a'), extra: { deep: [1] } } as Item);
      await change('a', (old) => ({ ...old, n: 1 }));
      expect(await store.get(ITEMS, 'a')).toEqual({ ...item('a', { n: 1 }), extra: { deep: [1] } });
    });

    it('run again after a conflict, and the first run leaves no trace', async () => {
      await add(item('a'), item('b'));
      let runs = 0;
      await store.transaction(async (tx) => {
        runs += 1;
        const a = await tx.get(ITEMS, 'a');
        tx.insert(ITEMS, item(`made-in-run-${runs}`));
        tx.record({ json: JSON.stringify({ run: runs }), keys: ['s:race'] });
        if (runs === 1) await change('a', (old) => ({ ...old, n: 5 }));
        tx.put(ITEMS, { ...(a as Item), n: (a as Item).n + 1 });
      });
      expect(runs).toBe(2);
      expect((await store.get(ITEMS, 'a'))?.n).toBe(6);
      expect(await store.get(ITEMS, 'made-in-run-1')).toBeUndefined();
      const events = await here.log.read({ order: 'asc', limit: 10, key: 's:race' });
      expect(events.map((event) => JSON.parse(event.json))).toEqual([{ run: 2 }]);
    });

    it('let 200 concurrent increments of one document all succeed', async () => {
      await add(item('a'));
      const other = await backend.client();
      other.store.declare(ITEMS);
      await Promise.all(
        Array.from({ length: 200 }, (_, i) =>
          change('a', (old) => ({ ...old, n: old.n + 1 }), i % 2 ? store : other.store),
        ),
      );
      expect((await store.get(ITEMS, 'a'))?.n).toBe(200);
      expect((await store.counts(ITEMS)).sum).toBe(200);
    });

    it('check absence: 50 concurrent inserts after a read of one unique value make one document', async () => {
      const made = await Promise.all(
        Array.from({ length: 50 }, (_, i) =>
          store.transaction(async (tx) => {
            const there = await tx.getUnique(ITEMS, 'tag', 'only');
            if (there) {
              tx.put(ITEMS, { ...there, n: there.n + 1 });
              return 'changed';
            }
            tx.insert(ITEMS, item(`u${i}`, { tag: 'only', n: 1 }));
            return 'made';
          }),
        ),
      );
      expect(made.filter((one) => one === 'made')).toHaveLength(1);
      const { rows } = await store.list(ITEMS, {});
      expect(rows.map(({ tag, n }) => ({ tag, n }))).toEqual([{ tag: 'only', n: 50 }]);
    });

    it('refuse a taken id or unique value that they have not read', async () => {
      await add(item('a', { tag: 't' }));
      expect(await codeOf(add(item('a')))).toBe('already_exists');
      expect(await codeOf(add(item('b', { tag: 't' })))).toBe('already_exists');
      expect(await store.get(ITEMS, 'b')).toBeUndefined();
    });

    it('keep a limit exactly: of 60 concurrent inserts as many pass as there is room', async () => {
      const other = await backend.client();
      other.store.declare(ITEMS);
      await add(item('first', { state: 'full' }));
      const full = new BrainError('conflict', 'no_room', 'There is no room.');
      const made = await Promise.all(
        Array.from({ length: 60 }, (_, i) =>
          codeOf(
            (i % 2 ? store : other.store).transaction((tx) => {
              tx.limit(ITEMS, { index: 'state', value: 'full', most: 10, refusal: full });
              tx.insert(ITEMS, item(`r${i}`, { state: 'full' }));
              tx.record({ json: JSON.stringify({ i }), keys: ['s:room'] });
            }),
          ),
        ),
      );
      expect(made.filter((code) => code === 'no error')).toHaveLength(9);
      expect(made.filter((code) => code === 'no_room')).toHaveLength(51);
      expect(await store.counts(ITEMS)).toMatchObject({ total: 10, 'by_state.full': 10 });
      expect(await here.log.read({ order: 'asc', limit: 100, key: 's:room' })).toHaveLength(9);
    });

    it('find room again after a document is removed or gets another value', async () => {
      const one = (id: string, most: number): Promise<string> =>
        codeOf(
          store.transaction((tx) => {
            const refusal = new BrainError('conflict', 'no_room', 'There is no room.');
            tx.limit(ITEMS, { index: 'state', value: 'open', most, refusal });
            tx.insert(ITEMS, item(id));
          }),
        );
      expect([await one('a', 2), await one('b', 2), await one('c', 2)]).toEqual([
        'no error',
        'no error',
        'no_room',
      ]);
      await change('a', (old) => ({ ...old, state: 'shut' }));
      expect([await one('c', 2), await one('d', 2)]).toEqual(['no error', 'no_room']);
      await store.transaction(async (tx) => {
        await tx.get(ITEMS, 'b');
        tx.delete(ITEMS, 'b');
      });
      expect([await one('d', 2), await one('e', 2)]).toEqual(['no error', 'no_room']);
      expect(await one('d', 2)).toBe('already_exists');
    });

    it('free a unique value that its document no longer has', async () => {
      await add(item('a', { tag: 't' }));
      await change('a', (old) => ({ ...old, tag: null }));
      await add(item('b', { tag: 't' }));
      expect((await store.getUnique(ITEMS, 'tag', 't'))?.id).toBe('b');
    });

    it('change two documents together or not at all', async () => {
      await add(item('a'), item('b'));
      const move = store.transaction(async (tx) => {
        const a = (await tx.get(ITEMS, 'a')) as Item;
        const b = (await tx.get(ITEMS, 'b')) as Item;
        tx.put(ITEMS, { ...a, n: 1 });
        tx.put(ITEMS, { ...b, n: 1 });
        throw new Error('the work failed');
      });
      await expect(move).rejects.toThrow('the work failed');
      expect((await store.get(ITEMS, 'a'))?.n).toBe(0);
      const taken = store.transaction(async (tx) => {
        tx.put(ITEMS, { ...((await tx.get(ITEMS, 'a')) as Item), n: 1 });
        tx.insert(ITEMS, item('b'));
      });
      expect(await codeOf(taken)).toBe('already_exists');
      expect((await store.get(ITEMS, 'a'))?.n).toBe(0);
    });

    it('write across collections in one commit', async () => {
      await store.transaction((tx) => {
        tx.insert(ITEMS, item('x'));
        tx.insert(NOTES, { id: 'x', n: 1 });
      });
      expect(await store.get(NOTES, 'x')).toEqual({ id: 'x', n: 1 });
      await store.transaction(async (tx) => {
        await tx.get(NOTES, 'x');
        tx.delete(NOTES, 'x');
      });
      expect(await store.get(NOTES, 'x')).toBeUndefined();
    });

    it('are applied once if the answer is lost and the commit is sent again', async () => {
      await add(item('a'));
      backend.loseNextAnswer?.(here);
      await change('a', (old) => ({ ...old, n: old.n + 1 }));
      expect((await store.get(ITEMS, 'a'))?.n).toBe(1);
    });

    it('write an event and its document, or neither', async () => {
      await add(item('a'));
      const lost = store.transaction((tx) => {
        tx.insert(ITEMS, item('a'));
        tx.record({ json: '{"never":true}', keys: ['s:both'] });
      });
      expect(await codeOf(lost)).toBe('already_exists');
      expect(await here.log.read({ order: 'asc', limit: 10, key: 's:both' })).toEqual([]);
      await store.transaction((tx) => {
        tx.insert(ITEMS, item('c'));
        tx.record({ json: '{"made":"c"}', keys: ['s:both', 'c:why'] });
        tx.record({ json: '{"made":"c","second":true}', keys: ['s:both'] });
      });
      const events = await here.log.read({ order: 'asc', limit: 10, key: 's:both' });
      expect(events.map((event) => event.json)).toEqual(['{"made":"c"}', '{"made":"c","second":true}']);
    });

    it('report to each event the position of the last one, once they are applied', async () => {
      await add(item('a'));
      const positions: string[] = [];
      const event = (n: number): EventRecord => ({
        ...{ json: JSON.stringify({ n }), keys: ['s:reported'] },
        written: (position) => positions.push(position),
        refused: () => positions.push('refused'),
      });
      let runs = 0;
      await store.transaction(async (tx) => {
        const old = (await tx.get(ITEMS, 'a')) as Item;
        runs += 1;
        if (runs === 1) await change('a', (one) => ({ ...one, n: 5 }));
        tx.put(ITEMS, { ...old, n: old.n + 1 });
        for (const n of [1, 2]) tx.record(event(n));
      });
      const refused = store.transaction((tx) => {
        tx.insert(ITEMS, item('a'));
        tx.record(event(3));
      });
      expect(await codeOf(refused)).toBe('already_exists');
      const events = await here.log.read({ order: 'asc', limit: 10, key: 's:reported' });
      expect([events.length, positions]).toEqual([2, [events[1].position, events[1].position]]);
    });

    it('run once per idempotency key, repeat the first answer, and refuse another body', async () => {
      const key = randomId(8);
      const make = (id: string, body: string): Promise<{ made: string }> =>
        store.transaction(
          (tx) => {
            tx.insert(ITEMS, item(id));
            return { made: id };
          },
          { idempotency: { key, body } },
        );
      const answers = await Promise.all([make('k1', 'x'), make('k2', 'x'), make('k3', 'x')]);
      expect(new Set(answers.map((answer) => answer.made)).size).toBe(1);
      expect((await store.counts(ITEMS)).total).toBe(1);
      expect(await codeOf(make('k4', 'y'))).toBe('idempotency_key_reused');
    });

    /** Reads n of `a`, which another client changes from 1 to 2 after the first read. Then reads another document. */
    const overtaken = async <T>(then: (n: number) => T): Promise<{ result: T; runs: number }> => {
      await add(item('a', { n: 1 }), item('b'));
      const other = await backend.client();
      let runs = 0;
      const result = await store.transaction(async (tx) => {
        const found = await tx.get(ITEMS, 'a');
        runs += 1;
        if (runs === 1) await change('a', (old) => ({ ...old, n: 2 }), other.store);
        await tx.get(ITEMS, 'b');
        return then((found as Item).n);
      });
      return { result, runs };
    };

    it('check their reads even if they write nothing', async () => {
      expect(await overtaken((n) => n)).toEqual({ result: 2, runs: 2 });
    });

    it('check their reads before an error of the caller is thrown', async () => {
      const refuse = (n: number): string => {
        if (n === 1) throw new BrainError('conflict', 'too_small', 'It is too small.');
        return 'large enough';
      };
      expect(await overtaken(refuse)).toEqual({ result: 'large enough', runs: 2 });
      const refused = store.transaction(async (tx) => {
        tx.put(ITEMS, { ...((await tx.get(ITEMS, 'a')) as Item), n: 9 });
        throw new BrainError('conflict', 'refused', 'It is refused.');
      });
      expect(await codeOf(refused)).toBe('refused');
      expect((await store.get(ITEMS, 'a'))?.n).toBe(2);
    });

    it('run again when a document appears that they did not find, even if it is the one they insert', async () => {
      const other = await backend.client();
      let runs = 0;
      const result = await store.transaction(async (tx) => {
        runs += 1;
        const found = await tx.getUnique(ITEMS, 'tag', 't');
        if (found) return `found ${found.id}`;
        const fixed = item('fixed', { tag: 't' });
        if (runs === 1) await other.store.transaction((of) => of.insert(ITEMS, fixed));
        tx.insert(ITEMS, fixed);
        return 'made';
      });
      expect(result).toBe('found fixed');
    });

    it('return the same document to several reads at once', async () => {
      await add(item('a', { n: 0 }));
      const other = await backend.client();
      let going = true;
      const writing = (async () => {
        for (let n = 1; going; n += 1) await change('a', (old) => ({ ...old, n }), other.store);
      })();
      for (let i = 0; i < 100; i += 1) {
        const seen = await store.transaction((tx) =>
          Promise.all([tx.get(ITEMS, 'a'), tx.get(ITEMS, 'a'), tx.get(ITEMS, 'a')]),
        );
        expect(new Set(seen.map((one) => one?.n)).size).toBe(1);
      }
      going = false;
      await writing;
    });

    it('return the first answer to a repetition, even if other data have changed', async () => {
      const other = await backend.client();
      const inTheWay = async (tx: Tx, id: string): Promise<void> => {
        if (await tx.get(ITEMS, id)) throw new BrainError('conflict', 'there_already', 'It is there.');
      };
      const meetings: [string, (tx: Tx, id: string) => Promise<void>][] = [
        ['looks', inTheWay],
        ['inserts', async () => undefined],
      ];
      for (const [name, look] of meetings) {
        const idempotency = { key: randomId(8), body: 'x' };
        const make = async (tx: Tx): Promise<{ made: string }> => {
          await look(tx, name);
          tx.insert(ITEMS, item(name));
          return { made: randomId(8) };
        };
        let first: { made: string } | undefined;
        const second = await store.transaction(
          async (tx) => {
            first ??= await other.store.transaction(make, { idempotency });
            return make(tx);
          },
          { idempotency },
        );
        expect([name, second]).toEqual([name, first]);
      }
    });
  });
}
