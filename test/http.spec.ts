/** What is common to every route (CONTRACT §1): problems, bodies, ids, logs, health, and the explorer. */
import { randomUUID } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import type { Response } from 'supertest';
import { STATUS } from '../src/http/problem.filter.js';
import { USUAL_BODY_BYTES } from '../src/http/request.js';
import { makeKey } from '../src/security/api-key.js';
import { sleep } from '../src/shared/clock.js';
import type { ErrorKind } from '../src/shared/errors.js';
import { ShutdownState } from '../src/shared/shutdown-state.js';
import { Store } from '../src/storage/store.js';
import type { Threat } from '../src/threats/threats.dto.js';
import { ThreatsService } from '../src/threats/threats.service.js';
import { type RawAnswer, RawConnection, requestBytes } from './support/raw-http.js';
import { ADMIN, type Service, startService } from './support/service.js';

const report = { type: 'prompt_injection', source: 'agent:researcher-7', severity: 'HIGH' };
const KEY = `Authorization: Bearer ${ADMIN}`;
const JSON_TYPE = 'Content-Type: application/json';
/** A threat that fills a body of exactly so many bytes. */
const bodyOf = (bytes: number): string => {
  const [head = '', tail = ''] = JSON.stringify({ ...report, metadata: { filler: '|' } }).split('|');
  return head + 'x'.repeat(bytes - head.length - tail.length) + tail;
};
const chunked = (body: string): string =>
  `${[...(body.match(/.{1,40000}/gs) ?? [])].map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join('')}0\r\n\r\n`;

let service: Service;
let port: number;

beforeAll(async () => {
  service = await startService({ BRAIN_LOG_LEVEL: 'debug' });
  port = (service.server.address() as AddressInfo).port;
});
afterAll(() => service.stop());
afterEach(() => jest.restoreAllMocks());

/** Sends bytes on a connection of its own and gives the first answer. */
async function raw(...bytes: (string | Buffer)[]): Promise<RawAnswer> {
  const connection = await RawConnection.to(port);
  for (const part of bytes) connection.send(part);
  const answer = await connection.answer();
  connection.close();
  if (!answer) throw new Error('The connection ended without an answer');
  return answer;
}

interface Answered {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: unknown;
}

