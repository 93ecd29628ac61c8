import { EventEmitter } from 'node:events';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host.js';
import { loggerTo } from '../../test/support/logs.js';
import { type OpenStore, openStore } from '../../test/support/open-store.js';
import { readConfig } from '../config/config.js';
import { currentContext, runInContext } from '../shared/context.js';
import { register } from '../shared/declarations.js';
import { BrainError, isBrainError } from '../shared/errors.js';
import { EventLoopWatch } from '../shared/event-loop-watch.js';
import type { EmbeddedStore } from '../storage/embedded/embedded-store.js';
import { Access, Public, PublicHealth } from './access.decorator.js';
import { AccessGuard } from './access.guard.js';
import { digestOf, KEYS, makeKey, makeKeyId } from './api-key.js';
import { ApiKeys } from './api-keys.js';
import { KeyRing } from './key-ring.js';
import { KeyUses } from './key-uses.js';
import type { Principal } from './principal.js';
import { Rates } from './rates.js';
import { Throttle } from './throttle.js';

register({ permissions: { 'threats:read': ['viewer'], 'threats:write': [] } });

class Routes {
  @Access('threats:write')
  write(this: void): void {}
  @Access('threats:read')
  read(this: void): void {}
  @Public()
  open(this: void): void {}
  @PublicHealth()
  health(this: void): void {}
  forgotten(this: void): void {}
}

interface Asked {
  method: string;
  url: string;
  headers: { authorization?: string };
  ip: string;
  principal?: Principal;
}

class Answer extends EventEmitter {
  setHeader(): void {}
}

