/** What is common to every route: request ids, the log, health, and the API explorer. */
import { randomUUID } from 'node:crypto';
import { makeKey } from '../src/security/api-key.js';
import { ShutdownState } from '../src/shared/shutdown-state.js';
import { Store } from '../src/storage/store.js';
import type { Threat } from '../src/threats/threats.dto.js';
import { ThreatsService } from '../src/threats/threats.service.js';
import { httpService, KEY, report } from './support/http.js';
import { type Answered, expectProblem, expectRawProblem } from './support/problem.js';
import { type RawAnswer, requestBytes } from './support/raw-http.js';
import { ADMIN } from './support/service.js';

const { service, raw, logged } = httpService();

describe('the ids of a request', () => {
  const idOf = (answer: Answered | RawAnswer): unknown => answer.headers['x-request-id'];

  it.each(['a', 'x'.repeat(128), 'with spaces and / "quotes"', '~'])(
    'are taken from the client if they are valid: %s',
    async (id) => {
      expect(idOf(await service.get('/livez').set('X-Request-ID', id))).toBe(id);
      const lost = await service.get('/nowhere').set('X-Request-ID', id);
      expect(expectProblem(lost, 404, 'no_such_route').request_id).toBe(id);
    },
  );

  it.each(['', 'x'.repeat(129), 'gr\xfc\xdfe', 'tab\there'])(
    'are replaced if they are not valid: %j',
    async (id) => {
      const answer = await raw(requestBytes('GET /livez', [`X-Request-ID: ${id}`]));
      expect(idOf(answer)).toMatch(/^[0-9a-z]{20}$/);
    },
  );

  it('are joined when they are sent twice, and replaced if one of them is empty', async () => {
    const twice = async (first: string, second: string): Promise<unknown> =>
      idOf(await raw(requestBytes('GET /livez', [`X-Request-ID: ${first}`, `X-Request-ID: ${second}`])));
    expect(await twice('a', 'b')).toBe('a, b');
    expect(await twice('a', '')).toMatch(/^[0-9a-z]{20}$/);
  });

  it('are new for each request, and are in every answer and every error', async () => {
    const answers = await Promise.all([
      service.get('/livez'),
      service.get('/nowhere'),
      service.get('/api/threats', ''),
      service.get('/api/threats/%ff'),
      service.post('/api/threats').set('Content-Type', 'application/json').send('{'),
      service.get('/docs'),
    ]);
    for (const answer of answers) expect(idOf(answer)).toMatch(/^[0-9a-z]{20}$/);
    expect(new Set(answers.map(idOf)).size).toBe(answers.length);
  });

  it.each<[string, Record<string, string>, string]>([
    ['X-Correlation-ID', { 'X-Correlation-ID': 'mine', 'X-Request-ID': 'r' }, 'mine'],
    [
      'else the trace id',
      { traceparent: `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-01`, 'X-Request-ID': 'r' },
      'ab'.repeat(16),
    ],
    [
      'X-Correlation-ID before the trace id',
      { 'X-Correlation-ID': 'both', traceparent: `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-01` },
      'both',
    ],
    ['else the request id', { 'X-Request-ID': 'only-this' }, 'only-this'],
    [
      'no trace id that is none',
      { traceparent: `00-${'XY'.repeat(16)}-${'cd'.repeat(8)}-01`, 'X-Request-ID': 'no-trace' },
      'no-trace',
    ],
    [
      'no correlation that is not sane',
      { 'X-Correlation-ID': 'x'.repeat(129), 'X-Request-ID': 'too-long' },
      'too-long',
    ],
  ])('are the correlation id of the events: %s', async (_what, headers, correlation) => {
    const made = await service.post('/api/threats', report).set(headers).expect(201);
    const events = await service.events({ subject: (made.body as Threat).id });
    expect(events.map(({ meta }) => meta.correlation_id)).toEqual([correlation]);
    const found = await service.events({ correlation_id: correlation });
    expect(found.map(({ id }) => id)).toContain(events[0]?.id);
  });
});

