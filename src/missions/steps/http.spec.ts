import { json, Target } from '../../../test/support/target.js';
import { httpStep } from './http.js';
import { type StepContext, StepFailure } from './step.js';

const context: StepContext = {
  agentId: 'a',
  idempotencyKey: 'k',
  signal: new AbortController().signal,
  expectAllowed: async () => undefined,
};

describe('a request to a private target', () => {
  const step = httpStep();

  it.each([
    'http://127.0.0.1:1/',
    'http://127.1:1/',
    'http://2130706433:1/',
    'http://0x7f000001:1/',
    'http://0x7f.1:1/',
    'http://0177.0.0.1:1/',
    'http://017700000001:1/',
    'http://0:1/',
    'http://[::1]:1/',
    'http://[::ffff:127.0.0.1]:1/',
    'http://[::ffff:7f00:1]:1/',
    'http://[fe80::1]:1/',
    'http://[::127.0.0.1]:1/',
    'http://[::ffff:8.8.8.8]:1/',
    'http://[64:ff9b::7f00:1]:1/',
    'http://[64:ff9b:1::7f00:1]:1/',
    'http://[2002:7f00:1::]:1/',
    'http://[fd00:ec2::254]/',
    'http://127.0.1:1/',
    'http://0x7f.0.0.0x1:1/',
    'http://%31%32%37.0.0.1:1/',
    'http://127.0.0.1.:1/',
    'http://\u{ff11}27.0.0.1:1/',
    'http://169.254.169.254/latest/meta-data/',
    'http://localhost:1/',
    'https://localhost:1/',
  ])('is refused in every notation: %s', async (url) => {
    expect(step.faults({ url }, 'written')).toEqual([]);
    await expect(step.run({ url }, context)).rejects.toMatchObject({ code: 'private_target', final: true });
  });
});

describe('the parameters of a request', () => {
  const step = httpStep();
  const url = 'HTTP://example.org/%61';

  it('have the URL in its one form when they are stored, unless a template is in it', () => {
    const written = { url, headers: { Accept: 'a/b' } };
    expect(step.normalized?.(written, 'written')).toEqual({ ...written, url: 'http://example.org/a' });
    const template = { url: `HTTP://example.org/\${data.x}` };
    expect(step.normalized?.(template, 'written')).toEqual(template);
  });

  it('have a method, and the names of headers in lower case, when the policies judge them', () => {
    const filled = (params: object): unknown => step.normalized?.({ url, ...params }, 'filled');
    const usual = { url: 'http://example.org/a' };
    expect(filled({})).toEqual({ ...usual, method: 'GET' });
    expect(filled({ body: null })).toEqual({ ...usual, method: 'POST', body: null });
    expect(filled({ method: 'PUT', headers: { 'X-Key': 'K' } })).toEqual({
      ...usual,
      method: 'PUT',
      headers: { 'x-key': 'K' },
    });
  });
});

