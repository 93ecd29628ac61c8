/** What every backend promises of many documents and many operations. These tests are slow. */
import fc from 'fast-check';
import { MAX_CANDIDATES, type Store } from '../store.js';
import { ITEMS, type Item, item } from './items.js';
import { type Subject, walk } from './subject.js';

export function volumeContract(subject: Subject, title: string): void {
  describe('many documents', () => {
    const { add } = subject;
    let store: Store;
    beforeAll(() => {
      ({ store } = subject);
    });

    it('reads at most 2,000 rows per page with several filters, and still finds every row', async () => {
      const group = (name: string, count: number, over: Partial<Item>): Item[] =>
        Array.from({ length: count }, (_, i) => item(`${name}${i}`, { ...over, at: (over.at ?? 0) + i }));
      // Newest first, the walk reads 2,300 rows of the rarer filter that do not pass the other one.
      const rows = [
        ...group('both', 50, { kind: 'many', state: 'common' }),
        ...group('kind', 2300, { at: 5000, kind: 'many', state: 'shut' }),
        ...group('state', 2400, { at: 9000, kind: 'few', state: 'common' }),
      ];
      for (let i = 0; i < rows.length; i += 250) await add(...rows.slice(i, i + 250));
      const found = await walk(store, { where: { kind: 'many', state: 'common' }, limit: 100 });
      expect(found.ids).toHaveLength(50);
      expect(found.pages.map((page) => page.rows.length)).toEqual([0, 50]);
      expect(found.pages[0]?.total).toBe(50);
      expect(MAX_CANDIDATES).toBe(2000);
    }, 60_000);

    it('keeps counters and lists equal to a recount after 10,000 random operations', async () => {
      const ids = Array.from({ length: 40 }, (_, i) => `p${i}`);
      const operation = fc.record({
        id: fc.constantFrom(...ids),
        act: fc.constantFrom('put', 'put', 'delete'),
        state: fc.constantFrom('open', 'shut', 'held'),
        kind: fc.constantFrom('a', 'b'),
        at: fc.integer({ min: -1000, max: 1000 }),
        n: fc.integer({ min: -50, max: 50 }),
      });
      const seed = Date.now() % 2 ** 31;
      console.log(`random operations on ${title}: seed ${seed}`);
      const [operations] = fc.sample(fc.array(operation, { minLength: 10_000, maxLength: 10_000 }), {
        seed,
        numRuns: 1,
      });
      const model = new Map<string, Item>();
      const run = ({ id, act, ...over }: (typeof operations & object)[number]): Promise<void> =>
        store.transaction(async (tx) => {
          const there = await tx.get(ITEMS, id);
          if (act === 'delete') {
            if (there) tx.delete(ITEMS, id);
          } else if (there) tx.put(ITEMS, { ...there, ...over });
          else tx.insert(ITEMS, item(id, over));
        });
      for (let i = 0; i < 10_000; i += 50) {
        // Operations on one document keep their order. Those on different documents run at the same time.
        const byId = new Map<string, (typeof operations & object)[number][]>();
        for (const op of operations?.slice(i, i + 50) ?? [])
          byId.set(op.id, [...(byId.get(op.id) ?? []), op]);
        await Promise.all(
          [...byId.values()].map(async (queue) => {
            for (const op of queue) await run(op);
          }),
        );
      }
      for (const { id, act, ...over } of operations ?? []) {
        if (act === 'delete') model.delete(id);
        else model.set(id, item(id, over));
      }
      const rows = [...model.values()];
      const counts = await store.counts(ITEMS);
      expect(counts.total).toBe(rows.length);
      expect(counts.sum ?? 0).toBe(rows.reduce((sum, row) => sum + row.n, 0));
      for (const state of ['open', 'shut', 'held']) {
        const wanted = rows.filter((row) => row.state === state);
        expect(counts[`by_state.${state}`] ?? 0).toBe(wanted.length);
        const ordered = wanted.sort((a, b) => a.at - b.at || (a.id < b.id ? -1 : 1)).map((row) => row.id);
        expect((await walk(store, { where: { state }, direction: 'asc', limit: 9 })).ids).toEqual(ordered);
      }
      const bounds = fc.tuple(fc.integer({ min: -1100, max: 1100 }), fc.integer({ min: -1100, max: 1100 }));
      for (const [from, until] of [[-200, 300], ...fc.sample(bounds, { seed, numRuns: 200 })]) {
        const within = { from, until, limit: 0 };
        for (const [name, value] of [
          ['kind', 'a'],
          ['state', 'open'],
        ] as const) {
          const recount = rows.filter((row) => row[name] === value && row.at >= from && row.at <= until);
          const { total } = await store.list(ITEMS, { where: { [name]: value }, ...within });
          expect([name, from, until, total]).toEqual([name, from, until, recount.length]);
        }
      }
      const { total } = await store.list(ITEMS, { where: { kind: 'a' }, from: -333, limit: 0 });
      expect(total).toBe(rows.filter(({ kind, at }) => kind === 'a' && at >= -333).length);
    }, 120_000);
  });
}
