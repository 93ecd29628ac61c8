/** What an API key is: its text, which is shown once, and the document that is kept of it. */
import crypto from 'node:crypto';
import { base62, randomId, sha256 } from '../shared/ids.js';
import type { Collection, StoreTime } from '../storage/store.js';
import type { Role } from './principal.js';

const PREFIX = 'brn_';
const SECRET_BYTES = 32;
/** 32 bytes and 4 bytes in base62. */
const SECRET_LENGTH = 43;
const CHECKSUM_LENGTH = 6;
const FORM = new RegExp(`^${PREFIX}[0-9A-Za-z]{${SECRET_LENGTH + CHECKSUM_LENGTH}}$`);

/** Beyond this nothing is hashed: neither our keys nor a bootstrap key are longer. */
export const MAX_KEY_LENGTH = 256;

/** Keys never change, so there is no version to hold a change against. */
export interface ApiKey {
  id: string;
  name: string;
  role: Role;
  /** SHA-256 of the key, in hex. 256 random bits need no slow hash. */
  hash: string;
  /** Times are Unix seconds. */
  created_at: number;
  created_by: string;
  expires_at: number | null;
}

export const KEYS: Collection<ApiKey> = {
  name: 'keys',
  item: 'key',
  version: 1,
  indexVersion: 1,
  id: (key) => key.id,
  order: (key) => key.created_at,
  unique: { hash: (key) => key.hash },
  indexes: {
    role: (key) => key.role,
    expiry: (key) => (key.expires_at === null ? null : { value: 'expires', order: key.expires_at }),
  },
};

/** That something was done once in the life of an installation. */
export interface Mark {
  id: string;
  at: number;
}

export const MARKS: Collection<Mark> = {
  name: 'marks',
  item: 'mark',
  version: 1,
  indexVersion: 1,
  id: (mark) => mark.id,
  order: (mark) => mark.at,
};

/** Stays when all keys are deleted: an installation which has had a key never makes one by itself again. */
export const FIRST_KEY = 'first_key';

/** The checksum tells a mistyped or truncated key from an unknown one without asking the store. */
export function makeKey(): string {
  const body = PREFIX + base62(crypto.randomBytes(SECRET_BYTES), SECRET_LENGTH);
  return body + checksum(body);
}

export function isWellFormed(key: string): boolean {
  return FORM.test(key) && checksum(key.slice(0, -CHECKSUM_LENGTH)) === key.slice(-CHECKSUM_LENGTH);
}

const KEY_ID = /^key_[0-9a-z]{12}$/;

export function makeKeyId(): string {
  return `key_${randomId(12)}`;
}

export function isKeyId(id: string): boolean {
  return KEY_ID.test(id);
}

/** What is stored and compared instead of the key. */
export const digestOf = sha256;

/** By the store's time, so that all replicas take a key for equally long. A key that may be over is over. */
export function isExpired(key: { expires_at: number | null }, { latest }: StoreTime): boolean {
  return key.expires_at !== null && key.expires_at <= latest;
}

function checksum(body: string): string {
  return base62(Buffer.from(digestOf(body).slice(0, 8), 'hex'), CHECKSUM_LENGTH);
}
