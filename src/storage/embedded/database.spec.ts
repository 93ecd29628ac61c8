import { existsSync, mkdtempSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Child, Children } from '../../../test/support/embedded-child.js';
import { checkDataFile } from './data-file.js';
import { EmbeddedDatabase } from './database.js';
import type { Root } from './engine.js';
import { fileLimitBytes, noRoom, noWrites, refusedProbe, type Space, spaceWarnings } from './space.js';
import { Writer } from './writer.js';

const MIB = 2 ** 20;
const LARGE = { maxBytes: 2 ** 30 };

let folder: string;
let children: Children;

beforeAll(() => {
  children = new Children();
});
afterAll(() => children.stop());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'brain-database-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function keysOnDisk(): Promise<unknown[]> {
  expect(checkDataFile(join(folder, 'brain.mdb'), Number.POSITIVE_INFINITY).whole).toBe(true);
  const db = await EmbeddedDatabase.open(folder, LARGE);
  const keys = [...db.docs.getKeys()].map((key) => key[1]);
  await db.close();
  return keys;
}

async function started(): Promise<Child> {
  const child = children.start(folder);
  expect(await child.next()).toEqual({ open: true });
  return child;
}

describe('a commit', () => {
  it('is there after a restart', async () => {
    const db = await EmbeddedDatabase.open(folder, LARGE);
    const result = await db.commit(() => {
      db.docs.putSync(['t', 1], 'one');
      return db.docs.get(['t', 1]);
    });
    expect(result).toBe('one');
    await db.close();
    expect(await keysOnDisk()).toEqual([1]);
  });

  it('is done in whole or not at all, and does not fail other commits when it throws', async () => {
    const db = await EmbeddedDatabase.open(folder, LARGE);
    const change = (id: number) => (): number => {
      db.docs.putSync(['t', id], 'x');
      if (id % 3 === 0) throw new Error(`no ${id}`);
      return id;
    };
    const tries = await Promise.allSettled(Array.from({ length: 10 }, (_, id) => db.commit(change(id))));
    expect(tries.map(({ status }) => status === 'fulfilled')).toEqual(tries.map((_, id) => id % 3 !== 0));
    expect(tries[3]).toMatchObject({ reason: { message: 'no 3' } });
    expect([...db.docs.getKeys()]).toEqual([1, 2, 4, 5, 7, 8].map((id) => ['t', id]));
    await db.close();
  });

  it('calls listeners once after each flush', async () => {
    const db = await EmbeddedDatabase.open(folder, LARGE);
    let flushes = 0;
    const stop = db.onFlush(() => {
      flushes += 1;
    });
    await Promise.all(
      Array.from({ length: 20 }, (_, id) => db.commit(() => db.docs.putSync(['t', id], 'x'))),
    );
    stop();
    expect(flushes).toBeGreaterThan(0);
    expect(flushes).toBeLessThan(20);
    await db.close();
  });

  it('is refused after the close, and the close waits for earlier commits', async () => {
    const db = await EmbeddedDatabase.open(folder, LARGE);
    const before = db.commit(() => db.docs.putSync(['t', 1], 'x'));
    const closing = db.close();
    await before;
    await closing;
    await expect(db.commit(() => undefined)).rejects.toMatchObject({ code: 'store_closed' });
  });

  it('does not block the event loop while thousands wait', async () => {
    const db = await EmbeddedDatabase.open(folder, LARGE);
    let turns = 0;
    const timer = setInterval(() => {
      turns += 1;
    }, 1);
    const commits = Array.from({ length: 5000 }, (_, id) =>
      db.commit(() => db.docs.putSync(['t', id], 'x'.repeat(500))),
    );
    await Promise.all(commits);
    clearInterval(timer);
    expect(turns).toBeGreaterThan(5);
    await db.close();
  });

  it('uses sequence numbers that grow over a restart', async () => {
    let db = await EmbeddedDatabase.open(folder, LARGE);
    const first = await Promise.all(Array.from({ length: 1500 }, () => db.next('s')));
    expect(new Set(first).size).toBe(1500);
    await db.close();
    db = await EmbeddedDatabase.open(folder, LARGE);
    expect(await db.next('s')).toBeGreaterThan(Math.max(...first));
    await db.close();
  });
});

