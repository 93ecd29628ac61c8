import { hash, randomBytes } from 'node:crypto';

const BASE36 = '0123456789abcdefghijklmnopqrstuvwxyz';
const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** Random bytes are drawn from the system four KiB at a time: one call per id would cost more than the id. */
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
    // 252 is the largest multiple of 36 in a byte: taking more would favour the first characters.
    if (byte < 252) id += BASE36[byte % 36];
  }
  return id;
}

/** Bytes as base62, always `length` characters: leading zeros are kept, so equal inputs have equal lengths. */
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

/** How many digests are remembered: statuses, types and sources repeat. */
const DIGESTS_KEPT = 4096;
const digests = new Map<string, string>();

/**
 * A value that came from a user, as it may stand in the name of a key: 22 characters, whatever its length and
 * whatever it contains. 128 bits, so that nobody finds two values which share one.
 */
export function digest(value: string): string {
  const known = digests.get(value);
  if (known !== undefined) return known;
  const made = hash('sha256', value, 'base64url').slice(0, 22);
  if (digests.size >= DIGESTS_KEPT) digests.clear();
  digests.set(value, made);
  return made;
}
