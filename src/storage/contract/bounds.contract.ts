/** What every backend promises about limits: bytes of a page, kept entries, numbers of rows. And about a new version of the indexes. */
import fc from 'fast-check';
import { codeOf } from '../../../test/support/errors.js';
import { BrainError } from '../../shared/errors.js';
import { pageOf } from '../page.js';
import { type Collection, MAX_PAGE_BYTES, type Page } from '../store.js';
import { ITEMS, type Item, item } from './items.js';
import { type Subject, walk } from './subject.js';

const large = (id: string, bytes: number, over: Partial<Item> = {}): Item =>
  ({ ...item(id, over), text: 'x'.repeat(bytes) }) as Item;
const KIB = 1024;

interface Run {
  /** Of the rows, in bytes. */
  sizes: number[];
  limit: number;
  /** Whether the page has the large member. */
  full: boolean;
  /** Whether there are two filters. */
  kind: boolean;
}

export function boundsContract(subject: Subject): void {
  const { add } = subject;

  describe('the bytes of a page', () => {
    it('end it early, and the walk still has every row once', async () => {
      const ids = Array.from({ length: 30 }, (_, i) => `b${String(i).padStart(2, '0')}`);
      for (const id of ids) await add(large(id, 200 * KIB));
      const { ids: walked, pages } = await walk(subject.store, { direction: 'asc', limit: 500 });
      expect(walked).toEqual(ids);
      expect(new Set(pages.map((page) => page.rows.length))).toEqual(new Set([5]));
      expect(pages[0].total).toBe(30);
      for (const filters of [{ state: 'open' }, { state: 'open', kind: 'a' }]) {
        const filtered = await walk(subject.store, { where: filters, direction: 'desc', limit: 500 });
        expect(filtered.ids).toEqual([...ids].reverse());
        expect(filtered.pages.every((page) => page.rows.length <= 5)).toBe(true);
      }
    }, 60_000);

    it('count bytes and not characters', async () => {
      for (const id of ['a', 'b', 'c']) await add({ ...large(id, 0), text: 'ä'.repeat(300 * KIB) } as Item);
      const { pages } = await walk(subject.store, { limit: 3 });
      expect(pages.map((page) => page.rows.length)).toEqual([1, 1, 1]);
    });

    it('never leave a page without a row', async () => {
      await add(large('huge1', 2 * MAX_PAGE_BYTES));
      await add(item('small', { at: 2 }), large('huge2', 2 * MAX_PAGE_BYTES, { at: 3 }));
      const { ids, pages } = await walk(subject.store, { direction: 'asc', limit: 3 });
      expect(ids).toEqual(['huge1', 'small', 'huge2']);
      expect(pages.map((page) => page.rows.length)).toEqual([1, 1, 1]);
    });

    it('end a page of entries early as well', async () => {
      await add(item('a'));
      const text = 'x'.repeat(300 * KIB);
      for (let i = 0; i < 7; i += 1)
        await subject.store.transaction((tx) => tx.append(ITEMS, 'a', { i, text }));
      const seen: number[][] = [];
      let cursor: string | undefined;
      do {
        const page = await subject.store.entries(ITEMS, 'a', { limit: 500, cursor });
        seen.push((page.entries as { i: number }[]).map(({ i }) => i));
        cursor = page.next ?? undefined;
      } while (cursor !== undefined);
      expect(seen).toEqual([[0, 1, 2], [3, 4, 5], [6]]);
    });

    it('are those of the answer in the pages of the API, which read several of these pages', async () => {
      for (let i = 0; i < 20; i += 1) await add(large(`p${10 + i}`, 150 * KIB, { at: i }));
      const query = { direction: 'asc', limit: 15 } as const;
      const pageOfMembers = (members: string[], cursor?: string): Promise<Page<object>> =>
        pageOf(subject.store, ITEMS, { ...query, cursor }, { of: (one) => one, members });
      const small = await pageOfMembers(['id', 'at']);
      expect(small.rows).toEqual(Array.from({ length: 15 }, (_, at) => ({ id: `p${10 + at}`, at })));
      expect(small.total).toBe(20);
      const rest = await pageOfMembers(['at'], small.next ?? '');
      expect(rest).toEqual({ rows: [15, 16, 17, 18, 19].map((at) => ({ at })), total: 20, next: null });
      const full = await pageOfMembers(['id', 'text']);
      expect(full.rows).toHaveLength(6);
      expect((await pageOfMembers(['id'], full.next ?? '')).rows[0]).toEqual({ id: 'p16' });
    });

    it('leave every row in the walk once, whatever the sizes of the rows and the limit', async () => {
      const size = fc.oneof(fc.constant(0), fc.integer({ max: 300 * KIB, min: 0 }), fc.constant(1200 * KIB));
      const run = fc.record({
        sizes: fc.array(size, { minLength: 1, maxLength: 14 }),
        limit: fc.integer({ min: 1, max: 20 }),
        full: fc.boolean(),
        kind: fc.boolean(),
      });
      const walksWhole = async ({ sizes, limit, full, kind }: Run): Promise<void> => {
        await subject.clear();
        for (const [i, bytes] of sizes.entries()) await add(large(`w${i}`, bytes, { at: i % 3 }));
        const members = full ? ['id', 'text'] : ['id'];
        const where = kind ? { state: 'open', kind: 'a' } : {};
        const walked: string[] = [];
        let cursor: string | undefined;
        do {
          const page: Page<Item> = await pageOf(
            subject.store,
            ITEMS,
            { where, limit, cursor },
            { of: (one) => one, members },
          );
          const bytes = page.rows.reduce((sum, row) => sum + Buffer.byteLength(JSON.stringify(row)), 0);
          expect(page.rows.length).toBeGreaterThan(0);
          expect(page.rows.length === 1 || bytes <= MAX_PAGE_BYTES).toBe(true);
          expect([page.total, page.rows.length <= limit]).toEqual([sizes.length, true]);
          walked.push(...page.rows.map(({ id }) => id));
          cursor = page.next ?? undefined;
        } while (cursor !== undefined);
        expect([...walked].sort()).toEqual(sizes.map((_, i) => `w${i}`).sort());
      };
      await fc.assert(fc.asyncProperty(run, walksWhole), { numRuns: 12 });
    }, 120_000);

    it('bound what is read for one page of the API', async () => {
      for (let i = 0; i < 60; i += 1) await add(large(`r${10 + i}`, 200 * KIB));
      const page = await pageOf(subject.store, ITEMS, { limit: 500 }, { of: (one) => one, members: ['id'] });
      expect(page.rows).toHaveLength(20);
      expect([page.total, page.next === null]).toEqual([60, false]);
    }, 60_000);
  });

  it('a list has no total if none is asked for', async () => {
    await add(item('a'), item('b'));
    const { rows, total } = await subject.store.list(ITEMS, { counted: false });
    expect([rows.length, total]).toEqual([2, null]);
  });

  describe('kept entries', () => {
    const entriesOf = async (): Promise<object[]> =>
      (await subject.store.entries(ITEMS, 'a', { limit: 100 })).entries;
    const append = (from: number, count: number, keep?: number): Promise<void> =>
      subject.store.transaction((tx) => {
        for (let i = 0; i < count; i += 1) tx.append(ITEMS, 'a', { i: from + i }, keep);
      });

    it('are the newest, and go with their document', async () => {
      await add(item('a'));
      for (let i = 0; i < 7; i += 1) await append(i, 1, 3);
      expect(await entriesOf()).toEqual([{ i: 4 }, { i: 5 }, { i: 6 }]);
      await append(7, 5, 3);
      expect(await entriesOf()).toEqual([{ i: 9 }, { i: 10 }, { i: 11 }]);
      await append(12, 2);
      expect(await entriesOf()).toEqual([9, 10, 11, 12, 13].map((i) => ({ i })));
      const second = await subject.store.entries(ITEMS, 'a', {
        limit: 2,
        cursor: (await subject.store.entries(ITEMS, 'a', { limit: 2 })).next ?? '',
      });
      expect(second.entries).toEqual([{ i: 11 }, { i: 12 }]);
      await subject.clear();
      expect(await entriesOf()).toEqual([]);
    });
  });

  describe('a limit on the rows of a value', () => {
    const refusal = (): BrainError => new BrainError('conflict', 'too_many_rows', 'There are too many.');
    const insert = (one: Item, most: number, idempotencyKey?: string): Promise<string> =>
      subject.store.transaction(
        (tx) => {
          tx.limit(ITEMS, { index: 'kind', value: one.kind, most, refusal });
          tx.insert(ITEMS, one);
          return one.id;
        },
        idempotencyKey === undefined ? {} : { idempotency: { key: idempotencyKey, body: 'x' } },
      );

    it('is exact when many insert at once, with several clients', async () => {
      const other = await subject.backend.client();
      other.store.declare(ITEMS);
      const made = await Promise.allSettled(
        Array.from({ length: 60 }, (_, i) => {
          const store = i % 2 ? subject.store : other.store;
          return store.transaction((tx) => {
            tx.limit(ITEMS, { index: 'kind', value: 'few', most: 7, refusal });
            tx.insert(ITEMS, item(`f${i}`, { kind: 'few' }));
          });
        }),
      );
      expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(7);
      const codes = made.flatMap((one) =>
        one.status === 'rejected' ? [(one.reason as BrainError).code] : [],
      );
      expect(new Set(codes)).toEqual(new Set(['too_many_rows']));
      expect((await subject.store.list(ITEMS, { where: { kind: 'few' } })).total).toBe(7);
    });

    it('counts one value of the index; a refusal writes nothing, and a row that leaves makes room', async () => {
      await insert(item('a', { kind: 'k' }), 1);
      expect(await codeOf(insert(item('b', { kind: 'k' }), 1))).toBe('too_many_rows');
      expect(await subject.store.get(ITEMS, 'b')).toBeUndefined();
      await insert(item('c', { kind: 'l' }), 1);
      await subject.change('a', (old) => ({ ...old, kind: 'm' }));
      expect(await insert(item('d', { kind: 'k' }), 1)).toBe('d');
    });

    it('does not stand in the way of a repetition', async () => {
      await insert(item('a', { kind: 'k' }), 1, 'once');
      expect(await insert(item('b', { kind: 'k' }), 1, 'once')).toBe('a');
    });
  });

  it('a new version of the indexes finds old documents by their new unique values', async () => {
    const old: Collection<Item> = { ...ITEMS, name: 'renewed' };
    const renewed: Collection<Item> = {
      ...old,
      indexVersion: 2,
      unique: { tag: ({ kind, tag }) => tag && `${kind}/${tag}` },
    };
    subject.store.declare(old);
    await subject.store.transaction((tx) => tx.insert(old, item('a', { kind: 'k', tag: 't' })));
    await subject.restart();
    subject.store.declare(renewed);
    await subject.store.counts(renewed);
    expect((await subject.store.getUnique(renewed, 'tag', 'k/t'))?.id).toBe('a');
    expect(await subject.store.getUnique(renewed, 'tag', 't')).toBeUndefined();
    const insert = (one: Item): Promise<void> => subject.store.transaction((tx) => tx.insert(renewed, one));
    expect(await codeOf(insert(item('b', { kind: 'k', tag: 't' })))).toBe('already_exists');
    await insert(item('c', { kind: 'l', tag: 't' }));
    await subject.store.transaction(async (tx) => {
      await tx.get(renewed, 'a');
      tx.delete(renewed, 'a');
    });
    await insert(item('d', { kind: 'k', tag: 't' }));
  });
}