describe('the access guard', () => {
  let opened: OpenStore;
  let store: EmbeddedStore;
  let ring: KeyRing;
  let keys: ApiKeys;
  let guard: AccessGuard;
  let lines: string[];
  const settings = { publicHealth: true };

  const ask = (authorization?: string, ip = '203.0.113.1'): Asked => ({
    ...{ method: 'POST', url: '/', ip },
    headers: { authorization },
  });
  const pass = (route: keyof Routes, request: Asked): boolean | Promise<boolean> => {
    const context = new ExecutionContextHost([request, new Answer()], Routes, Routes.prototype[route]);
    return guard.canActivate(context);
  };
  const errorOf = async (route: keyof Routes, request: Asked): Promise<BrainError> => {
    try {
      await pass(route, request);
    } catch (error) {
      if (isBrainError(error)) return error;
      throw error;
    }
    throw new Error('it was let in');
  };
  const bearer = async (role: 'admin' | 'viewer'): Promise<string> =>
    `Bearer ${(await keys.create({ name: role, role }, 'x')).key}`;
  /** Makes a key like another replica, so that this one does not know it yet. */
  const madeElsewhere = async (): Promise<string> => {
    ring.onModuleDestroy();
    const key = makeKey();
    const base = { id: makeKeyId(), name: 'new', role: 'viewer', created_at: 1, created_by: 'x' } as const;
    await store.transaction((tx) => tx.insert(KEYS, { ...base, hash: digestOf(key), expires_at: null }));
    return `Bearer ${key}`;
  };

  beforeEach(async () => {
    opened = await openStore();
    store = opened.store;
    lines = [];
    const logger = loggerTo(lines);
    ring = new KeyRing(store, logger, { bootstrapKey: null, maxStaleSeconds: 30 });
    await ring.onModuleInit();
    keys = new ApiKeys(store, ring, logger, { bootstrapKey: null });
    const rates = new Rates(readConfig({}), new EventLoopWatch(logger, 0));
    guard = new AccessGuard(ring, new Throttle(), rates, new KeyUses(store, logger), logger, settings);
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    ring.onModuleDestroy();
    await opened.close();
  });

  it('refuses every caller on a route without a declaration, and logs it', async () => {
    const error = await errorOf('forgotten', ask(await bearer('admin')));
    expect([error.kind, error.code]).toEqual(['forbidden', 'access_undeclared']);
    expect(lines.join('')).toContain('Routes.forgotten declares neither');
  });

  it('accepts a known key synchronously, and sets the principal', async () => {
    const authorization = await bearer('viewer');
    const request = ask(authorization);
    runInContext({ requestId: 'r', correlationId: 'c' }, () => {
      expect(pass('read', request)).toBe(true);
      const { id, role, name } = request.principal ?? {};
      expect(currentContext()?.actor).toEqual({ id, role, name });
    });
    expect(request.principal).toMatchObject({ name: 'viewer', role: 'viewer' });
    expect(pass('read', ask(authorization.replace('Bearer', 'bearer')))).toBe(true);
  });

  it('names the missing permission', async () => {
    const error = await errorOf('write', ask(await bearer('viewer')));
    expect([error.kind, error.code]).toEqual(['forbidden', 'forbidden']);
    expect(error.detail).toContain('threats:write');
  });

  it.each([
    ['no header', undefined, 'send it as'],
    ['another scheme', 'Basic YTpi', 'malformed'],
    ['nothing behind the scheme', 'Bearer ', 'malformed'],
    ['two words', 'Bearer a b', 'malformed'],
    ['more than any key is long', `Bearer ${'x'.repeat(257)}`, 'malformed'],
    ['a mistyped key', 'Bearer brn_x', 'unknown'],
    ['a key that was never made', `Bearer ${makeKey()}`, 'unknown'],
  ])('answers 401 to %s and says what to do', async (_what, authorization, hint) => {
    const error = await errorOf('read', ask(authorization));
    expect([error.kind, error.code]).toEqual(['unauthenticated', 'unauthenticated']);
    expect(error.detail).toContain(hint);
  });

  it('answers 401 to an expired key and does not count it as a failure', async () => {
    const ends = Date.now() / 1000 + 60;
    const { key } = await keys.create({ name: 'n', role: 'viewer', expires_at: ends }, 'x');
    jest.spyOn(Date, 'now').mockReturnValue(ends * 1000 + 1);
    for (let i = 0; i < 30; i += 1) {
      const error = await errorOf('read', ask(`Bearer ${key}`));
      expect([error.kind, error.detail]).toEqual(['unauthenticated', expect.stringContaining('expired')]);
    }
  });

  it('sets the principal on a public route for a valid key, and ignores other keys', async () => {
    const known = ask(await bearer('viewer'));
    expect(pass('open', known)).toBe(true);
    expect(known.principal?.role).toBe('viewer');
    for (const authorization of [undefined, 'Basic YTpi', 'Bearer x', `Bearer ${makeKey()}`]) {
      for (let i = 0; i < 12; i += 1) {
        const request = ask(authorization);
        expect(await pass('open', request)).toBe(true);
        expect(request.principal).toBeUndefined();
      }
    }
    jest.spyOn(store, 'getUnique').mockRejectedValue(new BrainError('unavailable', 'x', 'x'));
    expect(await pass('open', ask(`Bearer ${makeKey()}`, '203.0.113.9'))).toBe(true);
    jest.spyOn(store, 'getUnique').mockRejectedValue(new TypeError('a bug'));
    await expect(pass('open', ask(`Bearer ${makeKey()}`, '203.0.113.9'))).rejects.toThrow('a bug');
  });

  it('opens the health of a domain to every caller, or to every valid key', async () => {
    expect(pass('health', ask())).toBe(true);
    settings.publicHealth = false;
    expect((await errorOf('health', ask())).kind).toBe('unauthenticated');
    expect((await errorOf('health', ask(`Bearer ${makeKey()}`))).kind).toBe('unauthenticated');
    const request = ask(await bearer('viewer'));
    expect(await pass('health', request)).toBe(true);
    expect(request.principal).toMatchObject({ role: 'viewer' });
    settings.publicHealth = true;
    expect(pass('open', ask())).toBe(true);
  });

  it('throttles wrong keys by address, but not valid keys or other addresses', async () => {
    const valid = await bearer('viewer');
    const lookups = jest.spyOn(store, 'getUnique');
    const codes: string[] = [];
    for (let i = 0; i < 40; i += 1) {
      const { code, more } = await errorOf('read', ask(`Bearer ${makeKey()}`));
      codes.push(code);
      if (code === 'too_many_failures') expect(more.retryAfterSeconds).toBeGreaterThan(0);
    }
    expect(codes.slice(0, 10)).toEqual(Array.from({ length: 10 }, () => 'unauthenticated'));
    expect(new Set(codes.slice(10))).toEqual(new Set(['too_many_failures']));
    // Ten of its own, and what all throttled addresses may spend in a second.
    expect(lookups.mock.calls.length).toBeLessThanOrEqual(30);
    expect(pass('read', ask(valid))).toBe(true);
    expect((await errorOf('read', ask('Bearer x', '203.0.113.2'))).code).toBe('unauthenticated');
    expect((await errorOf('read', ask())).code).toBe('unauthenticated');
  });

  it('accepts a new key of another replica, also from a throttled address', async () => {
    // Nor do keys whose checksum is wrong use up what throttled addresses may look up.
    for (let i = 0; i < 40; i += 1) await errorOf('read', ask('Bearer wrong'));
    const made = await madeElsewhere();
    expect(await pass('read', ask(made))).toBe(true);
    expect(pass('read', ask(made))).toBe(true);
  });

  it('makes one lookup and counts no failure for 50 concurrent requests with one new key', async () => {
    const made = await madeElsewhere();
    const lookups = jest.spyOn(store, 'getUnique');
    const passed = await Promise.all(Array.from({ length: 50 }, async () => pass('read', ask(made))));
    expect(passed.every(Boolean)).toBe(true);
    expect(lookups).toHaveBeenCalledTimes(1);
  });

  it('does not count an error of the store as a failure', async () => {
    const lookups = jest
      .spyOn(store, 'getUnique')
      .mockRejectedValue(new BrainError('unavailable', 'away', 'x'));
    for (let i = 0; i < 20; i += 1)
      expect((await errorOf('read', ask(`Bearer ${makeKey()}`))).code).toBe('away');
    lookups.mockRestore();
    expect((await errorOf('read', ask('Bearer x'))).code).toBe('unauthenticated');
  });

  it('logs the addresses of wrong keys once a second, and never a key', async () => {
    const tried = Array.from({ length: 20 }, makeKey);
    for (const key of tried) await errorOf('read', ask(`Bearer ${key}`));
    await errorOf('read', ask('Bearer wrong-one', '2001:db8:1:2::9'));
    const warnings = lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg === 'Wrong API key');
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toMatchObject({ level: 'warn', address: '203.0.113.1', failures: 1 });
    expect(warnings[1]).toMatchObject({ address: '2001:db8:1:2::/64' });
    for (const secret of [...tried, 'wrong-one']) expect(lines.join('')).not.toContain(secret);
  });
});
