/** The suite that both backends of `EventLog` must pass. */
import { sleep } from '../../shared/clock.js';
import { randomId } from '../../shared/ids.js';
import {
  comparePositions,
  type EventLog,
  type EventRecord,
  type LoggedEvent,
  splitPosition,
} from '../event-log.js';
import { indexName, indexNamesOf } from '../index-names.js';
import { logTiersContract } from './log-tiers.contract.js';
import type { Backend } from './subject.js';

const event = (n: number, ...keys: string[]): EventRecord => ({
  json: JSON.stringify({
    n,
    payload: { agent_id: keys.find((key) => key.startsWith('s:'))?.slice(2) },
    meta: { correlation_id: keys.find((key) => key.startsWith('c:'))?.slice(2) ?? null },
  }),
  keys,
});
const numbers = (events: LoggedEvent[]): number[] =>
  events.map(({ json }) => (JSON.parse(json) as { n: number }).n);

/** What only the tests look at: the index as the backends store it. */
interface Inside {
  db?: {
    commit(change: () => void): Promise<void>;
    log: { putSync(key: unknown[], value: string): void };
    logIndex: { getKeysCount(range: { start: unknown[]; end: unknown[] }): number };
  };
  link?: {
    keys: { stream: string; events(key: string): string };
    command(name: string, args: string[]): Promise<unknown>;
  };
}

/** Appends an event as older releases did: its index names are not stored with it. */
async function appendAsBefore(log: EventLog, { json, keys }: EventRecord): Promise<void> {
  const { db, link } = log as unknown as Inside;
  if (link) {
    const position = String(await link.command('xadd', [link.keys.stream, '*', 'event', json]));
    const place = splitPosition(position).map((part) => String(part).padStart(15, '0'));
    for (const key of keys) await link.command('zadd', [link.keys.events(key), '0', place.join('-')]);
  } else {
    const position = await log.append(randomId(8), [{ json, keys }]);
    await db?.commit(() => db.log.putSync(splitPosition(position), json));
  }
}

async function indexEntries(log: EventLog, key: string): Promise<number> {
  const { db, link } = log as unknown as Inside;
  if (link) return Number(await link.command('zcard', [link.keys.events(key)]));
  const name = indexName(key);
  return db?.logIndex.getKeysCount({ start: [name], end: [name, Number.MAX_SAFE_INTEGER] }) ?? 0;
}

