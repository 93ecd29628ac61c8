import { chmodSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { silentLogger } from '../../test/support/logs.js';
import { type OpenStore, openStore } from '../../test/support/open-store.js';
import type { EmbeddedStore } from '../storage/embedded/embedded-store.js';
import { type AdminAccess, AdminKey } from './admin-key.js';
import { KEYS, makeKey } from './api-key.js';
import { ApiKeys } from './api-keys.js';
import { KeyRing } from './key-ring.js';

describe('the first admin key', () => {
  let opened: OpenStore;
  let path: string;
  let store: EmbeddedStore;
  let ring: KeyRing;
  let keys: ApiKeys;

  const use = async (next: OpenStore): Promise<void> => {
    opened = next;
    store = opened.store;
    const silent = silentLogger();
    ring = new KeyRing(store, silent, { bootstrapKey: null, maxStaleSeconds: 30 });
    await ring.onModuleInit();
    keys = new ApiKeys(store, ring, silent, { bootstrapKey: null });
  };
  const start = (terminal: boolean, bootstrapKey: string | null = null): Promise<AdminAccess> =>
    new AdminKey(store, keys, ring, { bootstrapKey, dataDir: opened.folder }).bootstrap(terminal);
  const restart = async (terminal: boolean): Promise<AdminAccess> => {
    ring.onModuleDestroy();
    await use(await opened.reopen());
    return start(terminal);
  };
  const roleOf = (key: string): string | undefined => ring.recall(key)?.principal.role;

  beforeEach(async () => {
    await use(await openStore());
    path = join(opened.folder, 'admin.key');
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    ring.onModuleDestroy();
    await opened.close();
  });

  it('is printed once on a terminal, and leaves no file', async () => {
    const made = await start(true);
    if (made.kind !== 'made') throw new Error(made.kind);
    expect(roleOf(made.key)).toBe('admin');
    made.printed();
    expect(existsSync(path)).toBe(false);
    expect(await restart(true)).toEqual({ kind: 'exists' });
    expect(roleOf(made.key)).toBe('admin');
  });

  it('is in a file that only its owner can read if there is no terminal', async () => {
    expect(await start(false)).toEqual({ kind: 'file', path });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const key = readFileSync(path, 'utf8').trim();
    expect(roleOf(key)).toBe('admin');
    expect(await restart(false)).toEqual({ kind: 'file', path });
    expect(readFileSync(path, 'utf8').trim()).toBe(key);
    rmSync(path);
    expect(await restart(false)).toEqual({ kind: 'exists' });
  });

  it('is not lost when the process ends before the terminal has shown it', async () => {
    const made = await start(true);
    if (made.kind !== 'made') throw new Error(made.kind);
    expect(await restart(true)).toEqual({ kind: 'file', path });
    expect(readFileSync(path, 'utf8').trim()).toBe(made.key);
    expect(roleOf(made.key)).toBe('admin');
  });

  it('is neither lost nor made twice when the process ends between the file and the commit', async () => {
    const commit = jest.spyOn(keys, 'createFirst').mockRejectedValue(new Error('the end'));
    await expect(start(false)).rejects.toThrow('the end');
    commit.mockRestore();
    const key = readFileSync(path, 'utf8').trim();
    expect(roleOf(key)).toBeUndefined();
    expect(await restart(false)).toEqual({ kind: 'file', path });
    expect(roleOf(key)).toBe('admin');
    expect((await store.list(KEYS, {})).total).toBe(1);
  });

  it.each(['', 'brn_cut short', makeKey().slice(0, -2)])(
    'is not taken from a damaged file (%j)',
    async (text) => {
      writeFileSync(path, text, { mode: 0o600 });
      expect(await start(false)).toEqual({ kind: 'file', path });
      expect(roleOf(readFileSync(path, 'utf8').trim())).toBe('admin');
    },
  );

  it('is not taken from a file that others can read', async () => {
    const key = makeKey();
    writeFileSync(path, key);
    chmodSync(path, 0o644);
    expect(await start(false)).toEqual({ kind: 'file', path });
    expect(readFileSync(path, 'utf8')).not.toContain(key);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(roleOf(key)).toBeUndefined();
  });

  it('is made and shown once when several processes start together', async () => {
    const all = await Promise.all([start(true), start(true), start(true)]);
    const kinds = all.map(({ kind }) => kind).sort();
    expect(kinds).toEqual(['file', 'file', 'made']);
    expect((await store.list(KEYS, {})).total).toBe(1);
    expect(roleOf(readFileSync(path, 'utf8').trim())).toBe('admin');
  });

  it('is never made again, neither after it is replaced nor after all keys are gone', async () => {
    await start(false);
    const [first] = (await store.list(KEYS, {})).rows;
    const other = await keys.create({ name: 'mine', role: 'admin' }, 'x');
    await keys.remove(first?.id ?? '', 'x');
    expect(await restart(false)).toEqual({ kind: 'exists' });
    await store.transaction(async (tx) => {
      await tx.get(KEYS, other.id);
      tx.delete(KEYS, other.id);
    });
    expect(await restart(false)).toEqual({ kind: 'missing' });
    expect((await store.list(KEYS, {})).total).toBe(0);
  });

  it('is the bootstrap key while that is set; the first start without it makes a key if there is none', async () => {
    expect(await start(false, 'b'.repeat(32))).toEqual({ kind: 'env' });
    expect(existsSync(path)).toBe(false);
    expect(await restart(false)).toEqual({ kind: 'file', path });
  });

  it('is reported as missing on Redis as long as there is no admin', async () => {
    Object.defineProperty(store, 'kind', { value: 'redis' });
    expect(await start(true)).toEqual({ kind: 'missing' });
    expect(existsSync(path)).toBe(false);
    await keys.create({ name: 'v', role: 'operator' }, 'bootstrap');
    expect(await start(true)).toEqual({ kind: 'missing' });
    await keys.create({ name: 'a', role: 'admin' }, 'bootstrap');
    expect(await start(true)).toEqual({ kind: 'exists' });
  });
});
