/** The answers to requests that fail: one form for all kinds of errors, also for bytes that are not HTTP. */
import { randomUUID } from 'node:crypto';
import type { Response } from 'supertest';
import { STATUS } from '../src/http/problem.filter.js';
import { USUAL_BODY_BYTES } from '../src/http/request.js';
import { makeKey } from '../src/security/api-key.js';
import type { ErrorKind } from '../src/shared/errors.js';
import { Store } from '../src/storage/store.js';
import { ThreatsService } from '../src/threats/threats.service.js';
import { httpService, JSON_TYPE, KEY, report } from './support/http.js';
import { expectProblem, expectRawProblem } from './support/problem.js';
import { type RawAnswer, requestBytes } from './support/raw-http.js';

const { service, connect, raw, make } = httpService();

describe('a problem', () => {
  /** One way to each kind. A kind without one does not compile. */
  const ways: Record<ErrorKind, [code: string, way: () => PromiseLike<Response>]> = {
    malformed: [
      'malformed_json',
      () => service.post('/api/threats').set('Content-Type', 'application/json').send('{"type":'),
    ],
    unauthenticated: ['unauthenticated', () => service.get('/api/threats', '')],
    forbidden: [
      'forbidden',
      async () => {
        const made = await service.post('/api/keys', { name: 'reader', role: 'viewer' }).expect(201);
        return service.post('/api/threats', report, (made.body as { key: string }).key);
      },
    ],
    not_found: ['threat_not_found', () => service.get(`/api/threats/${randomUUID()}`)],
    wrong_method: ['method_not_allowed', () => service.put('/api/threats', report)],
    conflict: [
      'illegal_status_change',
      async () => service.post(`/api/threats/${(await make()).id}/status`, { status: 'OPEN' }),
    ],
    stale_version: [
      'version_mismatch',
      async () => {
        const change = service.post(`/api/threats/${(await make()).id}/severity`, { severity: 'LOW' });
        return change.set('If-Match', '"2"');
      },
    ],
    too_large: ['body_too_large', () => service.post('/api/threats', { type: 'x'.repeat(USUAL_BODY_BYTES) })],
    unsupported: [
      'unsupported_content_type',
      () => service.post('/api/threats').set('Content-Type', 'text/plain').send(JSON.stringify(report)),
    ],
    invalid: ['invalid_request', () => service.post('/api/threats', { ...report, severity: 'high' })],
    too_many: [
      'too_many_failures',
      async () => {
        let last = await service.get('/api/threats', makeKey());
        for (let i = 0; i < 20 && last.status === 401; i += 1)
          last = await service.get('/api/threats', makeKey());
        return last;
      },
    ],
    unavailable: [
      'store_unreachable',
      () => {
        jest.spyOn(service.app.get(Store), 'health').mockResolvedValue({ ok: false, warnings: [] });
        return service.get('/api/threats/health');
      },
    ],
  };

  it.each(Object.entries(ways))(
    'of the kind %s has its status and all its fields',
    async (kind, [code, way]) => {
      expectProblem(await way(), STATUS[kind as ErrorKind], code);
    },
  );

  it('reports every fault of a body at once, each with its pointer', async () => {
    const sent = { source: 7, severity: 'bad', 'no/such~field': 1, metadata: { deep: nested(40) } };
    const body = expectProblem(await service.post('/api/threats', sent), 422, 'invalid_request');
    const faults = body.errors as { pointer: string; detail: string; code: string }[];
    expect(faults.map(({ pointer, code }) => [pointer, code]).sort()).toEqual([
      ['/metadata', 'json_object'],
      ['/no~1such~0field', 'unknown_field'],
      ['/severity', 'one_of'],
      ['/source', 'text'],
      ['/type', 'required'],
    ]);
    for (const { detail } of faults) expect(detail).toMatch(/^(must|is) /);
  });

  it('is never caused by names that every JavaScript object has', async () => {
    for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
      const found = await service.get(`/api/events?type=${name}&source=${name}&subject=${name}`).expect(200);
      expect(found.body).toEqual({ events: [], next_cursor: null });
      const listed = await service.get(`/api/threats?type=${name}&source=${name}`).expect(200);
      expect(listed.body).toEqual({ threats: [], total: 0, next_cursor: null });
      expectProblem(await service.get(`/api/threats/${name}`), 404, 'threat_not_found');
      expectProblem(await service.delete(`/api/keys/${name}`), 404, 'key_not_found');
      expectProblem(await service.get(`/api/threats?${name}=1`), 422, 'invalid_request');
    }
  });

  it('reports every fault of a query at once', async () => {
    const answer = await service.get('/api/threats?limit=x&status=open&colour=red&cursor=');
    const body = expectProblem(answer, 422, 'invalid_request');
    const pointers = (body.errors as { pointer: string }[]).map(({ pointer }) => pointer);
    expect(pointers.sort()).toEqual(['/colour', '/cursor', '/limit', '/status']);
  });

  it.each([
    ['GET', '/'],
    ['GET', '/api'],
    ['GET', '/api/threats/a/b/c'],
    ['PUT', '/api/threat'],
    ['DELETE', '/ready'],
    ['OPTIONS', '/api/threat'],
  ])('has the status 404 for an unknown route: %s %s', async (method, path) => {
    expectRawProblem(await raw(requestBytes(`${method} ${path}`, [KEY])), 404, 'no_such_route');
  });

  it('has the status 404 for an id that is too long for the stores', async () => {
    for (const length of [257, 2000, 8000]) {
      const id = 'x'.repeat(length);
      expectProblem(await service.get(`/api/threats/${id}`), 404, 'no_such_id');
      expectProblem(await service.post(`/api/threats/${id}/status`, { status: 'OPEN' }), 404, 'no_such_id');
      expectProblem(await service.delete(`/api/keys/${id}`), 404, 'no_such_id');
    }
    expectProblem(await service.get(`/api/threats/${'x'.repeat(256)}`), 404, 'threat_not_found');
    expectProblem(await service.get(`/api/threats/${'%F0%9F%98%80'.repeat(64)}`), 404, 'threat_not_found');
  });

  it('of the service itself has the status 500 and no details; the log has them', async () => {
    jest.spyOn(service.app.get(ThreatsService), 'get').mockRejectedValue(new Error('the secret reason'));
    const answer = await service.get(`/api/threats/${randomUUID()}`);
    const body = expectProblem(answer, 500, 'internal_error');
    expect(JSON.stringify(body)).not.toContain('secret reason');
    const line = service.logs.find(
      ({ level, request_id }) => level === 'error' && request_id === body.request_id,
    );
    expect(line?.stack).toContain('Error: the secret reason\n    at ');
  });
});

