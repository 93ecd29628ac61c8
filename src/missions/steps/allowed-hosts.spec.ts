import { SettingFault } from '../../config/config.js';
import { AllowedHosts } from './allowed-hosts.js';
import { targetUrl } from './target-url.js';

const has = (setting: string, url: string): boolean => AllowedHosts.parse(setting).has(targetUrl(url) as URL);

describe('the allowed hosts', () => {
  it.each([
    ['api.example.com', 'https://api.example.com/', true],
    ['api.example.com', 'http://API.example.com.:8080/x', true],
    ['api.example.com', 'https://example.com/', false],
    ['api.example.com', 'https://x.api.example.com/', false],
    ['api.example.com', 'https://api.example.com.evil.example/', false],
    ['*.example.com', 'https://a.b.example.com/', true],
    ['*.example.com', 'https://example.com/', false],
    ['*.example.com', 'https://evilexample.com/', false],
    ['a.example, *.EXAMPLE.org:8443', 'https://x.example.org:8443/', true],
    ['a.example, *.EXAMPLE.org:8443', 'https://x.example.org/', false],
    ['example.com:443', 'https://example.com/', true],
    ['example.com:443', 'http://example.com/', false],
    ['127.1', 'http://127.0.0.1:9/', true],
    ['[::1]:80', 'http://[0:0:0:0:0:0:0:1]/', true],
    ['[::1]:80', 'http://[::1]:81/', false],
    ['bücher.example', 'https://xn--bcher-kva.example/', true],
  ])('of %j and %s: %s', (setting, url, allowed) => {
    expect(has(setting, url)).toBe(allowed);
  });

  it('are all, if there is no list', () => {
    expect(AllowedHosts.all.has(new URL('https://anything.example/'))).toBe(true);
  });

  it.each([
    '',
    ' ',
    ',',
    'a,',
    '*',
    '*.',
    '*.*.a',
    'http://a.example',
    'a.example/path',
    'a b',
    'a@b',
    'a:0',
    'a:65536',
    'a:x',
    '[::1',
    '%41',
  ])('cannot be %j', (setting) => {
    expect(() => AllowedHosts.parse(setting)).toThrow(SettingFault);
  });
});
