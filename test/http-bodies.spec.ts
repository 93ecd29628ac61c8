/** How the bodies of requests are read: types, encodings, limits, and what happens before the body is read. */
import { USUAL_BODY_BYTES } from '../src/http/request.js';
import { sleep } from '../src/shared/clock.js';
import { httpService, JSON_TYPE, KEY, report } from './support/http.js';
import { expectRawProblem } from './support/problem.js';
import { type RawAnswer, requestBytes } from './support/raw-http.js';

const { service, connect, raw, logged } = httpService();

/** A threat whose body has exactly so many bytes, most of them blanks. */
const bodyOf = (bytes: number): string => JSON.stringify(report).padEnd(bytes);
const chunked = (body: string): string =>
  `${[...(body.match(/.{1,40000}/gs) ?? [])].map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join('')}0\r\n\r\n`;

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
  ])('that is not JSON gets 400: %s', async (_what, body) => {
    const answer = await raw(post([JSON_TYPE, `Content-Length: ${Buffer.byteLength(body)}`], body));
    expectRawProblem(answer, 400, 'malformed_json');
  });

  it.each([
    ['/api/threats', '{"type": "a", "type": "b"}', '/type'],
    ['/api/policy/evaluate', '{"agent_role": "guest", "agent\\u005frole": "admin"}', '/agent_role'],
    [
      '/api/policy/evaluate/batch',
      '{"evaluations": [{"params": {"a": [1], "a": 1}}]}',
      '/evaluations/0/params/a',
    ],
    ['/api/policy/test-rule', '{"policies": [{"name": "a", "name": "a"}]}', '/policies/0/name'],
    ['/api/policy/policies', '{"rules": [{}, {"effect": "deny", "effect": "allow"}]}', '/rules/1/effect'],
    ['/api/policy/import', '{"policies": [], "policies": []}', '/policies'],
    ['/access/v1/evaluation', '{"subject": {"id": "a", "id" : "b"}}', '/subject/id'],
    ['/access/v1/evaluations', '{"evaluations": [{"a/b": 1, "a/b": 1}]}', '/evaluations/0/a~1b'],
  ])('with a duplicate member gets 400 with its pointer: %s', async (route, body, pointer) => {
    const length = `Content-Length: ${body.length}`;
    const answer = await raw(requestBytes(`POST ${route}`, [KEY, JSON_TYPE, length], body));
    const detail = 'occurs twice in its object; send each member once';
    expect(expectRawProblem(answer, 400, 'malformed_json').errors).toEqual([
      { pointer, detail, code: 'duplicate_member' },
    ]);
  });

  it('that is long and nested deeply gets 400 before it is parsed', async () => {
    const body = `{"evaluations":${'['.repeat(1_000_000)}`;
    const length = `Content-Length: ${body.length}`;
    const answer = await raw(requestBytes('POST /api/policy/evaluate/batch', [KEY, JSON_TYPE, length], body));
    expect(expectRawProblem(answer, 400, 'malformed_json').detail).toMatch(
      /nests lists and objects too deeply/,
    );
  });

  it('may have a colon in a text wherever it likes', async () => {
    const body = JSON.stringify({ ...report, metadata: { a: ' : ":" ":', '": ': '{"a":1,"a":1}' } });
    const answer = await raw(post([JSON_TYPE, `Content-Length: ${body.length}`], body));
    expect(answer.status).toBe(201);
  });

  it.each(['[]', '"text"', '7', 'true'])('that is not an object gets 422: %s', async (body) => {
    const answer = await raw(post([JSON_TYPE, `Content-Length: ${body.length}`], body));
    expect(expectRawProblem(answer, 422, 'invalid_request').errors).toEqual([
      expect.objectContaining({ pointer: '' }),
    ]);
  });

  it('may have 256 KiB and not one byte more, with a declared length or in chunks', async () => {
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

  it('with a declared length above the limit is refused before it is sent', async () => {
    const answer = await raw(post([JSON_TYPE, 'Content-Length: 262145']));
    expectRawProblem(answer, 413, 'body_too_large');
  });

  it('without an end is refused at the limit, before all of it has arrived', async () => {
    const connection = await connect();
    connection.send(post([JSON_TYPE, 'Transfer-Encoding: chunked']));
    const chunk = `10000\r\n${' '.repeat(65_536)}\r\n`;
    for (let sent = 0; sent < 5; sent += 1) connection.send(chunk);
    expectRawProblem((await connection.answer()) as RawAnswer, 413, 'body_too_large');
    connection.close();
  });

  it('that is refused leaves the connection usable', async () => {
    const connection = await connect();
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
  ])('is accepted with the type %s', async (type) => {
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
  ])('is refused with the type %s', async (type) => {
    const body = JSON.stringify(report);
    const answer = await raw(
      post(
        [type === undefined ? undefined : `Content-Type: ${type}`, `Content-Length: ${body.length}`],
        body,
      ),
    );
    expectRawProblem(answer, 415, 'unsupported_content_type');
  });

  it.each(['gzip', 'br', 'deflate', 'identity, gzip'])('is refused in the encoding %s', async (encoding) => {
    const headers = [JSON_TYPE, `Content-Encoding: ${encoding}`, 'Content-Length: 2'];
    expectRawProblem(await raw(post(headers, '{}')), 415, 'unsupported_content_encoding');
  });

  describe('and the access guard', () => {
    const length = `Content-Length: ${JSON.stringify(report).length}`;

    it('are in order: a 401 does not wait for the body', async () => {
      const answer = await raw(requestBytes('POST /api/threats', [JSON_TYPE, length]));
      expectRawProblem(answer, 401, 'unauthenticated');
    });

    it('are in order: Expect: 100-continue without a key gets 401 and no 100', async () => {
      const connection = await connect();
      connection.send(requestBytes('POST /api/threats', [JSON_TYPE, length, 'Expect: 100-continue']));
      const answer = (await connection.answer()) as RawAnswer;
      expectRawProblem(answer, 401, 'unauthenticated');
      expect(answer.headers.connection).toBe('close');
      await connection.ended();
    });

    it('are in order: Expect: 100-continue with a key gets 100, and the answer after the body', async () => {
      const connection = await connect();
      connection.send(requestBytes('POST /api/threats', [KEY, JSON_TYPE, length, 'Expect: 100-continue']));
      expect((await connection.answer())?.status).toBe(100);
      expect(await connection.isSilentFor(100)).toBe(true);
      connection.send(JSON.stringify(report));
      expect((await connection.answer())?.status).toBe(201);
      connection.send(requestBytes('GET /livez'));
      expect((await connection.answer())?.status).toBe(200);
      connection.close();
    });

    it('are in order: Expect: 100-continue with a body above the limit gets 413', async () => {
      const headers = [KEY, JSON_TYPE, 'Content-Length: 262145', 'Expect: 100-continue'];
      expectRawProblem(await raw(requestBytes('POST /api/threats', headers)), 413, 'body_too_large');
    });

    it('are in order: an unknown expectation is ignored', async () => {
      const body = JSON.stringify(report);
      const headers = [KEY, JSON_TYPE, length, 'Expect: the-inquisition'];
      expect((await raw(requestBytes('POST /api/threats', headers, body))).status).toBe(201);
    });
  });

  it.each([1, 10, 100])('in pieces of %d bytes is put together, and the next request works', async (size) => {
    const body = JSON.stringify({ ...report, description: 'größer'.repeat(10) });
    const connection = await connect();
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
  });

  it('may be followed by the next request in the same packet', async () => {
    const one = JSON.stringify(report);
    const request = post([JSON_TYPE, `Content-Length: ${one.length}`], one);
    const connection = await connect();
    connection.send(Buffer.concat([request, request, requestBytes('GET /livez'), request]));
    for (const status of [201, 201, 200, 201]) expect((await connection.answer())?.status).toBe(status);
    connection.close();
  });

  it('whose sender disconnects half-way is logged with 499 and causes no error', async () => {
    const before = service.logs.length;
    const connection = await connect();
    connection.send(post([JSON_TYPE, 'Content-Length: 100', 'X-Request-ID: gone-half-way'], '{"type":'));
    await sleep(50);
    connection.close();
    const line = await logged((entry) => entry.request_id === 'gone-half-way' && entry.msg === 'request');
    expect(line.status).toBe(499);
    expect(service.logs.slice(before).filter(({ level }) => level === 'error')).toEqual([]);
  });
});