/** Objects in objects, so many levels deep. */
function nested(levels: number): object {
  return levels === 0 ? {} : { in: nested(levels - 1) };
}

describe('a request that is not valid HTTP', () => {
  const sane = 'X-Request-ID: chosen-by-the-client';

  it.each<[string, number, string, string]>([
    ['no HTTP at all', 400, 'malformed_request', 'hello\r\n\r\n'],
    ['an unknown method', 400, 'malformed_request', 'BREW /livez HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['no Host', 400, 'malformed_request', 'GET /livez HTTP/1.1\r\n\r\n'],
    [
      'a control character in a header',
      400,
      'malformed_request',
      'GET / HTTP/1.1\r\nHost: x\r\nA: \x01\r\n\r\n',
    ],
    ['a target without a path', 400, 'malformed_request', 'GET http://[/livez HTTP/1.1\r\nHost: x\r\n\r\n'],
    [
      'a path that is not UTF-8',
      400,
      'malformed_request',
      `GET /api/threats/%ff HTTP/1.1\r\nHost: x\r\n${KEY}\r\n\r\n`,
    ],
    [
      'headers of 20 KiB',
      431,
      'headers_too_large',
      `GET / HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(20_000)}\r\n\r\n`,
    ],
  ])('gets a problem: %s', async (_what, status, code, bytes) => {
    const body = expectRawProblem(await raw(bytes), status, code);
    expect(body.request_id).toMatch(/^[0-9a-z]{20}$/);
  });

  it('gets the request id of the client in the answer, without Host or with a broken chunk', async () => {
    const homeless = await raw(`GET /livez HTTP/1.1\r\n${sane}\r\n\r\n`);
    const broken = await raw(
      requestBytes('POST /api/threats', [KEY, JSON_TYPE, sane, 'Transfer-Encoding: chunked']),
      'zz\r\n',
    );
    for (const answer of [homeless, broken])
      expect(expectRawProblem(answer, 400, 'malformed_request').request_id).toBe('chosen-by-the-client');
  });

  it('gets a problem if the head of a chunk or the request does not end', async () => {
    const head = requestBytes('POST /api/threats', [KEY, JSON_TYPE, 'Transfer-Encoding: chunked']);
    expectRawProblem(await raw(head, `2;${'e'.repeat(20_000)}\r\n`), 413, 'body_too_large');
    // Node raises this after a minute.
    service.server.once('connection', (socket) => {
      const late = Object.assign(new Error('late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' });
      service.server.emit('clientError', late, socket);
    });
    const connection = await connect();
    expectRawProblem((await connection.answer()) as RawAnswer, 408, 'request_timeout');
    await connection.ended();
  });

  it('does not damage the answer before it on the same connection', async () => {
    const connection = await connect();
    connection.send('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n');
    expect((await connection.answer())?.json()).toEqual({ status: 'alive' });
    connection.send('rubbish\r\n\r\n');
    expectRawProblem((await connection.answer()) as RawAnswer, 400, 'malformed_request');
    await connection.ended();
  });
});
