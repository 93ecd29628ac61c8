/** An API key: its text, which is shown once, and the document that is stored instead of it. */
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

/** No API key and no bootstrap key is longer. A longer text is not hashed. */
export const MAX_KEY_LENGTH = 256;

/** Keys never change, so they have no version. */
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

/** A fact about the installation that is noted once. */
export interface Milestone {
  id: string;
  at: number;
}

export const MILESTONES: Collection<Milestone> = {
  name: 'marks',
  item: 'mark',
  version: 1,
  indexVersion: 1,
  id: (milestone) => milestone.id,
  order: (milestone) => milestone.at,
};

/** It stays when all keys are deleted. An installation that has had a key never makes one by itself again. */
export const FIRST_KEY = 'first_key';

/** The checksum finds a mistyped or truncated key without a lookup in the store. */
export function makeKey(): string {
  const body = PREFIX + base62(crypto.randomBytes(SECRET_BYTES), SECRET_LENGTH);
  return body + checksum(body);
}

export function isWellFormedKey(key: string): boolean {
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

/** By the store's time, so that a key expires on all replicas at the same time. In doubt it has expired. */
export function isExpired(key: { expires_at: number | null }, { latest }: StoreTime): boolean {
  return key.expires_at !== null && key.expires_at <= latest;
}

function checksum(body: string): string {
  return base62(Buffer.from(digestOf(body).slice(0, 8), 'hex'), CHECKSUM_LENGTH);
}