describe('after kill -9', () => {
  it('every acknowledged commit is there, and the file is sound', async () => {
    const acknowledged = new Set<unknown>();
    for (let round = 0; round < 4; round += 1) {
      const child = await started();
      await child.ask({ do: 'write', writers: 20 });
      for (let i = 0; i < 200 * (round + 1); i += 1) acknowledged.add((await child.next())?.acknowledged);
      for (const message of await child.kill()) acknowledged.add(message.acknowledged);
      acknowledged.delete(undefined);
      const there = new Set(await keysOnDisk());
      expect([...acknowledged].filter((key) => !there.has(key))).toEqual([]);
    }
    expect(acknowledged.size).toBeGreaterThan(500);
  });
});

describe('a full disk', () => {
  it('refuses writes without room, and works again when there is room', async () => {
    const child = await started();
    expect(await child.ask({ do: 'put', key: 1, value: 'before' })).toEqual({ done: 1 });
    await child.ask({ do: 'break', file: 'pages' });
    for (const key of [2, 3])
      expect(await child.ask({ do: 'put', key, value: 'lost' })).toMatchObject({
        code: 'storage_full',
        detail: expect.stringMatching(/Nothing of a request that writes is stored.*Free space/),
      });
    expect(await child.ask({ do: 'trouble' })).toEqual({ trouble: null });
    expect(await child.ask({ do: 'keys' })).toEqual({ keys: [1] });
    await child.ask({ do: 'mend' });
    expect(await child.ask({ do: 'put', key: 4, value: 'after' })).toEqual({ done: 4 });
    expect(await child.ask({ do: 'close' })).toEqual({ closed: true });
    child.signal('SIGTERM');
    await child.ended;
    expect(await keysOnDisk()).toEqual([1, 4]);
  });

  const disk = (freeMib: number, rest: Partial<Space> = {}): Space => ({
    fileBytes: 100 * MIB,
    usedBytes: 100 * MIB,
    diskFreeBytes: freeMib * MIB,
    diskBytes: 100_000 * MIB,
    fileLimitBytes: Number.POSITIVE_INFINITY,
    ...rest,
  });

  it('is recognized early enough for deletes to have room', () => {
    expect(noRoom(disk(100), LARGE.maxBytes)).toBeUndefined();
    expect(noRoom(disk(10), LARGE.maxBytes)).toMatchObject({ code: 'storage_full' });
    expect(noRoom(disk(10, { usedBytes: 50 * MIB }), LARGE.maxBytes)).toBeUndefined();
    expect(noRoom(disk(1, { diskBytes: 50 * MIB }), LARGE.maxBytes)).toBeUndefined();
  });

  it('is recognized before the file reaches the limit on the size of files, and nothing is tried beyond it', () => {
    const limited = (fileLimitMib: number, rest: Partial<Space> = {}): Space =>
      disk(1000, { fileLimitBytes: fileLimitMib * MIB, ...rest });
    expect(noRoom(limited(200), LARGE.maxBytes)).toBeUndefined();
    const refusal = { code: 'storage_full', detail: expect.stringMatching(/ulimit -f/) };
    expect(noRoom(limited(110), LARGE.maxBytes)).toMatchObject(refusal);
    expect(noRoom(limited(110, { usedBytes: 50 * MIB }), LARGE.maxBytes)).toBeUndefined();
    expect(noWrites(limited(110))).toBeUndefined();
    expect(noWrites(limited(99))).toMatchObject(refusal);
  });

  it('is found by writing a file, which is removed again', () => {
    const path = join(folder, 'probe');
    expect(fileLimitBytes()).toBe(Number.POSITIVE_INFINITY);
    expect(refusedProbe(path)).toBeUndefined();
    expect(existsSync(path)).toBe(false);
    expect(refusedProbe(join(folder, 'no such folder', 'probe'))).toBeUndefined();
  });

  it('leaves room for essential changes, on the disk and within the configured size', () => {
    const essential = (space: Space, maxBytes: number) => noRoom(space, maxBytes, 'essential');
    expect(essential(disk(10), LARGE.maxBytes)).toBeUndefined();
    expect(essential(disk(7), LARGE.maxBytes)).toMatchObject({ code: 'storage_full' });
    const used = (mib: number): Space => disk(1000, { usedBytes: mib * MIB });
    // 6.25 MiB are left for the engine, and 8 MiB for essential changes.
    expect(noRoom(used(85), 100 * MIB)).toBeUndefined();
    expect(noRoom(used(86), 100 * MIB)).toMatchObject({ code: 'storage_full' });
    expect(essential(used(93), 100 * MIB)).toBeUndefined();
    expect(essential(used(94), 100 * MIB)).toMatchObject({ code: 'storage_full' });
  });

  it('causes a warning below 64 MiB or 1 % of free space', () => {
    expect(spaceWarnings(disk(2000), LARGE.maxBytes)).toEqual([]);
    expect(spaceWarnings(disk(900), LARGE.maxBytes)).toEqual([
      expect.stringMatching(/^disk_nearly_full: 900 MiB/),
    ]);
    expect(spaceWarnings(disk(60, { diskBytes: 1000 * MIB }), LARGE.maxBytes)).toHaveLength(1);
    expect(spaceWarnings(disk(2000), 105 * MIB)).toEqual([expect.stringMatching(/^store_nearly_full/)]);
  });
});