describe('the server request id', () => {
  it('is the same in the problem, its log lines and the events, and no client chooses it', async () => {
    const ids: unknown[] = [];
    for (const chosen of ['twice-the-same', 'twice-the-same']) {
      const made = await service.post('/api/threats', report).set('X-Request-ID', chosen).expect(201);
      const [event] = await service.events({ subject: (made.body as Threat).id });
      const line = await logged(
        ({ msg, server_request_id }) =>
          msg === 'request' && server_request_id === event?.meta.server_request_id,
      );
      expect(line).toMatchObject({ request_id: chosen, status: 201 });
      ids.push(event?.meta.server_request_id);
    }
    expect(new Set(ids).size).toBe(2);
    const lost = await service.get('/nowhere').set('X-Request-ID', 'twice-the-same');
    const { server_request_id } = expectProblem(lost, 404, 'no_such_route');
    expect(server_request_id).toEqual(expect.any(String));
    await logged((line) => line.msg === 'request' && line.server_request_id === server_request_id);
  });

  it('is the request id if the client sends none', async () => {
    const answer = await service.post('/api/threats', report).expect(201);
    const [event] = await service.events({ subject: (answer.body as Threat).id });
    expect(event?.meta.server_request_id).toBe(answer.headers['x-request-id']);
    const lost = expectProblem(await service.get('/nowhere'), 404, 'no_such_route');
    expect(lost).not.toHaveProperty('server_request_id');
    await logged((line) => line.msg === 'request' && line.server_request_id === lost.request_id);
  });
});

describe('the log', () => {
  it.each<[string, string, string | null, number, string | null]>([
    ['GET', '/api/threats/00000000-0000-4000-8000-000000000000?x=1', '/api/threats/:id', 404, 'bootstrap'],
    ['GET', '/api/threats?limit=5', '/api/threats', 200, 'bootstrap'],
    ['GET', '/nowhere/at/all', null, 404, null],
    ['POST', '/api/threats', '/api/threats', 422, 'bootstrap'],
  ])('has one line for %s %s', async (method, path, route, status, principal) => {
    const id = `log-${randomUUID()}`;
    await raw(requestBytes(`${method} ${path}`, [KEY, `X-Request-ID: ${id}`, 'X-Correlation-ID: c']));
    await logged((line) => line.request_id === id);
    const lines = service.logs.filter((line) => line.request_id === id && line.msg === 'request');
    expect(lines).toEqual([
      {
        level: 'info',
        time: expect.any(Number),
        msg: 'request',
        method,
        route,
        status,
        ms: expect.any(Number),
        principal,
        request_id: id,
        server_request_id: expect.stringMatching(/^[0-9a-z]{20}$/),
        correlation_id: 'c',
      },
    ]);
    expect(lines[0]?.ms).toBeGreaterThanOrEqual(0);
  });

  it('has a line for a refused request, without a principal', async () => {
    await service.get('/api/threats', '').set('X-Request-ID', 'nobody');
    const line = await logged(({ request_id }) => request_id === 'nobody');
    expect(line).toMatchObject({ status: 401, principal: null, route: '/api/threats' });
  });

  it('never contains a secret: no key, no header, no body, no query', async () => {
    const wrong = makeKey();
    const secret = 'sesame-open-thyself';
    await service.get('/api/threats', wrong);
    await service.get(`/api/threats?source=${secret}&key=${secret}`);
    await service.get(`/nowhere?token=${secret}`);
    await service.post('/api/threats', { ...report, description: secret, [secret]: 1 });
    await service.post('/api/threats').set('Content-Type', 'application/json').send(`{"${secret}"`);
    await service.get('/api/threats', '').set('Authorization', `Basic ${secret}`);
    await service.get('/api/threats').set('Cookie', secret).set('X-Secret', secret);
    jest.spyOn(service.app.get(ThreatsService), 'list').mockRejectedValue(new Error('broken'));
    await service.get(`/api/threats?source=${secret}`).set('X-Request-ID', 'the-last').expect(500);
    await logged(({ request_id, msg }) => request_id === 'the-last' && msg === 'request');
    const log = JSON.stringify(service.logs);
    for (const hidden of [ADMIN, wrong, secret, 'Bearer'])
      expect([hidden, log.includes(hidden)]).toEqual([hidden, false]);
  });
});

