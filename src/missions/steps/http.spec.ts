import { json, Target } from '../../../test/support/target.js';
import { httpStep, isPrivate } from './http.js';

const context = { agentId: 'a', idempotencyKey: 'k', signal: new AbortController().signal };

describe('a private address', () => {
  it.each([
    '0.0.0.0',
    '10.0.0.1',
    '100.64.0.1',
    '127.0.0.1',
    '127.255.255.254',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.0.0.1',
    '192.0.2.1',
    '192.168.1.1',
    '198.18.0.1',
    '198.51.100.1',
    '203.0.113.1',
    '224.0.0.1',
    '240.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    'fe80::1',
    'fc00::1',
    'fd12:3456:789a::1',
    'fec0::1',
    'ff02::1',
    '2001:db8::1',
    '2001::1',
    '2002:7f00:1::',
    '64:ff9b::7f00:1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::ffff:169.254.169.254',
    '::ffff:10.0.0.1',
    '::127.0.0.1',
    '100::1',
    // The edges of the private ranges.
    '0.255.255.255',
    '100.127.255.255',
    '169.254.0.0',
    '192.0.0.255',
    '192.31.196.1',
    '192.52.193.1',
    '192.88.99.1',
    '192.175.48.1',
    '198.19.255.255',
    '239.255.255.255',
    '240.0.0.0',
    // IPv4-mapped and IPv4-compatible: every spelling of a private address, and no public one in hex.
    '::ffff:0:0',
    '::FFFF:127.0.0.1',
    '::ffff:100.64.0.1',
    '::ffff:198.18.0.1',
    '::ffff:255.255.255.255',
    '0:0:0:0:0:ffff:7f00:1',
    '::ffff:808:808',
    '::8.8.8.8',
    '::808:808',
    '::ffff:0:127.0.0.1',
    // 6to4, Teredo and NAT64 contain an IPv4 address, public or not.
    '2002:808:808::1',
    '2002:a00:1::1',
    '2002:c0a8:101::',
    '2001:0:4136:e378:8000:63bf:3fff:fdd2',
    '2001:1ff:ffff::1',
    '64:ff9b::8.8.8.8',
    '64:ff9b::169.254.169.254',
    '64:ff9b:1::1',
    '64:ff9b:1:ffff:ffff:ffff:7f00:1',
    // The other ranges of IPv6 that are not public.
    'fd00:ec2::254',
    'fdff:ffff::1',
    'febf::1',
    'feff::1',
    'ff0e::1',
    '2001:2::1',
    '2001:3::1',
    '2001:20::1',
    '3fff::',
    '3fff::1',
    '3fff:fff:ffff::1',
    '4000::1',
    '5f00::1',
    '2620:4f:8000::1',
    // Services of the host that are at a public address.
    '168.63.129.16',
    '::ffff:168.63.129.16',
    '::FFFF:168.63.129.16',
    // Zone ids, whatever address carries them.
    'fe80::1%eth0',
    'fe80::1%1',
    '2606:4700::1111%eth0',
    '::1%lo',
    // Spellings that two parsers may read in two ways: octal, hex, short, decimal.
    '0177.0.0.1',
    '010.0.0.1',
    '08.8.8.8',
    '0x7f.0.0.1',
    '0x7f000001',
    '127.1',
    '127.0.1',
    '2130706433',
    '8.8',
    '0',
    // Text that is no address.
    '',
    'localhost',
    '[::1]',
    '1.2.3.4.5',
    '256.1.1.1',
  ])('is %s', (address) => {
    expect(isPrivate(address)).toBe(true);
  });

  it.each([
    '1.1.1.1',
    '8.8.8.8',
    '172.15.0.1',
    '172.32.0.1',
    '100.128.0.1',
    '169.253.0.1',
    '192.167.0.1',
    '223.255.255.255',
    '2606:4700::1111',
    '2a00:1450:4001::1',
    '2001:200::1',
    '::ffff:8.8.8.8',
    '1.0.0.0',
    '100.63.255.255',
    '198.17.255.255',
    '198.20.0.0',
    '192.0.1.0',
    '168.63.129.15',
    '168.63.129.17',
    '3ffe:ffff::1',
  ])('is not %s', (address) => {
    expect(isPrivate(address)).toBe(false);
  });
});

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

describe('a request', () => {
  let target: Target;
  let other: Target;
  /** The test targets have the address 127.0.0.1. Every other address is refused. */
  const step = httpStep((address) => address !== '127.0.0.1');
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
