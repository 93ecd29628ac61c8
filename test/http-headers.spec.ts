/** The headers of every answer. */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { gunzipSync } from 'node:zlib';
import type { Response } from 'supertest';
import { httpService, KEY, report } from './support/http.js';
import { requestBytes } from './support/raw-http.js';
import { serviceOn, startEmbedded } from './support/stores.js';

const { service, connect, raw, make } = httpService();

describe('every answer has the headers that protect it in a browser', () => {
  const protection = (headers: Record<string, unknown>): unknown[] => [
    headers['x-content-type-options'],
    headers['referrer-policy'],
    headers['cache-control'],
    headers['strict-transport-security'],
  ];
  const protectedWith = (cacheControl: string): unknown[] => [
    'nosniff',
    'no-referrer',
    cacheControl,
    undefined,
  ];

  it.each<[string, number, () => PromiseLike<Response>]>([
    ['data', 200, () => service.get('/api/threats')],
    ['new data', 201, () => service.post('/api/threats', report)],
    ['YAML', 200, () => service.get('/api/policy/export')],
    ['no content', 204, () => service.delete('/api/policy/policies/guest_read_only')],
    ['a problem', 401, () => service.get('/api/threats', '')],
    ['a fault of the input', 422, () => service.post('/api/threats', {})],
    ['an unknown route', 404, () => service.get('/nowhere')],
    ['a missing file', 404, () => service.get('/docs/nothing.js')],
    ['an unreadable path', 400, () => service.get('/api/threats/%ff')],
    ['the explorer', 200, () => service.get('/docs')],
    ['a script of the explorer', 200, () => service.get('/docs/start.js')],
  ])('%s', async (_what, status, ask) => {
    const answer = await ask();
    expect([answer.status, ...protection(answer.headers)]).toEqual([status, ...protectedWith('no-store')]);
  });

  it('files of the explorer and the AuthZEN metadata, which may be kept', async () => {
    const file = await service.get('/docs/swagger-ui.css', '').expect(200);
    expect(protection(file.headers)).toEqual(protectedWith('public, max-age=3600'));
    const metadata = await service.get('/.well-known/authzen-configuration', '').expect(200);
    expect(protection(metadata.headers)).toEqual(protectedWith('private, max-age=3600'));
  });

  it('HEAD, and a live stream', async () => {
    const { id } = await make();
    const head = await service.app
      .getUrl()
      .then((url) =>
        fetch(`${url}/api/threats/${id}`, { method: 'HEAD', headers: { Authorization: KEY.slice(15) } }),
      );
    expect([head.status, ...protection(Object.fromEntries(head.headers))]).toEqual([
      200,
      ...protectedWith('no-store'),
    ]);
    const connection = await connect();
    connection.send(requestBytes('GET /api/events/stream', [KEY]));
    const headers = (await connection.answer())?.headers ?? {};
    expect(protection(headers)).toEqual(protectedWith('no-store, no-transform'));
    connection.close();
  });

  it('an answer to bytes that are not HTTP', async () => {
    expect(protection((await raw('hello\r\n\r\n')).headers)).toEqual(protectedWith('no-store'));
  });
});

describe('Strict-Transport-Security', () => {
  const behindProxy = serviceOn(startEmbedded, { BRAIN_TRUST_PROXY: '1' });
  const hsts = async (on: typeof service, path: string, proto: string): Promise<unknown> =>
    (await on.get(path).set('X-Forwarded-Proto', proto)).headers['strict-transport-security'];

  it('is sent if a trusted proxy says that the request came through TLS, and else never', async () => {
    expect(await hsts(behindProxy, '/api/threats', 'https')).toBe('max-age=31536000');
    expect(await hsts(behindProxy, '/nowhere', 'https')).toBe('max-age=31536000');
    expect(await hsts(behindProxy, '/api/threats', 'http')).toBeUndefined();
    expect(await hsts(service, '/api/threats', 'https')).toBeUndefined();
  });
});

describe('the explorer', () => {
  it('keeps no key in the browser', async () => {
    expect((await service.get('/docs/start.js').expect(200)).text).not.toContain('persistAuthorization');
  });
});

describe('a large answer', () => {
  const load = async (coding: string, path = '/api/threats?limit=500', method = 'GET'): Promise<Raw> => {
    const url = new URL(path, await service.app.getUrl());
    const headers = { Authorization: KEY.slice(15), 'Accept-Encoding': coding };
    return new Promise((resolve, reject) => {
      const asked = httpRequest(url, { method, headers }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('end', () => resolve({ headers: answer.headers, bytes: Buffer.concat(chunks) }));
      });
      asked.on('error', reject).end();
    });
  };
  interface Raw {
    headers: IncomingHttpHeaders;
    bytes: Buffer;
  }

  const stored = async (more: object): Promise<{ id: string }> =>
    (await service.post('/api/threats', { ...report, ...more }).expect(201)).body as { id: string };

  beforeAll(async () => {
    for (let n = 0; n < 60; n += 1) await stored({ description: 'é'.repeat(500) });
  });

  it('is compressed for clients that accept it, and is the same text', async () => {
    const plain = await load('identity');
    expect(plain.headers).toMatchObject({ vary: 'Accept-Encoding' });
    expect(plain.headers).not.toHaveProperty('content-encoding');
    const all = await Promise.all(Array.from({ length: 6 }, () => load('br, gzip;q=0.5')));
    const zipped = all.filter(({ headers }) => headers['content-encoding'] === 'gzip');
    // Two are compressed at one time; the others are sent as they are.
    expect(zipped.length).toBeGreaterThanOrEqual(2);
    for (const { headers, bytes } of zipped) {
      expect(headers).toMatchObject({ vary: 'Accept-Encoding', 'content-length': String(bytes.length) });
      expect(bytes.length).toBeLessThan(plain.bytes.length / 3);
      expect(gunzipSync(bytes).equals(plain.bytes)).toBe(true);
    }
  });

  it('is not compressed where it has an ETag or is short, nor for HEAD', async () => {
    const { id } = await stored({ metadata: { text: 'x'.repeat(30_000) } });
    const one = await load('gzip', `/api/threats/${id}`);
    expect(one.headers).toHaveProperty('etag');
    expect(one.headers).not.toHaveProperty('content-encoding');
    expect((await load('gzip', '/api/policy/stats')).headers).not.toHaveProperty('content-encoding');
    const head = await load('gzip', '/api/threats?limit=500', 'HEAD');
    expect(head.headers).not.toHaveProperty('content-encoding');
    expect(Number(head.headers['content-length'])).toBeGreaterThan(16_384);
  });
});
