import { httpStep, isPrivate } from './missions.step.http.js';

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
    '::ffff:8.8.8.8',
  ])('is not %s', (address) => {
    expect(isPrivate(address)).toBe(false);
  });
});

describe('a request to a private target', () => {
  const step = httpStep(false);
  const context = { agentId: 'a', idempotencyKey: 'k', signal: new AbortController().signal };

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
    'http://169.254.169.254/latest/meta-data/',
    'http://localhost:1/',
    'https://localhost:1/',
  ])('is refused however it is written: %s', async (url) => {
    expect(step.faults({ url }, 'written')).toEqual([]);
    await expect(step.run({ url }, context)).rejects.toMatchObject({ code: 'private_target', final: true });
  });
});
