import fc from 'fast-check';
import { partsOf, targetUrl } from './target-url.js';

describe('the one form of a URL', () => {
  const wanted = 'http://127.0.0.1:18390/admin';

  it.each([
    'HTTP://127.0.0.1:18390/admin',
    ' http://127.0.0.1:18390/admin',
    'http:127.0.0.1:18390/admin',
    'http:\\\\127.0.0.1:18390/admin',
    'http://127.0.0.1:18390/x/../admin',
    'http://127.1:18390/admin',
    'ht\ttp://127.0.0.1:18390/admin',
    'http://127.0.0.1:018390/admin',
    'http://127.0.0.1.:18390/admin',
    'http://127.0.0.1:18390/%61dmin',
    'http://127.0.0.1:18390/%2e/admin#part',
  ])('is the same for %j', (text) => {
    expect(targetUrl(text)?.href).toBe(wanted);
  });

  it('keeps what is another URL: another name of a host, an encoded slash, a query', () => {
    expect(targetUrl('http://localhost:18390/admin')?.href).toBe('http://localhost:18390/admin');
    expect(targetUrl('http://a.example/x%2fadmin?q=%61#f')?.href).toBe('http://a.example/x%2Fadmin?q=%61');
    expect(targetUrl('http://a.example/%%36%31')?.href).toBe('http://a.example/%2561');
    expect(targetUrl('https://EXAMPLE.org.')?.href).toBe('https://example.org/');
  });

  it.each([
    'ftp://example.org/',
    'http://me:secret@example.org/',
    'http://me@example.org/',
    'http://',
    'http://./',
    'http://example.org../',
    'example.org',
    `http://example.org/${'a'.repeat(2048)}`,
    `http://example.org/${'\u{4e00}'.repeat(300)}`,
    7,
    undefined,
  ])('does not exist for %j', (text) => {
    expect(targetUrl(text)).toBeUndefined();
  });

  it('has the parts that policies name', () => {
    expect(partsOf(targetUrl('HTTPS://API.example.org/a/../b%2D?x=1') as URL)).toEqual({
      scheme: 'https',
      host: 'api.example.org',
      port: 443,
      path: '/b-',
    });
    expect(partsOf(targetUrl('http://[::1]:8080') as URL)).toEqual({
      scheme: 'http',
      host: '[::1]',
      port: 8080,
      path: '/',
    });
  });

  it('is its own form, and has no letter encoded and no step up, whatever the text is', () => {
    const piece = fc.constantFrom(
      '%',
      '2',
      '5',
      '6',
      '1',
      'e',
      'E',
      '.',
      '/',
      '\\',
      'a',
      '?',
      '#',
      ':',
      '@',
      ' ',
      '\t',
    );
    const text = fc.array(piece, { maxLength: 30 }).map((pieces) => `http://h.example/${pieces.join('')}`);
    fc.assert(
      fc.property(text, (given) => {
        const url = targetUrl(given);
        if (!url) return;
        expect(targetUrl(url.href)?.href).toBe(url.href);
        expect(url.pathname).not.toMatch(
          /%(?![0-9A-F]{2})|%(2[DE]|3\d|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])/,
        );
        expect(url.pathname.split('/')).not.toContain('..');
      }),
      { numRuns: 2000 },
    );
  });
});
