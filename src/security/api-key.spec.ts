import { sha256 } from '../shared/ids.js';
import { digestOf, isExpired, isKeyId, isWellFormedKey, makeKey, makeKeyId } from './api-key.js';

describe('an API key', () => {
  it('has the prefix, 32 random bytes and a checksum in base62', () => {
    const keys = Array.from({ length: 1000 }, makeKey);
    expect(new Set(keys).size).toBe(1000);
    for (const key of keys) {
      expect(key).toMatch(/^brn_[0-9A-Za-z]{49}$/);
      expect(isWellFormedKey(key)).toBe(true);
    }
  });

  it('is recognized as mistyped if one character is changed, missing or swapped', () => {
    const key = makeKey();
    for (let i = 0; i < key.length; i += 1) {
      expect(isWellFormedKey(key.slice(0, i) + (key[i] === 'x' ? 'y' : 'x') + key.slice(i + 1))).toBe(false);
      expect(isWellFormedKey(key.slice(0, i) + key.slice(i + 1))).toBe(false);
      const swapped = key.slice(0, i) + (key[i + 1] ?? '') + key[i] + key.slice(i + 2);
      if (swapped !== key) expect(isWellFormedKey(swapped)).toBe(false);
    }
    expect(isWellFormedKey('')).toBe(false);
    expect(isWellFormedKey(`${key}\n`)).toBe(false);
  });

  it('has the same digest with both functions of Node', () => {
    const key = makeKey();
    expect(digestOf(key)).toBe(sha256(key));
  });

  it('has an id in a form that is checked', () => {
    expect(isKeyId(makeKeyId())).toBe(true);
    for (const id of ['', 'key_', 'bootstrap', `key_${'a'.repeat(5000)}`, 'key_ABCDEFGHIJKL'])
      expect(isKeyId(id)).toBe(false);
  });

  it('expires at its time', () => {
    const time = { earliest: 1000, latest: 1010 };
    expect(isExpired({ expires_at: null }, time)).toBe(false);
    expect(isExpired({ expires_at: 1010.001 }, time)).toBe(false);
    expect(isExpired({ expires_at: 1010 }, time)).toBe(true);
    expect(isExpired({ expires_at: 0 }, time)).toBe(true);
  });
});