describe('a batch without room', () => {
  it('applies a change that frees space only once', async () => {
    let [txnId, visible, fits] = [0, 0, true];
    const root = {
      transaction: async (work: () => void): Promise<void> => {
        fits = true;
        txnId = visible + 1;
        work();
        if (!fits) throw Object.assign(new Error('No space left on device: page 7'), { code: 28 });
        visible = txnId;
      },
      childTransaction: (change: () => unknown): unknown => change(),
      getWriteTxnId: () => txnId,
      getStats: () => ({ lastTxnId: visible }),
      flushed: Promise.resolve(),
    };
    const heard: string[] = [];
    const writer = new Writer(root as unknown as Root, {
      foreseen: () => ({}),
      flushed: (grew) => heard.push(grew ? 'grew' : 'shrank'),
      refused: () => heard.push('refused'),
    });
    const large = (): void => {
      fits = false;
    };
    const both = (): Promise<string[]> =>
      Promise.all(
        [writer.commit(large, 'usual'), writer.commit(() => undefined, 'none')].map((commit) =>
          commit.then(
            () => 'done',
            (error: unknown) => (error as { code: string }).code,
          ),
        ),
      );
    expect(await both()).toEqual(['storage_full', 'storage_full']);
    expect(await both()).toEqual(['storage_full', 'done']);
    expect(heard).toEqual(['refused', 'refused', 'shrank']);
    await writer.commit(() => undefined, 'essential');
    expect(heard.at(-1)).toBe('shrank');
    await writer.commit(() => undefined, 'usual');
    expect(heard.at(-1)).toBe('grew');
    expect(await writer.stop()).toBe(true);
  });
});

describe('a full map', () => {
  it('refuses growth and allows deletes, and later writes work again', async () => {
    const db = await EmbeddedDatabase.open(folder, { maxBytes: 2 * MIB });
    const put = (id: number): Promise<unknown> =>
      db.commit(() => db.docs.putSync(['t', id], 'x'.repeat(3000)));
    let stored = 0;
    let refusal: unknown;
    while (refusal === undefined && stored < 5000) {
      await put(stored).then(
        () => {
          stored += 1;
        },
        (error: unknown) => {
          refusal = error;
        },
      );
    }
    expect(refusal).toMatchObject({
      code: 'storage_full',
      detail: expect.stringMatching(/BRAIN_EMBEDDED_MAX_GIB.*retention/),
    });
    expect([...db.docs.getKeys()]).toHaveLength(stored);
    expect(db.trouble()).toBeUndefined();
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(db.warnings()).toContainEqual(expect.stringMatching(/^store_nearly_full/));
    await expect(put(9999)).rejects.toMatchObject({ code: 'storage_full' });
    const remove = (): void => {
      for (let id = 0; id < stored / 2; id += 1) db.docs.removeSync(['t', id]);
    };
    await db.commit(remove, 'none');
    await new Promise((resolve) => setTimeout(resolve, 150));
    await put(9999);
    await db.close();
    const keys = await keysOnDisk();
    expect(keys).toContain(stored - 1);
    expect(keys).toContain(9999);
  });
});

