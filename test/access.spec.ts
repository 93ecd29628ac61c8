/** Access over HTTP, through the whole application. */
import { readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { RequestMethod } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { MetadataScanner, ModulesContainer } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { createApp } from '../src/app.setup.js';
import { readConfig } from '../src/config/config.js';
import { type Access, accessOf } from '../src/security/access.decorator.js';
import { AdminKey } from '../src/security/admin-key.js';
import { makeKey } from '../src/security/api-key.js';
import { permits, ROLES, type Role } from '../src/security/principal.js';
import { sleep } from '../src/shared/clock.js';
import { type TemporaryFolder, temporaryFolder } from './support/folder.js';
import { loggerTo } from './support/logs.js';

const BOOTSTRAP = 'the-bootstrap-key-of-this-test-0123456789';

/** All public routes. A route that is public and not in this list fails the test. */
const PUBLIC = [
  'GET /.well-known/authzen-configuration',
  'GET /api/immune/health',
  'GET /api/missions/health',
  'GET /api/policy/health',
  'GET /api/threats/health',
  'GET /docs',
  'GET /docs/:file',
  'GET /docs/start.js',
  'GET /livez',
  'GET /openapi.json',
  'GET /readyz',
];

interface Answer {
  status: number;
  headers: Headers;
  code?: string;
  detail?: string;
}

interface Route {
  name: string;
  method: string;
  path: string;
  access: Access | undefined;
}

const folders: TemporaryFolder[] = [];
function newFolder(): string {
  const folder = temporaryFolder();
  folders.push(folder);
  return folder.path;
}
/** What every application of this file has logged. */
const lines: string[] = [];
/** Every key of these tests. None may be in the log. */
const secrets: string[] = [BOOTSTRAP];

class Service {
  private constructor(
    readonly app: NestExpressApplication,
    readonly url: string,
  ) {}

  static async start(env: Record<string, string>): Promise<Service> {
    const folder = env.BRAIN_DATA_DIR ?? newFolder();
    const logger = loggerTo(lines);
    const app = await createApp(readConfig({ BRAIN_DATA_DIR: folder, ...env }), logger);
    await app.listen(0, '127.0.0.1');
    return new Service(app, (await app.getUrl()).replace('[::1]', '127.0.0.1'));
  }

  async ask(method: string, path: string, key?: string, more: Record<string, string> = {}): Promise<Answer> {
    const headers = { ...(key !== undefined && { Authorization: `Bearer ${key}` }), ...more };
    const response = await fetch(this.url + path, { method, headers });
    if (!response.headers.get('content-type')?.startsWith('application/problem+json')) {
      // A stream of events would never end.
      await response.body?.cancel();
      return { status: response.status, headers: response.headers };
    }
    const { code, detail } = (await response.json()) as { code: string; detail: string };
    return { status: response.status, headers: response.headers, code, detail };
  }

  async make(
    body: object,
    idempotencyKey?: string,
  ): Promise<{ status: number; made: Record<string, string> }> {
    const response = await fetch(`${this.url}/api/keys`, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${BOOTSTRAP}`,
        'Content-Type': 'application/json',
        ...(idempotencyKey !== undefined && { 'Idempotency-Key': idempotencyKey }),
      },
      body: JSON.stringify(body),
    });
    const made = (await response.json()) as Record<string, string>;
    if (made.key) secrets.push(made.key);
    return { status: response.status, made };
  }

  async keyFor(role: Role): Promise<string> {
    const { made } = await this.make({ name: role, role });
    return made.key ?? '';
  }

  /** As Nest knows them, with what each handler declares. */
  routes(): Route[] {
    const routes: Route[] = [];
    const join = (...parts: string[]): string =>
      `/${parts
        .flatMap((part) => part.split('/'))
        .filter(Boolean)
        .join('/')}`;
    for (const module of this.app.get(ModulesContainer).values()) {
      for (const { metatype, instance } of module.controllers.values()) {
        if (!metatype) continue;
        const base = Reflect.getMetadata(PATH_METADATA, metatype) as string;
        const prototype = Object.getPrototypeOf(instance) as Record<string, object>;
        for (const name of new MetadataScanner().getAllMethodNames(prototype)) {
          const handler = prototype[name];
          const verb = Reflect.getMetadata(METHOD_METADATA, handler) as RequestMethod | undefined;
          if (verb === undefined) continue;
          const method = RequestMethod[verb];
          const paths = [Reflect.getMetadata(PATH_METADATA, handler) as string | string[]].flat();
          for (const path of paths.map((one) => join(base, one)))
            routes.push({ name: `${method} ${path}`, method, path, access: accessOf(handler) });
        }
      }
    }
    return routes.sort((a, b) => a.name.localeCompare(b.name));
  }

  /** As Express knows them: whatever anybody has put there. */
  registered(): string[] {
    const { router } = this.app.getHttpAdapter().getInstance() as {
      router: { stack: { route?: { path: string; methods: Record<string, boolean> } }[] };
    };
    return router.stack.flatMap(({ route }) =>
      route ? Object.keys(route.methods).map((method) => `${method.toUpperCase()} ${route.path}`) : [],
    );
  }
}

/** A path that leads to the handler and to nothing that exists. */
const concrete = (path: string): string => path.replaceAll(/:\w+/g, 'nothing');

afterAll(() => {
  for (const folder of folders) folder.remove();
});

describe('access', () => {
  let service: Service;
  const keys = {} as Record<Role, string>;

  beforeAll(async () => {
    service = await Service.start({ BRAIN_BOOTSTRAP_KEY: BOOTSTRAP });
    for (const role of ROLES) keys[role] = await service.keyFor(role);
  });
  afterAll(() => service.app.close());

  it('is declared by every route, and only the listed routes are public', () => {
    const routes = service.routes();
    expect(routes.length).toBeGreaterThan(10);
    expect(routes.filter(({ access }) => access === undefined).map(({ name }) => name)).toEqual([]);
    const open = routes.filter(({ access }) => access?.permission === null).map(({ name }) => name);
    expect(open.filter((name) => !PUBLIC.includes(name))).toEqual([]);
  });

  it('is checked on every route of Express: no route comes before the guard', () => {
    const known = service.routes().map(({ name }) => name);
    expect(service.registered().filter((name) => !known.includes(name))).toEqual([]);
    expect(service.registered().length).toBe(known.length);
  });

  it('without a key gets 401 with WWW-Authenticate on every route that is not public', async () => {
    for (const { name, method, path, access } of service.routes()) {
      const answer = await service.ask(method, concrete(path));
      if (access?.permission === null)
        expect([name, [401, 403].includes(answer.status)]).toEqual([name, false]);
      else {
        expect([name, answer.status, answer.code]).toEqual([name, 401, 'unauthenticated']);
        expect(answer.headers.get('www-authenticate')).toBe('Bearer');
        expect(answer.detail).toContain('Authorization: Bearer');
      }
    }
  });

  it.each(ROLES)('of the role %s reaches the routes of its permissions and no others', async (role) => {
    for (const { name, method, path, access } of service.routes()) {
      if (!access?.permission) continue;
      const answer = await service.ask(method, concrete(path), keys[role]);
      if (permits(role, access.permission)) {
        expect([name, [401, 403, 429].includes(answer.status), answer.status < 500]).toEqual([
          name,
          false,
          true,
        ]);
      } else {
        expect([name, answer.status, answer.code]).toEqual([name, 403, 'forbidden']);
        expect(answer.detail).toContain(access.permission);
      }
    }
  });

  it('is in the OpenAPI document, with a scheme and a permission for each closed route', async () => {
    const document = (await (await fetch(`${service.url}/openapi.json`)).json()) as {
      paths: Record<
        string,
        Record<string, { security?: object[]; 'x-permission'?: string; responses: object }>
      >;
    };
    for (const { name, method, path, access } of service.routes()) {
      const operation = document.paths[path.replaceAll(/:(\w+)/g, '{$1}')]?.[method.toLowerCase()];
      if (!operation) {
        // The explorer does not explain itself; everything that needs a key is explained.
        expect([name, access?.permission]).toEqual([name, null]);
        continue;
      }
      expect([name, operation['x-permission'] ?? null]).toEqual([name, access?.permission]);
      if (access?.permission === null) continue;
      expect([name, operation.security]).toEqual([name, [{ key: [] }]]);
      expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(['401', '403', '429', '503']));
    }
  });

  it('is checked before the body is read: a huge body without a key gets 401', async () => {
    const response = await fetch(`${service.url}/api/threats`, { method: 'POST', body: 'x'.repeat(300_000) });
    expect(response.status).toBe(401);
  });
});

describe('API keys', () => {
  let service: Service;

  beforeAll(async () => {
    service = await Service.start({ BRAIN_BOOTSTRAP_KEY: BOOTSTRAP });
  });
  afterAll(() => service.app.close());

  it('work as soon as they are made, are listed without the secret, and end when they are deleted', async () => {
    const { status, made } = await service.make({ name: 'scanner', role: 'viewer' });
    const { id = '', key = '' } = made;
    expect(status).toBe(201);
    expect(made).toEqual({
      id: expect.stringMatching(/^key_[0-9a-z]{12}$/),
      name: 'scanner',
      role: 'viewer',
      agents: [],
      agent_roles: [],
      owner: null,
      key: expect.stringMatching(/^brn_[0-9A-Za-z]{49}$/),
      created_at: expect.any(Number),
      created_by: 'bootstrap',
      expires_at: null,
      rotated_from: null,
      replaced_by: null,
    });
    expect((await service.ask('GET', '/api/threats', key)).status).toBe(200);
    const headers = { Authorization: `Bearer ${BOOTSTRAP}` };
    const listed = await (await fetch(`${service.url}/api/keys`, { headers })).text();
    expect(JSON.parse(listed)).toMatchObject({ keys: [{ id }], total: 1, next_cursor: null });
    expect(listed).not.toMatch(/brn_|hash/);
    expect((await service.ask('DELETE', `/api/keys/${id}`, BOOTSTRAP)).status).toBe(204);
    expect((await service.ask('GET', '/api/threats', key)).status).toBe(401);
    expect((await service.ask('DELETE', `/api/keys/${id}`, BOOTSTRAP)).code).toBe('key_not_found');
    expect((await service.ask('DELETE', `/api/keys/${'x'.repeat(4000)}`, BOOTSTRAP)).status).toBe(404);
  });

  it('are listed page by page', async () => {
    for (let i = 0; i < 5; i += 1) await service.make({ name: `n${i}`, role: 'agent' });
    const headers = { Authorization: `Bearer ${BOOTSTRAP}` };
    const names: string[] = [];
    let cursor = '';
    do {
      const response = await fetch(`${service.url}/api/keys?limit=2${cursor}`, { headers });
      const page = (await response.json()) as { keys: { name: string }[]; next_cursor: string | null };
      names.push(...page.keys.map(({ name }) => name));
      cursor = page.next_cursor === null ? '' : `&cursor=${page.next_cursor}`;
    } while (cursor !== '');
    expect(names).toEqual(['n4', 'n3', 'n2', 'n1', 'n0']);
  });

  it('are not shown again when an Idempotency-Key is replayed', async () => {
    const first = await service.make({ name: 'n', role: 'agent' }, 'once');
    const again = await service.make({ name: 'n', role: 'agent' }, 'once');
    expect([first.status, again.status]).toEqual([201, 201]);
    const { key, ...rest } = first.made;
    expect(key).toMatch(/^brn_/);
    expect(again.made).toEqual(rest);
    expect((await service.make({ name: 'other', role: 'agent' }, 'once')).status).toBe(422);
  });

  it('are checked again after a body that took long to arrive', async () => {
    const { made } = await service.make({ name: 'slow', role: 'agent' });
    const { id = '', key = '' } = made;
    const text = JSON.stringify({ agent_id: 'slow', action: 'read' });
    const socket = connect(Number(new URL(service.url).port), '127.0.0.1');
    const head = [
      'POST /api/policy/evaluate HTTP/1.1',
      'Host: x',
      'Connection: close',
      'Content-Type: application/json',
      `Content-Length: ${text.length}`,
      `Authorization: Bearer ${key}`,
    ];
    socket.write(`${head.join('\r\n')}\r\n\r\n${text.slice(0, 5)}`);
    await sleep(100);
    expect((await service.ask('DELETE', `/api/keys/${id}`, BOOTSTRAP)).status).toBe(204);
    socket.write(text.slice(5));
    let answer = '';
    for await (const bytes of socket) answer += String(bytes);
    expect(answer).toMatch(/^HTTP\/1.1 401 /);
  });

  it('get the same answer when the request is repeated, even if they have expired since', async () => {
    const headers = {
      Authorization: `Bearer ${BOOTSTRAP}`,
      'Content-Type': 'application/json',
      'Idempotency-Key': 'short-lived',
    };
    const body = JSON.stringify({ name: 'short', role: 'agent', expires_at: Date.now() / 1000 + 0.5 });
    const make = async (): Promise<{ status: number; id: string }> => {
      const answer = await fetch(`${service.url}/api/keys`, { method: 'POST', headers, body });
      return { status: answer.status, id: ((await answer.json()) as { id: string }).id };
    };
    const first = await make();
    expect(first.status).toBe(201);
    await sleep(700);
    expect(await make()).toEqual(first);
  });

  it('are not made by a faulty request, whose faults are all reported', async () => {
    const { status, made } = await service.make({ name: '', role: 'root', expires_at: 'soon', extra: 1 });
    expect(status).toBe(422);
    const pointers = (made.errors as unknown as { pointer: string }[]).map(({ pointer }) => pointer);
    expect(pointers.sort()).toEqual(['/expires_at', '/extra', '/name', '/role']);
    expect((await service.make({ name: 'n', role: 'agent', expires_at: 1 })).status).toBe(422);
    expect((await service.make({ name: 'never', role: 'agent', expires_at: null })).status).toBe(201);
  });

  it('stop working when they expire', async () => {
    const { made } = await service.make({ name: 'n', role: 'viewer', expires_at: Date.now() / 1000 + 0.5 });
    expect((await service.ask('GET', '/api/threats', made.key)).status).toBe(200);
    await sleep(550);
    const over = await service.ask('GET', '/api/threats', made.key);
    expect([over.status, over.code, over.detail]).toEqual([
      401,
      'unauthenticated',
      expect.stringContaining('expired'),
    ]);
  });

  it('can make other keys only with the role admin', async () => {
    const operator = await service.keyFor('operator');
    expect((await service.ask('POST', '/api/keys', operator)).code).toBe('forbidden');
    expect((await service.ask('GET', '/api/keys', operator)).code).toBe('forbidden');
  });
});

describe('wrong keys', () => {
  it('are throttled by the address of the socket, unless a proxy is trusted', async () => {
    const service = await Service.start({ BRAIN_BOOTSTRAP_KEY: BOOTSTRAP });
    const statuses: number[] = [];
    for (let i = 0; i < 14; i += 1) {
      const wrong = makeKey();
      secrets.push(wrong);
      const answer = await service.ask('GET', '/api/threats', wrong, {
        'X-Forwarded-For': `198.51.100.${i}`,
      });
      statuses.push(answer.status);
      if (answer.status !== 429) continue;
      expect(answer.code).toBe('too_many_failures');
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    }
    expect(statuses).toEqual([...Array<number>(10).fill(401), ...Array<number>(4).fill(429)]);
    expect((await service.ask('GET', '/api/threats', BOOTSTRAP)).status).toBe(200);
    expect((await service.ask('GET', '/api/threats', await service.keyFor('viewer'))).status).toBe(200);
    expect((await service.ask('GET', '/api/threats')).status).toBe(401);
    expect((await service.ask('GET', '/api/threats/health', makeKey())).status).toBe(200);
    await service.app.close();
  });

  it('are throttled by the address that a trusted proxy reports', async () => {
    const service = await Service.start({ BRAIN_BOOTSTRAP_KEY: BOOTSTRAP, BRAIN_TRUST_PROXY: '1' });
    const from = async (address: string): Promise<number> =>
      (await service.ask('GET', '/api/threats', 'wrong', { 'X-Forwarded-For': address })).status;
    for (let i = 0; i < 10; i += 1) expect(await from('198.51.100.1')).toBe(401);
    expect(await from('198.51.100.1')).toBe(429);
    expect(await from('198.51.100.2')).toBe(401);
    // The client may put anything in front of what the proxy says.
    expect(await from('203.0.113.5, 198.51.100.1')).toBe(429);
    await service.app.close();
  });
});

describe('the first admin', () => {
  it('has a key in a file of mode 0600, which works after a restart too', async () => {
    const folder = newFolder();
    const path = join(folder, 'admin.key');
    for (let start = 1; start <= 2; start += 1) {
      const service = await Service.start({ BRAIN_DATA_DIR: folder });
      expect(await service.app.get(AdminKey).bootstrap(false)).toEqual({ kind: 'file', path });
      expect(statSync(path).mode & 0o777).toBe(0o600);
      const key = readFileSync(path, 'utf8').trim();
      secrets.push(key);
      expect((await service.ask('GET', '/api/keys', key)).status).toBe(200);
      await service.app.close();
    }
  });

  it('is the bootstrap key while it is set, with a warning once there is another', async () => {
    const service = await Service.start({ BRAIN_BOOTSTRAP_KEY: BOOTSTRAP });
    const warned = (): number => lines.filter((line) => line.includes('BRAIN_BOOTSTRAP_KEY is set')).length;
    expect(await service.app.get(AdminKey).bootstrap(true)).toEqual({ kind: 'env' });
    const before = warned();
    await service.keyFor('operator');
    expect(warned()).toBe(before);
    await service.keyFor('admin');
    expect(warned()).toBe(before + 1);
    await service.app.close();
  });

  it('cannot be deleted as the last one', async () => {
    const service = await Service.start({});
    const made = await service.app.get(AdminKey).bootstrap(true);
    if (made.kind !== 'made') throw new Error(made.kind);
    secrets.push(made.key);
    const headers = { Authorization: `Bearer ${made.key}` };
    const { keys } = (await (await fetch(`${service.url}/api/keys`, { headers })).json()) as {
      keys: { id: string }[];
    };
    const answer = await service.ask('DELETE', `/api/keys/${keys[0]?.id}`, made.key);
    expect([answer.status, answer.code]).toEqual([409, 'last_admin']);
    expect(answer.detail).toContain('BRAIN_BOOTSTRAP_KEY');
    await service.app.close();
  });
});

describe('the log', () => {
  it('has lines about all of this, and no key', () => {
    const log = lines.join('');
    expect(log).toContain('Wrong API key');
    expect(log).toContain('"principal":"bootstrap"');
    expect(secrets.length).toBeGreaterThan(20);
    expect(secrets.filter((secret) => log.includes(secret))).toEqual([]);
    expect(log).not.toContain('brn_');
  });
});
