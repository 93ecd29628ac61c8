/** `Location`, and that OpenAPI declares the headers of answers. */
import type { Response } from 'supertest';
import { httpService, report } from './support/http.js';

const { service } = httpService();

interface Document {
  paths: Record<string, Record<string, { responses: Record<string, { headers?: object }> }>>;
  components: { headers: Record<string, { description: string; schema: object }> };
}
const document = async (): Promise<Document> => (await service.get('/openapi.json')).body as Document;

/** The headers of answers that tell clients something, other than those of HTTP itself. */
const TELLING = ['etag', 'location', 'policy-revision', 'retry-after', 'www-authenticate', 'x-request-id'];

const policy = (id: string): object => ({ policy_id: id, name: 'Policy', rules: [] });
const rule = { rule_id: 'r_1', name: 'Rule', effect: 'allow' };
const mission = { id: 'm:1', name: 'Mission', steps: [] };

describe('the answer to a create', () => {
  it.each<[string, object, string]>([
    ['/api/policy/policies', policy('first'), '/api/policy/policies/first'],
    ['/api/policy/policies/first/rules', rule, '/api/policy/policies/first/rules/r_1'],
    ['/api/missions', mission, '/api/missions/m%3A1'],
  ])('has the Location of the new resource: %s', async (path, body, location) => {
    const made = await service.post(path, body).set('Idempotency-Key', path);
    expect([made.status, made.headers.location]).toEqual([201, location]);
    const again = await service.post(path, body).set('Idempotency-Key', path);
    expect([again.status, again.headers.location]).toEqual([201, location]);
    if (!path.endsWith('/rules')) await service.get(location).expect(200);
  });

  it('has none if a report counts as one more occurrence of a threat', async () => {
    const body = { ...report, fingerprint: 'one-of-many' };
    const made = await service.post('/api/threats?', body).expect(201);
    expect(made.headers.location).toBe(`/api/threats/${(made.body as { id: string }).id}`);
    const counted = await service.post('/api/threats', body).expect(200);
    expect(counted.headers.location).toBeUndefined();
  });

  it('has none for a key, which no route reads', async () => {
    const made = await service.post('/api/keys', { name: 'n', role: 'viewer' }).expect(201);
    expect(made.headers.location).toBeUndefined();
  });
});

describe('OpenAPI', () => {
  it.each<[string, string, number, string[], () => PromiseLike<Response>]>([
    ['post', '/api/threats', 201, ['etag', 'location'], () => service.post('/api/threats', report)],
    ['get', '/api/threats', 401, ['www-authenticate'], () => service.get('/api/threats', '')],
    ['get', '/api/threats/{id}', 404, [], () => service.get('/api/threats/nothing')],
    [
      'post',
      '/api/policy/policies',
      201,
      ['etag', 'location', 'policy-revision'],
      () => service.post('/api/policy/policies', policy('second')),
    ],
    [
      'get',
      '/api/policy/policies/{policy_id}',
      200,
      ['etag'],
      () => service.get('/api/policy/policies/second'),
    ],
    [
      'put',
      '/api/policy/policies/{policy_id}',
      200,
      ['etag', 'policy-revision'],
      () => service.put('/api/policy/policies/second', { name: 'Other' }),
    ],
    [
      'delete',
      '/api/policy/policies/{policy_id}',
      204,
      ['policy-revision'],
      () => service.delete('/api/policy/policies/second'),
    ],
    [
      'post',
      '/api/policy/import',
      200,
      ['policy-revision'],
      () => service.post('/api/policy/import', { policies: [] }),
    ],
    [
      'post',
      '/api/missions',
      201,
      ['etag', 'location'],
      () => service.post('/api/missions', { name: 'm', steps: [] }),
    ],
  ])('declares the headers of %s %s with %s', async (method, path, status, names, ask) => {
    const answer = await ask();
    const sent = Object.keys(answer.headers as object).filter((name) => TELLING.includes(name));
    expect([answer.status, sent.sort()]).toEqual([status, [...names, 'x-request-id'].sort()]);
    const { paths, components } = await document();
    const declared = Object.keys(paths[path]?.[method]?.responses[status]?.headers ?? {});
    expect(declared.map((name) => name.toLowerCase()).sort()).toEqual(sent.sort());
    for (const name of declared) expect(components.headers[name]?.description).toMatch(/^[A-Z]/);
  });

  it('declares Retry-After where an answer asks to come back, and the request id everywhere', async () => {
    for (const methods of Object.values((await document()).paths)) {
      for (const { responses } of Object.values(methods)) {
        for (const [status, { headers = {} }] of Object.entries(responses)) {
          const comeBack = status === '429' || status === '503';
          expect([status, 'Retry-After' in headers]).toEqual([status, comeBack]);
          expect(headers).toHaveProperty('X-Request-ID');
        }
      }
    }
  });

  it('has no traces of how headers are declared', async () => {
    expect(JSON.stringify(await document())).not.toContain('x-answer-header');
  });
});