describe('a request', () => {
  let target: Target;
  let other: Target;
  /** The test targets have the address 127.0.0.1. Every other address is refused. */
  const step = httpStep({ refuses: (address) => address !== '127.0.0.1' });
  const send = (params: object): Promise<unknown> => step.run(params as Record<string, unknown>, context);

  beforeAll(async () => {
    [target, other] = await Promise.all([Target.start(), Target.start()]);
    target.on('/away', (_asked, response) => response.writeHead(302, { Location: `${other.url}/` }).end());
    target.on('/same', (_asked, response) => response.writeHead(307, { Location: '/there' }).end());
    target.on('/see', (_asked, response) => response.writeHead(303, { Location: '/there' }).end());
    target.on('/loop', (_asked, response) => response.writeHead(302, { Location: '/loop' }).end());
    target.on('/broken', (_asked, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json' }).end('{"half": ');
    });
    target.on('/half', (_asked, response) => {
      response.writeHead(200, { 'Content-Length': '1000' }).write('begun');
      setTimeout(() => response.destroy(), 20);
    });
    target.on('/endless', (_asked, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536)));
      };
      response.on('drain', more);
      more();
    });
    target.on('/later', (_asked, response) => json(response, {}, 503));
    target.on('/never', (_asked, response) => json(response, {}, 404));
  });
  afterAll(() => Promise.all([target.stop(), other.stop()]));

  it.each(['http://127.0.0.2:1/', 'http://[::1]:1/', 'http://169.254.169.254/', 'http://2130706434:1/'])(
    'follows no redirect to a private target: %s',
    async (place) => {
      target.on('/private', (_asked, response) => response.writeHead(302, { Location: place }).end());
      await expect(send({ url: `${target.url}/private` })).rejects.toMatchObject({
        code: 'private_target',
        final: true,
      });
    },
  );

  it.each(['file:///etc/passwd', 'http://me:secret@example.org/', 'gopher://example.org/', 'http://'])(
    'follows no redirect to %s',
    async (place) => {
      target.on('/strange', (_asked, response) => response.writeHead(302, { Location: place }).end());
      await expect(send({ url: `${target.url}/strange` })).rejects.toMatchObject({ code: 'bad_redirect' });
    },
  );

  it('sends no credentials to another origin after a redirect', async () => {
    const headers = {
      Authorization: 'Bearer secret',
      'X-Api-Key': 'secret',
      'X-Mine': 'secret',
      Accept: 'a/b',
    };
    await send({ url: `${target.url}/away`, headers });
    expect(JSON.stringify(target.asked.at(-1)?.headers).match(/secret/g)).toHaveLength(3);
    const [asked] = other.asked;
    expect(JSON.stringify(asked)).not.toContain('secret');
    expect(asked?.headers).toMatchObject({ accept: 'a/b', 'idempotency-key': 'k' });
  });

  it.each([
    ['POST', 307],
    ['POST', 308],
    ['PUT', 302],
    ['PATCH', 301],
  ])('sends no body to another origin: %s and %s', async (method, status) => {
    target.on('/elsewhere', (_asked, response) =>
      response.writeHead(status, { Location: `${other.url}/body` }).end(),
    );
    const sent = send({ url: `${target.url}/elsewhere`, method, body: { secret: 1 } });
    await expect(sent).rejects.toMatchObject({ code: 'body_redirected', final: true });
    expect(other.times('/body')).toBe(0);
  });

  it('goes on after a redirect only if the policies allow the request as it is then', async () => {
    const expectAllowed = jest.fn<Promise<void>, [Record<string, unknown>]>();
    const params = {
      url: `${target.url}/away`,
      headers: { Authorization: 'x', Accept: 'a/b' },
      body: 'text',
    };
    const before = other.asked.length;
    await step.run(params, { ...context, expectAllowed });
    const asked = { url: `${other.url}/`, method: 'GET', headers: { Accept: 'a/b' } };
    expect(expectAllowed.mock.calls).toEqual([[asked]]);
    expectAllowed.mockRejectedValue(new StepFailure('denied_by_policy', 'no', true, 'd'));
    const refused = step.run(params, { ...context, expectAllowed });
    await expect(refused).rejects.toMatchObject({ code: 'denied_by_policy', decisionId: 'd' });
    expect(other.asked.length).toBe(before + 1);
  });

  it('keeps its method on 307 and becomes a GET on 303', async () => {
    const params = { method: 'PUT', body: { a: 1 }, headers: { Authorization: 'Bearer mine' } };
    await send({ ...params, url: `${target.url}/same` });
    expect(target.asked.at(-1)).toMatchObject({ method: 'PUT', path: '/there', body: '{"a":1}' });
    expect(target.asked.at(-1)?.headers.authorization).toBe('Bearer mine');
    await send({ ...params, url: `${target.url}/see` });
    expect(target.asked.at(-1)).toMatchObject({ method: 'GET', path: '/there', body: '' });
  });

  it('returns status, headers and body, with JSON parsed', async () => {
    expect(await send({ url: `${target.url}/x?y=1`, body: 'text' })).toMatchObject({
      status: 200,
      headers: { 'content-type': 'application/json' },
      body: { path: '/x?y=1' },
    });
    expect(target.asked.at(-1)).toMatchObject({ method: 'POST', body: 'text' });
    expect(await send({ url: `${target.url}/never`, expected_status: [200, 404] })).toMatchObject({
      status: 404,
    });
  });

  it.each([
    ['/loop', 'too_many_redirects', true],
    ['/broken', 'malformed_answer', false],
    ['/half', 'http_failed', false],
    ['/endless', 'answer_too_large', true],
    ['/later', 'unexpected_status', false],
    ['/never', 'unexpected_status', true],
  ])('to %s fails as %s', async (path, code, final) => {
    await expect(send({ url: target.url + path })).rejects.toMatchObject({ code, final });
  });

  it('fails if nothing listens, and may be tried again', async () => {
    await expect(send({ url: 'http://127.0.0.1:1/' })).rejects.toMatchObject({
      code: 'http_failed',
      final: false,
    });
  });
});
