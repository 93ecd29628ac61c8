import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf } from '../../test/support/errors.js';
import { loggerTo, silentLogger } from '../../test/support/logs.js';
import { type OpenStore, openStore } from '../../test/support/open-store.js';
import { readConfig } from '../config/config.js';
import type { EmbeddedStore } from '../storage/embedded/embedded-store.js';
import { Retention } from '../storage/retention.js';
import { digestOf, FIRST_KEY, isWellFormedKey, KEYS, MILESTONES, makeKey, makeKeyId } from './api-key.js';
import { ApiKeys } from './api-keys.js';
import { expiredKeys } from './key-expiry.js';
import { KeyRing } from './key-ring.js';
import { KeyQuery } from './keys.dto.js';

const DAY_MS = 86_400_000;

describe('API keys', () => {
  let opened: OpenStore;
  let store: EmbeddedStore;
  let ring: KeyRing;
  let keys: ApiKeys;
  let lines: string[];

  const open = (bootstrapKey: string | null): ApiKeys => {
    const logger = loggerTo(lines);
    return new ApiKeys(store, ring, logger, { bootstrapKey });
  };

  beforeEach(async () => {
    opened = await openStore();
    store = opened.store;
    lines = [];
    const silent = silentLogger();
    ring = new KeyRing(store, silent, { bootstrapKey: null, maxStaleSeconds: 30 });
    await ring.onModuleInit();
    keys = open(null);
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    ring.onModuleDestroy();
    await opened.close();
  });

  it('are shown once, work at once, and are stored only as a hash', async () => {
    const { key, ...made } = await keys.create({ name: 'scanner', role: 'agent' }, 'key_maker');
    if (key === undefined) throw new Error('the key was not shown');
    expect(isWellFormedKey(key)).toBe(true);
    expect(made).toMatchObject({ name: 'scanner', role: 'agent', created_by: 'key_maker', expires_at: null });
    expect(ring.recall(key)?.principal).toMatchObject({ id: made.id, name: 'scanner', role: 'agent' });
    const { rows, total } = await keys.list(new KeyQuery());
    expect([rows, total]).toEqual([[made], 1]);
    await store.close();
    const disk = readdirSync(opened.folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'));
    expect(disk.join('')).toContain(made.id);
    expect(disk.join('')).not.toContain(key);
    expect(lines.join('')).toContain(made.id);
    expect(lines.join('')).not.toContain(key);
  });

  it('are made once for one Idempotency-Key, and the replay does not show the key', async () => {
    const idempotency = { key: 'k', body: 'b' };
    const ask = () => keys.create({ name: 'n', role: 'viewer' }, 'x', idempotency);
    const answers = [...(await Promise.all([ask(), ask(), ask()])), await ask()];
    expect(new Set(answers.map(({ id }) => id)).size).toBe(1);
    expect(answers.filter(({ key }) => key !== undefined)).toHaveLength(1);
    expect((await keys.list(new KeyQuery())).total).toBe(1);
    expect(await codeOf(keys.create({ name: 'm', role: 'admin' }, 'x', { key: 'k', body: 'c' }))).toBe(
      'idempotency_key_reused',
    );
  });

  it('of agents have their name as their agent, unless another live key has it', async () => {
    const made = await keys.create({ name: 'r-7', role: 'agent' }, 'x');
    expect(made).toMatchObject({ agents: ['r-7'], agent_roles: ['agent'], owner: null });
    const twice = keys.create({ name: 'r-7', role: 'agent' }, 'x');
    await expect(twice).rejects.toMatchObject({
      more: { errors: [{ pointer: '/agents', code: 'required' }] },
    });
    expect(await keys.create({ name: 'r-7', role: 'agent', agents: ['r-*'] }, 'x')).toMatchObject({
      agents: ['r-*'],
      agent_roles: ['agent'],
    });
    for (const name of ['r*', 'brain:r'])
      expect(await codeOf(keys.create({ name, role: 'agent' }, 'x'))).toBe('invalid_request');
    const wrong = { name: 'n', role: 'agent', agents: ['a', 'b*'], agent_roles: ['*x'] } as const;
    await expect(keys.create(wrong, 'x')).rejects.toMatchObject({
      more: { errors: [{ pointer: '/agents/1' }, { pointer: '/agent_roles/0' }] },
    });
  });

  it('of agents made at the same time do not share a name', async () => {
    const codes = await Promise.all(
      Array.from({ length: 6 }, () => codeOf(keys.create({ name: 'same', role: 'agent' }, 'x'))),
    );
    expect(codes.filter((code) => code === 'no error')).toHaveLength(1);
  });

  it('cannot be made with an expiry in the past', async () => {
    const over = keys.create({ name: 'n', role: 'viewer', expires_at: Date.now() / 1000 - 1 }, 'x');
    await expect(over).rejects.toMatchObject({
      kind: 'invalid',
      more: { errors: [{ pointer: '/expires_at' }] },
    });
    expect((await keys.list(new KeyQuery())).total).toBe(0);
  });

  it('stop working when they are deleted, and are then not found', async () => {
    const { id, key = '' } = await keys.create({ name: 'n', role: 'agent' }, 'x');
    await keys.remove(id, 'x');
    expect(ring.recall(key)).toBeUndefined();
    expect(await ring.find(key)).toBeUndefined();
    for (const gone of [id, 'bootstrap', '', 'x'.repeat(10_000)])
      expect(await codeOf(keys.remove(gone, 'x'))).toBe('key_not_found');
  });

  it('cannot lose the last admin, unless there is a bootstrap key', async () => {
    const a = await keys.create({ name: 'a', role: 'admin' }, 'x');
    await keys.create({ name: 'o', role: 'operator' }, 'x');
    const ending = Date.now() / 1000 + 60;
    const b = await keys.create({ name: 'b', role: 'admin', expires_at: ending }, 'x');
    jest.spyOn(Date, 'now').mockReturnValue(ending * 1000 + 1);
    expect(await codeOf(keys.remove(a.id, 'x'))).toBe('last_admin');
    expect(await codeOf(keys.remove(b.id, 'x'))).toBe('no error');
    expect(await codeOf(keys.remove(a.id, 'x'))).toBe('last_admin');
    expect(await codeOf(open('b'.repeat(32)).remove(a.id, 'x'))).toBe('no error');
    expect(await keys.hasAdmin()).toBe(false);
  });

  it('that were rotated are no other admin: they end soon', async () => {
    const { id } = await keys.create({ name: 'a', role: 'admin' }, 'x');
    const made = await keys.rotate(id, 60, 'x');
    expect(await codeOf(keys.remove(made.id, 'x'))).toBe('last_admin');
    expect(await codeOf(keys.remove(id, 'x'))).toBe('no error');
    expect(await codeOf(keys.remove(made.id, 'x'))).toBe('last_admin');
  });

  it('of an earlier release keep their agent when they are rotated', async () => {
    const secret = makeKey();
    const old = { id: makeKeyId(), name: 'r-7', role: 'agent', hash: digestOf(secret) } as const;
    const made = { created_at: 1, created_by: 'x', expires_at: null };
    await store.transaction((tx) => tx.insert(KEYS, { ...old, ...made }));
    await ring.refresh();
    const next = await keys.rotate(old.id, 60, 'x');
    expect(next).toMatchObject({ agents: ['r-7'], agent_roles: ['agent'] });
    for (const key of [secret, next.key ?? '']) expect(ring.recall(key)?.principal.agents.first).toBe('r-7');
  });

  it('keep one admin even if all are deleted at the same time', async () => {
    for (let round = 0; round < 5; round += 1) {
      const made = await Promise.all(
        Array.from({ length: 5 }, (_, i) => keys.create({ name: `a${i}`, role: 'admin' }, 'x')),
      );
      const { rows } = await keys.list(new KeyQuery());
      const codes = await Promise.all(rows.map(({ id }) => codeOf(keys.remove(id, 'x'))));
      expect(codes.filter((code) => code === 'last_admin')).toHaveLength(1);
      expect(codes.filter((code) => code === 'no error')).toHaveLength(rows.length - 1);
      expect((await keys.list(new KeyQuery())).total).toBe(1);
      expect(made).toHaveLength(5);
    }
  });

  it('note the first key that is made', async () => {
    const { id } = await keys.create({ name: 'n', role: 'viewer' }, 'x');
    await keys.create({ name: 'n', role: 'viewer' }, 'x');
    await keys.remove(id, 'x');
    expect((await store.list(MILESTONES, {})).rows.map((mark) => mark.id)).toEqual([FIRST_KEY]);
    expect(await keys.createFirst('brn_', 'admin')).toBe(false);
  });

  it('are removed a month after they expire', async () => {
    const startMs = Date.now();
    const clock = jest.spyOn(Date, 'now').mockImplementation(() => startMs);
    for (const days of [1, 2]) {
      await keys.create({ name: `${days}`, role: 'agent', expires_at: startMs / 1000 + days * 86_400 }, 'x');
    }
    clock.mockImplementation(() => startMs + 31.5 * DAY_MS);
    await keys.create({ name: 'early', role: 'agent' }, 'x');
    const left = async (): Promise<string[]> =>
      (await store.list(KEYS, {})).rows.map(({ name }) => name).sort();
    // Not before their end is in the event log.
    expect(await left()).toEqual(['1', '2', 'early']);
    await new Retention(expiredKeys(), store, readConfig({}), silentLogger()).sweep();
    await keys.create({ name: 'new', role: 'agent' }, 'x');
    expect(await left()).toEqual(['2', 'early', 'new']);
  });

  it('are limited in number', async () => {
    jest.spyOn(store, 'counts').mockResolvedValue({ total: 10_000 });
    expect(await codeOf(keys.create({ name: 'n', role: 'agent' }, 'x'))).toBe('too_many_keys');
  });
});