describe('a failed flush', () => {
  it('fails all later commits, and the next start goes back to the acknowledged commits', async () => {
    const child = await started();
    for (const key of [1, 2, 3]) await child.ask({ do: 'put', key, value: 'kept' });
    await child.ask({ do: 'break', file: 'meta' });
    const refused = {
      code: 'store_failed',
      detail: expect.stringMatching(/could not be flushed.*start the service/),
    };
    expect(await child.ask({ do: 'put', key: 4, value: 'never acknowledged' })).toMatchObject(refused);
    await child.ask({ do: 'mend' });
    expect(await child.ask({ do: 'put', key: 5, value: 'neither' })).toMatchObject(refused);
    expect(await child.ask({ do: 'trouble' })).toEqual({ trouble: 'store_failed' });
    // The shutdown of a service must not hang here, and the engine must not acknowledge lost pages.
    expect(await child.ask({ do: 'close' })).toEqual({ closed: true });
    await child.ask({ do: 'exit' });
    expect(await child.ended).toEqual({ code: null, signal: 'SIGKILL' });
    // The refused commit may be there or not. The one after it was never begun.
    expect((await keysOnDisk()).filter((key) => key !== 4)).toEqual([1, 2, 3]);
  });

  it('is not forgotten when the next flush would succeed', async () => {
    const stored = new Set<number>();
    let txnId = 0;
    let failures = 1;
    // The kernel reports a lost page only once, and the engine goes on without an error.
    const root = {
      transaction: (work: () => void): Promise<unknown> => {
        txnId += 1;
        work();
        failures -= 1;
        const commitError = Promise.reject(Object.assign(new Error('Input/output error'), { code: 5 }));
        commitError.catch(() => undefined);
        return failures === 0
          ? Promise.reject(Object.assign(new Error('failed'), { commitError }))
          : Promise.resolve();
      },
      childTransaction: (change: () => unknown): unknown => change(),
      getWriteTxnId: () => txnId,
      getStats: () => ({ lastTxnId: txnId }),
      flushed: Promise.resolve(),
    };
    let flushes = 0;
    const writer = new Writer(root as unknown as Root, {
      foreseen: () => ({}),
      flushed: () => {
        flushes += 1;
      },
      refused: () => undefined,
    });
    process.off('exit', (writer as unknown as { killOnExit: () => void }).killOnExit);
    const lost = writer.commit(() => stored.add(1), 'usual');
    await expect(lost).rejects.toMatchObject({
      code: 'store_failed',
      cause: { message: 'Input/output error' },
    });
    await expect(writer.commit(() => stored.add(2), 'none')).rejects.toMatchObject({ code: 'store_failed' });
    expect([flushes, txnId, stored.has(2)]).toEqual([0, 1, false]);
    expect(await writer.stop()).toBe(false);
  });
});

describe('a data file that is moved while in use', () => {
  it('is noticed, and no further commit is acknowledged', async () => {
    const child = await started();
    await child.ask({ do: 'put', key: 1, value: 'kept' });
    renameSync(join(folder, 'brain.mdb'), join(folder, 'elsewhere'));
    await new Promise((resolve) => setTimeout(resolve, 150));
    const refused = { code: 'data_file_missing', detail: expect.stringMatching(/put the data folder back/) };
    expect(await child.ask({ do: 'put', key: 2, value: 'lost' })).toMatchObject(refused);
    expect(await child.ask({ do: 'trouble' })).toEqual({ trouble: 'data_file_missing' });
    await child.kill();
    renameSync(join(folder, 'elsewhere'), join(folder, 'brain.mdb'));
    expect(await keysOnDisk()).toEqual([1]);
  });
});

it('a database uses only the disk space that it needs, with any limit', async () => {
  const db = await EmbeddedDatabase.open(folder, { maxBytes: 4096 * 2 ** 30 });
  await db.commit(() => db.docs.putSync(['t', 1], 'x'));
  expect(statSync(join(folder, 'brain.mdb')).size).toBeLessThan(MIB);
  await db.close();
});
