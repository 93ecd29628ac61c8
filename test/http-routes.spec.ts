/** Paths are exact, and the methods of a path are known. */
import { httpService, KEY } from './support/http.js';
import { expectRawProblem } from './support/problem.js';
import { requestBytes } from './support/raw-http.js';

const { service, connect, raw, make } = httpService();

describe('a path', () => {
  it.each([
    'GET /API/threats',
    'GET /api/Threats',
    'GET /api/threats/',
    'GET /api/threats/?limit=1',
    'GET //api/threats',
    'GET /api//threats',
    'GET /api/threats#x',
    'GET /api/threats/a#x',
    'GET http://brain.test/api/threats',
    'GET http://brain.test/api/threats/a',
    'GET /LIVEZ',
    'GET /docs/',
    'GET /Docs/swagger-ui.css',
    'POST /api/keys/',
    'POST /api/threats/a/STATUS',
    'OPTIONS *',
    'OPTIONS /api/keys/',
  ])('that is not written exactly is unknown: %s', async (line) => {
    expectRawProblem(await raw(requestBytes(line, [KEY])), 404, 'no_such_route');
  });

  it('with an id is as exact', async () => {
    const { id } = await make();
    await service.get(`/api/threats/${id}`).expect(200);
    await service.get(`/api/threats/${id}?`).expect(200);
    for (const path of [`/api/THREATS/${id}`, `/api/threats/${id}/`])
      expectRawProblem(await raw(requestBytes(`GET ${path}`, [KEY])), 404, 'no_such_route');
    expectRawProblem(await raw(requestBytes('GET /api/threats/HEALTH', [KEY])), 404, 'threat_not_found');
  });
});

/** By path: its methods. */
const METHODS: [path: string, allow: string][] = [
  ['/livez', 'GET, HEAD, OPTIONS'],
  ['/api/threats', 'GET, HEAD, OPTIONS, POST'],
  ['/api/threats?limit=x', 'GET, HEAD, OPTIONS, POST'],
  ['/api/threats/some-id', 'DELETE, GET, HEAD, OPTIONS'],
  ['/api/threats/some-id/status', 'OPTIONS, POST'],
  ['/api/keys/some-id', 'DELETE, OPTIONS'],
  ['/api/policy/policies/p', 'DELETE, GET, HEAD, OPTIONS, PUT'],
  ['/docs/swagger-ui.css', 'GET, HEAD, OPTIONS'],
];

describe('a method', () => {
  it.each(METHODS)('that %s does not have gets 405, also without a key', async (path, allow) => {
    for (const method of ['PATCH', 'TRACE', ...(allow.includes('GET') ? [] : ['GET'])]) {
      const answer = await raw(requestBytes(`${method} ${path}`));
      expect(expectRawProblem(answer, 405, 'method_not_allowed').detail).toContain(`${method} `);
      expect(answer.headers.allow).toBe(allow);
    }
  });

  it.each(METHODS)(
    'is allowed on %s as OPTIONS says, without a key and with nothing else',
    async (path, allow) => {
      const answer = await raw(requestBytes(`OPTIONS ${path}`));
      expect([answer.status, answer.headers.allow, answer.body]).toEqual([204, allow, '']);
      const revealed = Object.keys(answer.headers).filter((name) =>
        /^(access-control|etag|content)/.test(name),
      );
      expect(revealed).toEqual([]);
    },
  );

  it('HEAD is allowed where GET is, and gets 405 without a body elsewhere', async () => {
    const connection = await connect();
    for (const [path, status] of [
      ['/api/threats', 200],
      ['/api/policy/evaluate', 405],
      ['/nowhere', 404],
    ] as const) {
      connection.send(requestBytes(`HEAD ${path}`, [KEY]));
      expect([path, (await connection.answer(undefined, true))?.status]).toEqual([path, status]);
    }
    connection.close();
  });

  it('may come with a body, which is not read, and the connection stays usable', async () => {
    const connection = await connect();
    for (const [method, status] of [
      ['PUT', 405],
      ['OPTIONS', 204],
    ] as const) {
      connection.send(requestBytes(`${method} /api/threats`, ['Content-Length: 2'], '{}'));
      expect((await connection.answer())?.status).toBe(status);
    }
    connection.send(requestBytes('GET /livez'));
    expect((await connection.answer())?.status).toBe(200);
    connection.close();
  });
});