describe('health', () => {
  it('is public: /livez, /readyz and the health of a domain', async () => {
    expect((await service.get('/livez', '').expect(200)).body).toEqual({ status: 'alive' });
    expect((await service.get('/readyz', '').expect(200)).body).toEqual({
      status: 'ready',
      store: 'embedded',
      warnings: [],
    });
    expect((await service.get('/api/threats/health', '').expect(200)).body).toEqual({ status: 'ok' });
  });

  it('is 503 on /readyz while the service drains, and other requests work', async () => {
    const draining = service.app.get(ShutdownState);
    draining.active = true;
    try {
      expectProblem(await service.get('/readyz', ''), 503, 'draining');
      await service.get('/livez', '').expect(200);
      await service.post('/api/threats', report).expect(201);
    } finally {
      draining.active = false;
    }
    await service.get('/readyz', '').expect(200);
  });

  it('names the part that is not ready, as a warning first and as a problem after the grace time', async () => {
    const store = service.app.get(Store);
    const health = { ok: false, code: 'store_unreachable', detail: 'It does not answer.', warnings: [] };
    jest.spyOn(store, 'health').mockResolvedValue(health);
    const contact = jest.spyOn(store, 'watchedUntilMs').mockReturnValue(performance.now() - 10_000);
    const early = await service.get('/readyz', '').expect(200);
    expect((early.body as { warnings: string[] }).warnings).toEqual([
      expect.stringContaining('It does not answer.'),
    ]);
    contact.mockReturnValue(performance.now() - 31_000);
    expectProblem(await service.get('/readyz', ''), 503, 'store_unreachable');
    expectProblem(await service.get('/api/threats/health', ''), 503, 'store_unreachable');
  });
});

describe('the explorer', () => {
  it('opens without a key, and loads everything from this service', async () => {
    const page = await service
      .get('/docs', '')
      .expect(200)
      .expect('Content-Type', /^text\/html/);
    const references = [...page.text.matchAll(/\b(?:src|href)="([^"]*)"/g)].map((match) => match[1]);
    expect(references.length).toBeGreaterThan(2);
    for (const path of references) {
      expect(path).toMatch(/^\/[^/]/);
      const file = await service.get(path, '').expect(200);
      expect(Number(file.headers['content-length'] ?? file.text.length)).toBeGreaterThan(0);
    }
    expect(page.text).not.toMatch(/https?:|url\(|@import/);
    const policy = page.headers['content-security-policy'];
    expect(policy).toContain("default-src 'self'");
    expect(policy).not.toContain('http');
    const start = await service.get('/docs/start.js', '').expect(200);
    expect(start.text).toContain("url: '/openapi.json'");
    expect(start.text).not.toMatch(/https?:/);
    expect(start.text).not.toContain('persist');
  });

  it('has the OpenAPI document, without a key', async () => {
    const answer = await service
      .get('/openapi.json', '')
      .expect(200)
      .expect('Content-Type', /^application\/json/);
    const document = answer.body as {
      openapi: string;
      paths: object;
      components: { securitySchemes: object };
    };
    expect(document.openapi).toMatch(/^3\.1\./);
    expect(Object.keys(document.paths)).toContain('/api/threats/{id}/status');
    expect(Object.values(document.components.securitySchemes)).toEqual([
      expect.objectContaining({ type: 'http', scheme: 'bearer' }),
    ]);
  });

  it.each([
    'package.json',
    '..%2fpackage.json',
    '%2e%2e%2f%2e%2e%2fetc%2fpasswd',
    'index.html',
    'constructor',
  ])('serves only its own files: %s', async (file) => {
    expectRawProblem(await raw(requestBytes(`GET /docs/${file}`)), 404, 'no_such_file');
  });
});
