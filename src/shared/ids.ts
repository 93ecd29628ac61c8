import { hash, randomBytes } from 'node:crypto';

const BASE36 = '0123456789abcdefghijklmnopqrstuvwxyz';
const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** Random bytes are read from the system in pieces of 4 KiB. A call for each id would cost more than the id. */
const POOL_BYTES = 4096;
let pool = Buffer.alloc(0);
let used = 0;

/** `length` random characters of 0-9 and a-z. */
export function randomId(length: number): string {
  let id = '';
  while (id.length < length) {
    if (used >= pool.length) {
      pool = randomBytes(POOL_BYTES);
      used = 0;
    }
    const byte = pool[used++];
    // 252 is the largest multiple of 36 in a byte. With larger bytes the first characters would be more frequent.
    if (byte < 252) id += BASE36[byte % 36];
  }
  return id;
}

/** Bytes as base62, with leading zeros up to `length` characters. */
export function base62(bytes: Buffer, length: number): string {
  let value = BigInt(`0x${bytes.toString('hex') || '0'}`);
  let text = '';
  for (let i = 0; i < length; i += 1) {
    text = BASE62[Number(value % 62n)] + text;
    value /= 62n;
  }
  return text;
}

export function sha256(text: string): string {
  return hash('sha256', text, 'hex');
}

/** How many digests are kept in memory. Statuses, types and sources repeat often. */
const DIGESTS_KEPT = 4096;
const digests = new Map<string, string>();

/**
 * A hash for the name of a key, because a value of a user may be long and have any characters. It has 22 characters, which
 * are more than 128 bits, so nobody can find two values with the same hash.
 */
export function digest(value: string): string {
  const known = digests.get(value);
  if (known !== undefined) return known;
  const made = hash('sha256', value, 'base64url').slice(0, 22);
  if (digests.size >= DIGESTS_KEPT) digests.clear();
  digests.set(value, made);
  return made;
}
