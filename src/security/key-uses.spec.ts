import { codeOf } from '../../test/support/errors.js';
import { loggerTo, silentLogger } from '../../test/support/logs.js';
import { type OpenStore, openStore } from '../../test/support/open-store.js';
import { BrainError } from '../shared/errors.js';
import type { EmbeddedStore } from '../storage/embedded/embedded-store.js';
import { KEY_USES, KEYS } from './api-key.js';
import { ApiKeys } from './api-keys.js';
import { KeyRing } from './key-ring.js';
import { KeyUses } from './key-uses.js';

describe('the last uses of keys', () => {
  let opened: OpenStore;
  let store: EmbeddedStore;
  let ring: KeyRing;
  let keys: ApiKeys;
  let uses: KeyUses;
  const started: KeyUses[] = [];

  const start = (): KeyUses => {
    const made = new KeyUses(store, silentLogger());
    made.onModuleInit();
    started.push(made);
    return made;
  };
  const make = async (): Promise<string> => (await keys.create({ name: 'n', role: 'viewer' }, 'x')).id;

  beforeEach(async () => {
    opened = await openStore();
    store = opened.store;
    const silent = silentLogger();
    ring = new KeyRing(store, silent, { bootstrapKey: null, maxStaleSeconds: 30 });
    await ring.onModuleInit();
    keys = new ApiKeys(store, ring, silent, { bootstrapKey: null });
    uses = start();
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    for (const one of started.splice(0)) await one.beforeApplicationShutdown();
    ring.onModuleDestroy();
    await opened.close();
  });

  it('are known at once where a key was used, and elsewhere after they are written', async () => {
    const id = await make();
    const other = start();
    expect(await uses.lastUse(id)).toBeNull();
    uses.note(id);
    expect(await uses.lastUse(id)).toBeCloseTo(Date.now() / 1000, 0);
    expect(await other.lastUse(id)).toBeNull();
    await uses.write();
    expect(await other.lastUse(id)).toBeCloseTo(Date.now() / 1000, 0);
  });

  it('are written in the background, once for many uses', async () => {
    const id = await make();
    const transactions = jest.spyOn(store, 'transaction');
    for (let i = 0; i < 1000; i += 1) uses.note(id);
    expect(transactions).not.toHaveBeenCalled();
    await uses.write();
    await uses.write();
    expect(transactions).toHaveBeenCalledTimes(1);
    expect((await store.list(KEY_USES, {})).total).toBe(1);
  });

  it('change no key, so no replica reads the keys again', async () => {
    const id = await make();
    const read = jest.spyOn(ring, 'refresh');
    const changed = jest.fn();
    const stop = store.watch(KEYS, changed);
    uses.note(id);
    await uses.write();
    stop();
    expect(read).not.toHaveBeenCalled();
    expect(changed).not.toHaveBeenCalled();
  });

  it('are the latest of all replicas, whatever order they are written in', async () => {
    const id = await make();
    const other = start();
    const nowMs = performance.now();
    jest.spyOn(performance, 'now').mockReturnValueOnce(nowMs - 60_000);
    other.note(id);
    uses.note(id);
    await uses.write();
    const last = (await store.get(KEY_USES, id))?.last_used_at;
    await other.write();
    expect((await store.get(KEY_USES, id))?.last_used_at).toBe(last);
  });

  it('of two replicas at the same time are both written', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 250; i += 1) ids.push(await make());
    const other = start();
    for (const id of ids) for (const one of [uses, other]) one.note(id);
    await Promise.all([uses.write(), other.write()]);
    expect((await store.list(KEY_USES, { limit: 0 })).total).toBe(250);
    expect([uses, other].map((one) => one.noted(ids[0] ?? ''))).toEqual([undefined, undefined]);
  });

  it('are kept for the next attempt while the store takes no writes, and fail nothing', async () => {
    const lines: string[] = [];
    const hindered = new KeyUses(store, loggerTo(lines));
    const id = await make();
    const away = new BrainError('unavailable', 'store_unreachable', 'The store is away.');
    const refused = jest.spyOn(store, 'transaction').mockRejectedValue(away);
    hindered.note(id);
    expect(await codeOf(hindered.write())).toBe('no error');
    expect(hindered.noted(id)).toEqual(expect.any(Number));
    expect(lines.join('')).toContain('could not be written');
    refused.mockRestore();
    await hindered.write();
    expect(hindered.noted(id)).toBeUndefined();
    expect(await store.get(KEY_USES, id)).toBeDefined();
  });

  it('are removed with their key, and of a key that is gone none are written', async () => {
    const id = await make();
    uses.note(id);
    await uses.write();
    uses.note(id);
    await keys.remove(id, 'x');
    uses.note('bootstrap');
    await uses.write();
    expect((await store.list(KEY_USES, {})).total).toBe(0);
  });

  it('are written at a shutdown', async () => {
    const id = await make();
    uses.note(id);
    await uses.beforeApplicationShutdown();
    expect(await store.get(KEY_USES, id)).toBeDefined();
  });
});