/** Holds an answer against RFC 9457 and the contract, and gives its body back. */
function expectProblem(answer: Answered, status: number, code: string): Record<string, unknown> {
  const body = answer.body as Record<string, unknown>;
  expect([answer.status, body.code]).toEqual([status, code]);
  expect(answer.headers['content-type']).toBe('application/problem+json; charset=utf-8');
  expect(body).toEqual({
    type: `urn:brain:problem:${code}`,
    title: expect.stringMatching(/^[A-Z][a-z ]+$/),
    status,
    // A sentence.
    detail: expect.stringMatching(/^[A-Z].{10,}\.$/),
    code,
    request_id: answer.headers['x-request-id'],
    ...(body.errors !== undefined && { errors: expect.any(Array) }),
  });
  expect(body.request_id).toEqual(expect.any(String));
  expect(answer.headers['www-authenticate']).toBe(status === 401 ? 'Bearer' : undefined);
  if (status === 429 || status === 503) expect(answer.headers['retry-after']).toMatch(/^[1-9]\d*$/);
  else expect(answer.headers['retry-after']).toBeUndefined();
  expect(JSON.stringify(body)).not.toMatch(/\bat \S+ \(|node_modules|\.[jt]s:\d/);
  return body;
}

const expectRawProblem = (answer: RawAnswer, status: number, code: string): Record<string, unknown> =>
  expectProblem({ ...answer, body: answer.json() }, status, code);

const make = async (): Promise<Threat> =>
  (await service.post('/api/threats', report).expect(201)).body as Threat;

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

  it('names every fault of a body at once, each by its pointer', async () => {
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

  it('is no answer to names that every object knows', async () => {
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

  it('names every fault of a query at once', async () => {
    const answer = await service.get('/api/threats?limit=x&status=open&colour=red&cursor=');
    const body = expectProblem(answer, 422, 'invalid_request');
    const pointers = (body.errors as { pointer: string }[]).map(({ pointer }) => pointer);
    expect(pointers.sort()).toEqual(['/colour', '/cursor', '/limit', '/status']);
  });

  it.each([
    ['GET', '/'],
    ['GET', '/api'],
    ['GET', '/api/threats/a/b/c'],
    ['PUT', '/api/threats'],
    ['DELETE', '/readyz'],
    ['OPTIONS', '/api/threats'],
  ])('is a 404 for what is not there: %s %s', async (method, path) => {
    expectRawProblem(await raw(requestBytes(`${method} ${path}`, [KEY])), 404, 'no_such_route');
  });

  it('is a 404 for an id longer than any store could hold', async () => {
    for (const length of [257, 2000, 8000]) {
      const id = 'x'.repeat(length);
      expectProblem(await service.get(`/api/threats/${id}`), 404, 'no_such_id');
      expectProblem(await service.post(`/api/threats/${id}/status`, { status: 'OPEN' }), 404, 'no_such_id');
      expectProblem(await service.delete(`/api/keys/${id}`), 404, 'no_such_id');
    }
    expectProblem(await service.get(`/api/threats/${'x'.repeat(256)}`), 404, 'threat_not_found');
    expectProblem(await service.get(`/api/threats/${'%F0%9F%98%80'.repeat(64)}`), 404, 'threat_not_found');
  });

  it('of the service itself is a 500 that tells nothing, and the log tells all', async () => {
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

describe('what is no HTTP that anyone could route', () => {
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
  ])('is answered with a problem: %s', async (_what, status, code, bytes) => {
    const body = expectRawProblem(await raw(bytes), status, code);
    expect(body.request_id).toMatch(/^[0-9a-z]{20}$/);
  });

  it('is answered with the request id where there is one: no Host, a broken chunk', async () => {
    const homeless = await raw(`GET /livez HTTP/1.1\r\n${sane}\r\n\r\n`);
    const broken = await raw(
      requestBytes('POST /api/threats', [KEY, JSON_TYPE, sane, 'Transfer-Encoding: chunked']),
      'zz\r\n',
    );
    for (const answer of [homeless, broken])
      expect(expectRawProblem(answer, 400, 'malformed_request').request_id).toBe('chosen-by-the-client');
  });

  it('is answered with a problem when the head of a chunk never ends, or the request does not come to its end', async () => {
    const head = requestBytes('POST /api/threats', [KEY, JSON_TYPE, 'Transfer-Encoding: chunked']);
    expectRawProblem(await raw(head, `2;${'e'.repeat(20_000)}\r\n`), 413, 'body_too_large');
    // Node raises this after a minute.
    service.server.once('connection', (socket) => {
      const late = Object.assign(new Error('late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' });
      service.server.emit('clientError', late, socket);
    });
    const connection = await RawConnection.to(port);
    expectRawProblem((await connection.answer()) as RawAnswer, 408, 'request_timeout');
    await connection.ended();
  });

  it('never cuts into the answer before it on the same connection', async () => {
    const connection = await RawConnection.to(port);
    connection.send('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n');
    expect((await connection.answer())?.json()).toEqual({ status: 'alive' });
    connection.send('rubbish\r\n\r\n');
    expectRawProblem((await connection.answer()) as RawAnswer, 400, 'malformed_request');
    await connection.ended();
  });
});

describe('a body', () => {
  const post = (headers: (string | undefined)[], body: string | Buffer = ''): Buffer =>
    requestBytes('POST /api/threats', [KEY, ...headers], body);

  it.each([
    ['empty where JSON is promised', '   '],
    ['cut off', '{"type": "x"'],
    ['of two values', '{}{}'],
    ['with a comment', '{} // no'],
    ['with NaN', '{"type": NaN}'],
    ['that hides a prototype', '{"metadata": {"__proto__": {"admin": true}}}'],
    ['that hides a prototype behind an escape', '{"metadata": [{"\\u005f_proto__": {}}]}'],
    [
      'that hides a prototype under a hundred thousand other things',
      `[${'0,'.repeat(125_000)}{"__proto__":1}]`,
    ],
    ['that is not UTF-8', Buffer.from([0x22, 0xff, 0xfe, 0x22])],
    ['in UTF-16', Buffer.from(JSON.stringify(report), 'utf16le')],
  ])('that is not JSON is a 400: %s', async (_what, body) => {
    const answer = await raw(post([JSON_TYPE, `Content-Length: ${Buffer.byteLength(body)}`], body));
    expectRawProblem(answer, 400, 'malformed_json');
  });

  it.each(['[]', '"text"', '7', 'true'])('that is no object is a 422: %s', async (body) => {
    const answer = await raw(post([JSON_TYPE, `Content-Length: ${body.length}`], body));
    expect(expectRawProblem(answer, 422, 'invalid_request').errors).toEqual([
      expect.objectContaining({ pointer: '' }),
    ]);
  });

  it('may have 256 KiB and not one byte more, with its length told or in chunks', async () => {
    const fits = bodyOf(USUAL_BODY_BYTES);
    const over = bodyOf(USUAL_BODY_BYTES + 1);
    expect([fits.length, over.length]).toEqual([262_144, 262_145]);
    const told = (body: string): Buffer => post([JSON_TYPE, `Content-Length: ${body.length}`], body);
    const inChunks = (body: string): Buffer => post([JSON_TYPE, 'Transfer-Encoding: chunked'], chunked(body));
    for (const way of [told, inChunks]) {
      expect((await raw(way(fits))).status).toBe(201);
      expectRawProblem(await raw(way(over)), 413, 'body_too_large');
    }
  });

  it('that is too large by its own word is refused before it is sent', async () => {
    const answer = await raw(post([JSON_TYPE, 'Content-Length: 262145']));
    expectRawProblem(answer, 413, 'body_too_large');
  });

  it('without an end is refused at the limit, whatever still comes', async () => {
    const connection = await RawConnection.to(port);
    connection.send(post([JSON_TYPE, 'Transfer-Encoding: chunked']));
    const chunk = `10000\r\n${' '.repeat(65_536)}\r\n`;
    for (let sent = 0; sent < 5; sent += 1) connection.send(chunk);
    expectRawProblem((await connection.answer()) as RawAnswer, 413, 'body_too_large');
    connection.close();
  });

  it('that was refused leaves the connection good for the next request', async () => {
    const connection = await RawConnection.to(port);
    const over = bodyOf(USUAL_BODY_BYTES + 1);
    connection.send(post([JSON_TYPE, `Content-Length: ${over.length}`], over));
    expect((await connection.answer())?.status).toBe(413);
    connection.send(requestBytes('GET /livez'));
    expect((await connection.answer())?.status).toBe(200);
    connection.close();
  });

  it.each([
    'application/json',
    'application/json; charset=utf-8',
    'Application/JSON;charset="UTF-8"',
    'application/merge-patch+json',
  ])('is taken as %s', async (type) => {
    const body = JSON.stringify(report);
    const answer = await raw(post([`Content-Type: ${type}`, `Content-Length: ${body.length}`], body));
    expect(answer.status).toBe(201);
  });

  it.each([
    undefined,
    'text/json',
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/json; charset=latin1',
    'application/json; charset=utf-16',
    'application/jsonp',
    'application/json, text/plain',
    ';',
  ])('is not taken as %s', async (type) => {
    const body = JSON.stringify(report);
    const answer = await raw(
      post(
        [type === undefined ? undefined : `Content-Type: ${type}`, `Content-Length: ${body.length}`],
        body,
      ),
    );
    expectRawProblem(answer, 415, 'unsupported_content_type');
  });

  it.each(['gzip', 'br', 'deflate', 'identity, gzip'])(
    'is not taken in the encoding %s',
    async (encoding) => {
      const headers = [JSON_TYPE, `Content-Encoding: ${encoding}`, 'Content-Length: 2'];
      expectRawProblem(await raw(post(headers, '{}')), 415, 'unsupported_content_encoding');
    },
  );

  describe('is not looked at before the guard', () => {
    const length = `Content-Length: ${JSON.stringify(report).length}`;

    it('has let the request pass: the 401 does not wait for it', async () => {
      const answer = await raw(requestBytes('POST /api/threats', [JSON_TYPE, length]));
      expectRawProblem(answer, 401, 'unauthenticated');
    });

    it('has let the request pass: who asks whether to send it hears 401 and not "go on"', async () => {
      const connection = await RawConnection.to(port);
      connection.send(requestBytes('POST /api/threats', [JSON_TYPE, length, 'Expect: 100-continue']));
      const answer = (await connection.answer()) as RawAnswer;
      expectRawProblem(answer, 401, 'unauthenticated');
      expect(answer.headers.connection).toBe('close');
      await connection.ended();
    });

    it('has let the request pass: who may come is told to go on, and answered after the body', async () => {
      const connection = await RawConnection.to(port);
      connection.send(requestBytes('POST /api/threats', [KEY, JSON_TYPE, length, 'Expect: 100-continue']));
      expect((await connection.answer())?.status).toBe(100);
      expect(await connection.isSilentFor(100)).toBe(true);
      connection.send(JSON.stringify(report));
      expect((await connection.answer())?.status).toBe(201);
      connection.send(requestBytes('GET /livez'));
      expect((await connection.answer())?.status).toBe(200);
      connection.close();
    });

    it('and one too large is not asked for either', async () => {
      const headers = [KEY, JSON_TYPE, 'Content-Length: 262145', 'Expect: 100-continue'];
      expectRawProblem(await raw(requestBytes('POST /api/threats', headers)), 413, 'body_too_large');
    });

    it('while an expectation that nobody knows is passed over', async () => {
      const body = JSON.stringify(report);
      const headers = [KEY, JSON_TYPE, length, 'Expect: the-inquisition'];
      expect((await raw(requestBytes('POST /api/threats', headers, body))).status).toBe(201);
    });
  });

  it.each([1, 10, 100])(
    'in pieces of %d bytes is put together, and the next request is heard',
    async (size) => {
      const body = JSON.stringify({ ...report, description: 'größer'.repeat(10) });
      const connection = await RawConnection.to(port);
      connection.send(post([JSON_TYPE, `Content-Length: ${Buffer.byteLength(body)}`]));
      const bytes = Buffer.from(body);
      for (let at = 0; at < bytes.length; at += size) {
        await sleep(1);
        connection.send(bytes.subarray(at, at + size));
      }
      const answer = (await connection.answer()) as RawAnswer;
      expect(answer.status).toBe(201);
      expect(JSON.parse(answer.body)).toMatchObject({ description: 'größer'.repeat(10) });
      connection.send(requestBytes('GET /livez'));
      expect((await connection.answer())?.status).toBe(200);
      connection.close();
    },
  );

  it('may be followed by the next request in the same packet', async () => {
    const one = JSON.stringify(report);
    const request = post([JSON_TYPE, `Content-Length: ${one.length}`], one);
    const connection = await RawConnection.to(port);
    connection.send(Buffer.concat([request, request, requestBytes('GET /livez'), request]));
    for (const status of [201, 201, 200, 201]) expect((await connection.answer())?.status).toBe(status);
    connection.close();
  });

  it('whose sender goes away half-way is neither a fault nor a threat', async () => {
    const before = service.logs.length;
    const connection = await RawConnection.to(port);
    connection.send(post([JSON_TYPE, 'Content-Length: 100', 'X-Request-ID: gone-half-way'], '{"type":'));
    await sleep(50);
    connection.close();
    const line = await logged((entry) => entry.request_id === 'gone-half-way' && entry.msg === 'request');
    expect(line.status).toBe(499);
    expect(service.logs.slice(before).filter(({ level }) => level === 'error')).toEqual([]);
  });
});

describe('the ids of a request', () => {
  const idOf = (answer: Answered | RawAnswer): unknown => answer.headers['x-request-id'];

  it.each(['a', 'x'.repeat(128), 'with spaces and / "quotes"', '~'])(
    'are taken when sane: %s',
    async (id) => {
      expect(idOf(await service.get('/livez').set('X-Request-ID', id))).toBe(id);
      const lost = await service.get('/nowhere').set('X-Request-ID', id);
      expect(expectProblem(lost, 404, 'no_such_route').request_id).toBe(id);
    },
  );

  it.each(['', 'x'.repeat(129), 'gr\xfc\xdfe', 'tab\there'])('are replaced when not: %j', async (id) => {
    const answer = await raw(requestBytes('GET /livez', [`X-Request-ID: ${id}`]));
    expect(idOf(answer)).toMatch(/^[0-9a-z]{20}$/);
  });

  it('are one when they are sent twice, with nothing at the ends that gets lost on the way', async () => {
    const twice = async (first: string, second: string): Promise<unknown> =>
      idOf(await raw(requestBytes('GET /livez', [`X-Request-ID: ${first}`, `X-Request-ID: ${second}`])));
    expect(await twice('a', 'b')).toBe('a, b');
    expect(await twice('a', '')).toMatch(/^[0-9a-z]{20}$/);
  });

  it('are made anew for each request and echoed on errors of every origin', async () => {
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
  ])('reach the events: %s', async (_what, headers, correlation) => {
    const made = await service.post('/api/threats', report).set(headers).expect(201);
    const events = await service.events({ subject: (made.body as Threat).id });
    expect(events.map(({ meta }) => meta.correlation_id)).toEqual([correlation]);
    const found = await service.events({ correlation_id: correlation });
    expect(found.map(({ id }) => id)).toContain(events[0]?.id);
  });
});

/** The first line of the log that is meant; it may be written a moment after the answer was read. */
async function logged(meant: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>> {
  const endMs = Date.now() + 5000;
  for (;;) {
    const line = service.logs.find(meant);
    if (line) return line;
    if (Date.now() > endMs) throw new Error('The log has no such line');
    await sleep(10);
  }
}

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
        correlation_id: 'c',
      },
    ]);
    expect(lines[0]?.ms).toBeGreaterThanOrEqual(0);
  });

  it('has a line for who was refused, without who that would have been', async () => {
    await service.get('/api/threats', '').set('X-Request-ID', 'nobody');
    const line = await logged(({ request_id }) => request_id === 'nobody');
    expect(line).toMatchObject({ status: 401, principal: null, route: '/api/threats' });
  });

  it('never holds a secret: no key, no header, no body, no query', async () => {
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
  it('is told without a key: the process lives, and the store is there', async () => {
    expect((await service.get('/livez', '').expect(200)).body).toEqual({ status: 'alive' });
    expect((await service.get('/readyz', '').expect(200)).body).toEqual({
      status: 'ready',
      store: 'embedded',
      warnings: [],
    });
    expect((await service.get('/api/threats/health', '').expect(200)).body).toEqual({ status: 'ok' });
  });

  it('says no on /readyz while the service drains, and lives on', async () => {
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

  it('says which part is not ready, as a warning at first and as a problem after the grace', async () => {
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
  it('opens without a key and takes everything from this service', async () => {
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
  ])('has no file but its own: %s', async (file) => {
    expectRawProblem(await raw(requestBytes(`GET /docs/${file}`)), 404, 'no_such_file');
  });
});