export function eventLogContract(title: string, start: () => Promise<Backend>): void {
  describe(`EventLog on ${title}`, () => {
    let backend: Backend;
    let log: EventLog;

    beforeAll(async () => {
      backend = await start();
      log = (await backend.client()).log;
    }, 60_000);
    afterAll(() => backend.stop());
    beforeEach(async () => {
      for (;;) if ((await log.trim('999999999999999-0', 1000)).length === 0) return;
    });

    it('starts empty', async () => {
      expect(await log.bounds()).toMatchObject({ first: null, last: null, length: 0 });
      expect(await log.read({ order: 'asc', limit: 10 })).toEqual([]);
    });

    it('keeps the order, reads in both directions, and pages with `after`', async () => {
      await log.append(
        randomId(8),
        [0, 1, 2, 3, 4].map((n) => event(n)),
      );
      const up = await log.read({ order: 'asc', limit: 3 });
      expect(numbers(up)).toEqual([0, 1, 2]);
      expect(numbers(await log.read({ order: 'asc', limit: 3, after: up[2]?.position }))).toEqual([3, 4]);
      const down = await log.read({ order: 'desc', limit: 2 });
      expect(numbers(down)).toEqual([4, 3]);
      expect(numbers(await log.read({ order: 'desc', limit: 9, after: down[1]?.position }))).toEqual([
        2, 1, 0,
      ]);
    });

    it('reads between bounds, both inclusive', async () => {
      await log.append(
        randomId(8),
        [0, 1, 2, 3].map((n) => event(n)),
      );
      const all = await log.read({ order: 'asc', limit: 9 });
      const bounds = { from: all[1]?.position, until: all[2]?.position };
      expect(numbers(await log.read({ order: 'asc', limit: 9, ...bounds }))).toEqual([1, 2]);
      expect(numbers(await log.read({ order: 'desc', limit: 9, ...bounds }))).toEqual([2, 1]);
    });

    it('finds events by subject and by correlation id, in the order of the log, in both directions', async () => {
      await log.append(randomId(8), [event(0, 's:x', 'c:1'), event(1, 's:y', 'c:1'), event(2, 's:x', 'c:2')]);
      expect(numbers(await log.read({ order: 'asc', limit: 9, key: 's:x' }))).toEqual([0, 2]);
      expect(numbers(await log.read({ order: 'desc', limit: 9, key: 's:x' }))).toEqual([2, 0]);
      expect(numbers(await log.read({ order: 'asc', limit: 9, key: 'c:1' }))).toEqual([0, 1]);
      const [first] = await log.read({ order: 'asc', limit: 1, key: 's:x' });
      expect(numbers(await log.read({ order: 'asc', limit: 9, key: 's:x', after: first?.position }))).toEqual(
        [2],
      );
      expect(await log.read({ order: 'asc', limit: 9, key: 's:nobody' })).toEqual([]);
    });

    it('finds events under index keys of any characters, and never confuses two of them', async () => {
      const values = ['a b', '{a}', 'a\nb', 'ä', 'a'.repeat(300), 'a'.repeat(299), 'a', 'a:b', 'c:a', ''];
      await log.append(
        randomId(8),
        values.map((value, n) => event(n, `s:${value}`, `c:${value}`)),
      );
      for (const [n, value] of values.entries()) {
        for (const key of [`s:${value}`, `c:${value}`])
          expect(numbers(await log.read({ order: 'asc', limit: 9, key }))).toEqual([n]);
      }
    });

    it('applies a batch once, however often it is sent', async () => {
      const id = randomId(8);
      const first = await log.append(id, [event(1), event(2)]);
      expect(await log.append(id, [event(1), event(2)])).toBe(first);
      expect(numbers(await log.read({ order: 'asc', limit: 9 }))).toEqual([1, 2]);
    });

    it('returns positions that grow, with several writers', async () => {
      const writers = await Promise.all([backend.client(), backend.client(), backend.client()]);
      const appended = await Promise.all(
        Array.from({ length: 60 }, (_, n) => writers[n % 3].log.append(randomId(8), [event(n)])),
      );
      expect(new Set(appended).size).toBe(60);
      const read = await log.read({ order: 'asc', limit: 100 });
      const positions = read.map(({ position }) => position);
      expect([...positions].sort(comparePositions)).toEqual(positions);
      expect([...appended].sort(comparePositions)).toEqual(positions);
      const later = await log.append(randomId(8), [event(99)]);
      expect(comparePositions(later, positions.at(-1) as string)).toBeGreaterThan(0);
    });

    it('keeps the order of a long batch, and applies it once', async () => {
      const id = randomId(8);
      const wide = (n: number): EventRecord => {
        const { json, keys } = event(n, 's:x');
        return { json: `${json.slice(0, -1)},"text":"${'ä'.repeat(n === 7 ? 200_000 : 2000)}"}`, keys };
      };
      const batch = Array.from({ length: 150 }, (_, n) => wide(n));
      const last = await log.append(id, batch);
      expect(await log.append(id, batch)).toBe(last);
      const read = await log.read({ order: 'asc', limit: 1000 });
      expect(read.map(({ json }) => json)).toEqual(batch.map(({ json }) => json));
      expect(read.at(-1)?.position).toBe(last);
      expect(await log.read({ order: 'asc', limit: 1000, key: 's:x' })).toEqual(read);
    });

    it('knows its bounds and which positions it holds', async () => {
      const last = await log.append(randomId(8), [event(1), event(2)]);
      const bounds = await log.bounds();
      expect([bounds.last, bounds.length]).toEqual([last, 2]);
      expect(await log.tierOf({ position: last })).toBe('recent');
      expect(await log.tierOf({ position: '1-1' })).toBeUndefined();
    });

    it('trims events with their index entries, and returns them', async () => {
      await log.append(randomId(8), [event(0, 's:x', 'c:a'), event(1, 's:x'), event(2, 's:x', 'c:a')]);
      const all = await log.read({ order: 'asc', limit: 9 });
      const gone = await log.trim(all[2]?.position, 1);
      expect(numbers(gone)).toEqual([0]);
      expect(numbers(await log.trim(all[2]?.position, 100))).toEqual([1]);
      expect(numbers(await log.read({ order: 'asc', limit: 9 }))).toEqual([2]);
      expect(numbers(await log.read({ order: 'asc', limit: 9, key: 's:x' }))).toEqual([2]);
      expect(numbers(await log.read({ order: 'asc', limit: 9, key: 'c:a' }))).toEqual([2]);
      expect((await log.bounds()).length).toBe(1);
    });

    it('trims the index entries that were written, whatever the events declare by now', async () => {
      const keys = ['s:once-a-subject', 's:a b', 'c:cause'];
      const json = JSON.stringify({ payload: { agent_id: 'now-a-subject' }, meta: { correlation_id: null } });
      await log.append(randomId(8), [{ json, keys }, event(1, 's:stays')]);
      const all = await log.read({ order: 'asc', limit: 9 });
      const count = (): Promise<number[]> => Promise.all(keys.map((key) => indexEntries(log, key)));
      expect(await count()).toEqual([1, 1, 1]);
      expect(await log.trim(all[1].position, 9)).toEqual([all[0]]);
      expect(await count()).toEqual([0, 0, 0]);
      expect(await indexEntries(log, 's:stays')).toBe(1);
    });

    it('reads and trims what an older release has written', async () => {
      const record = event(1, 's:older', 'c:cause');
      await log.append(randomId(8), [event(0)]);
      await appendAsBefore(log, record);
      const [first, older] = await log.read({ order: 'asc', limit: 9 });
      expect(older.json).toBe(record.json);
      expect(await log.read({ order: 'asc', limit: 9, key: 's:older' })).toEqual([older]);
      expect(await log.tierOf(older)).toBe('recent');
      const { events } = await log.next(first, 9);
      expect(events.map(indexNamesOf)).toEqual([record.keys]);
      expect(await indexEntries(log, 's:older')).toBe(1);
      expect(await log.trim('999999999999999-0', 9)).toEqual([first, older]);
      for (const key of record.keys) expect(await indexEntries(log, key)).toBe(0);
    });

    it('hands out what comes next with the names of its index entries', async () => {
      const keys = ['s:x', 's:a b', 'c:cause'];
      await log.append(randomId(8), [event(0), { ...event(1), keys }, { json: '{}', keys: [] }]);
      const [first] = await log.read({ order: 'asc', limit: 1 });
      const { events } = await log.next(first, 9);
      expect(events.map(indexNamesOf)).toEqual([keys.map(indexName), []]);
    });

    it('goes on after the trimmed events, also after a restart', async () => {
      const last = await log.append(randomId(8), [event(1)]);
      await log.trim('999999999999999-0', 10);
      log = (await backend.restart()).log;
      expect(comparePositions(await log.append(randomId(8), [event(2)]), last)).toBeGreaterThan(0);
    });

    it('returns the next events, oldest first, and says whether events before them may be missing', async () => {
      await log.append(randomId(8), [event(0), event(1), event(2)]);
      const [first, second, third] = await log.read({ order: 'asc', limit: 9 });
      const next = await log.next(first, 1);
      expect([numbers(next.events), next.tier]).toEqual([[1], 'recent']);
      expect((await log.next(third, 9)).events).toEqual([]);
      await log.trim(third.position, 9);
      expect((await log.next(second, 9)).tier).toBeUndefined();
      expect(await log.next(third, 9)).toMatchObject({ events: [], tier: 'recent' });
    });

    it('waits for the next event of any writer, and no longer than requested', async () => {
      const after = await log.append(randomId(8), [event(0)]);
      const other = (await backend.client()).log;
      const waiting = log.next({ position: after }, 9, { ms: 10_000 });
      await sleep(50);
      await other.append(randomId(8), [event(1)]);
      expect(numbers((await waiting).events)).toEqual([1]);
      const { last } = await log.bounds();
      expect((await log.next({ position: last as string }, 9, { ms: 50 })).events).toEqual([]);
      const abort = new AbortController();
      const ended = log.next({ position: last as string }, 9, { ms: 60_000, signal: abort.signal });
      abort.abort();
      expect((await ended).events).toEqual([]);
    });

    it('recognizes another event at the same position', async () => {
      await log.append(randomId(8), [event(0), event(1)]);
      const [first] = await log.read({ order: 'asc', limit: 1 });
      const other = { ...first, json: event(7).json };
      expect([await log.tierOf(first), await log.tierOf(other)]).toEqual(['recent', undefined]);
      const next = await log.next(first, 9);
      expect([next.tier, numbers(next.events)]).toEqual(['recent', [1]]);
      expect((await log.next(other, 9)).tier).toBeUndefined();
      expect((await log.bounds()).end?.json).toBe(event(1).json);
    });

    it('knows its forks, oldest first, and has none after the events that it reads', async () => {
      const last = await log.append(randomId(8), [event(0)]);
      const forks = await log.forks();
      expect(forks.map(({ order }) => order)).toEqual(forks.map((_, n) => forks[0].order + n));
      expect(log.history ?? []).toEqual(forks);
      for (const { position } of forks) expect(comparePositions(position, last)).toBeLessThan(0);
      const { forks: read = forks } = await log.next({ position: last }, 1);
      expect(read).toEqual(forks);
    });

    it('returns its last acknowledged event once, and the log has it', async () => {
      log.acknowledged();
      await log.append(randomId(8), [event(0), event(1)]);
      const places = log.acknowledged();
      for (const place of places) {
        expect(place.json).toBe(event(1).json);
        expect(await log.tierOf(place)).toBe('recent');
      }
      expect(log.acknowledged()).toEqual([]);
    });

    it('reports a trim in the same commit, and remembers the trimmed position', async () => {
      await log.append(randomId(8), [event(0, 's:x'), event(1, 's:x'), event(2, 's:x')]);
      const all = await log.read({ order: 'asc', limit: 9 });
      const tell = (gone: LoggedEvent[]): EventRecord[] => [event(100 + gone.length)];
      expect(numbers(await log.trim(all[2].position, 9, tell))).toEqual([0, 1]);
      expect(numbers(await log.read({ order: 'asc', limit: 9 }))).toEqual([2, 102]);
      expect(await log.bounds()).toMatchObject({ trimmed: all[1].position, length: 2 });
      expect(await log.trim(all[2].position, 9, tell)).toEqual([]);
      expect((await log.bounds()).length).toBe(2);
    });

    logTiersContract(() => ({
      log,
      restart: async () => {
        log = (await backend.restart()).log;
        return log;
      },
    }));
  });
}
