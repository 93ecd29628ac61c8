/** An API key: its text, which is shown once, and the document that is stored instead of it. */
import crypto from 'node:crypto';
import { IdList, isOfService } from '../shared/id-list.js';
import { base62, randomId, sha256 } from '../shared/ids.js';
import type { Collection, StoreTime } from '../storage/store.js';
import type { Principal, Role } from './principal.js';

const PREFIX = 'brn_';
const SECRET_BYTES = 32;
/** 32 bytes and 4 bytes in base62. */
const SECRET_LENGTH = 43;
const CHECKSUM_LENGTH = 6;
const FORM = new RegExp(`^${PREFIX}[0-9A-Za-z]{${SECRET_LENGTH + CHECKSUM_LENGTH}}$`);

/** No API key and no bootstrap key is longer. A longer text is not hashed. */
export const MAX_KEY_LENGTH = 256;

/** Keys have no version: nothing that a client could change. */
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
  /** Missing in a key of an earlier release, which had no lists. */
  agents?: readonly string[];
  agent_roles?: readonly string[];
  owner?: string | null;
  /** The id of the key that this one replaces. */
  rotated_from?: string;
  /** The id of the key that replaces this one. Its end is then the end of the overlap, or earlier. */
  replaced_by?: string;
  /** How long the key was meant to last, for the key that replaces it: a rotation shortens the key's own time. */
  lifetime_seconds?: number | null;
  /** `access.key_expired` is published. */
  expiry_reported?: true;
}

/** What a key may name. */
export interface KeyLists {
  agents: readonly string[];
  agent_roles: readonly string[];
}

const EVERY: KeyLists = { agents: ['*'], agent_roles: ['*'] };
const NONE: KeyLists = { agents: [], agent_roles: [] };

/** The lists of a key that was made without. An agent has its name as its only agent, so it is null here. */
export const DEFAULT_LISTS: Record<
  Role,
  { agents: readonly string[] | null; agent_roles: readonly string[] }
> = {
  admin: EVERY,
  operator: EVERY,
  approver: NONE,
  viewer: NONE,
  gateway: EVERY,
  agent: { agents: null, agent_roles: ['agent'] },
};

/** @param ownName whether an agent key of an earlier release is the only one with its name, which then is its agent */
export function listsOf({ name, role, agents, agent_roles }: ApiKey, ownName: boolean): KeyLists {
  const defaults = DEFAULT_LISTS[role];
  return {
    agents: agents ?? defaults.agents ?? (ownName && mayBeAgent(name) ? [name] : []),
    agent_roles: agent_roles ?? defaults.agent_roles,
  };
}

/** Whether a name can be the id of an agent: it must be an exact entry of a list. */
export function mayBeAgent(name: string): boolean {
  return !name.includes('*') && !isOfService(name);
}

export function principalOf(key: ApiKey, { agents, agent_roles }: KeyLists): Principal {
  const { id, name, role, owner = null } = key;
  return { id, name, role, owner, agents: new IdList(agents), agentRoles: new IdList(agent_roles) };
}

/** The values of the index `expiry`: whether the end of the key is in the event log. */
export const UNREPORTED = 'expires';
export const REPORTED = 'reported';

export const KEYS: Collection<ApiKey> = {
  name: 'keys',
  item: 'key',
  version: 1,
  indexVersion: 2,
  id: (key) => key.id,
  order: (key) => key.created_at,
  unique: { hash: (key) => key.hash },
  indexes: {
    role: (key) => key.role,
    expiry: ({ expires_at, expiry_reported }) =>
      expires_at === null ? null : { value: expiry_reported ? REPORTED : UNREPORTED, order: expires_at },
  },
};

/**
 * When a key was last used. It is not a part of the key: a change of a key makes every replica read all keys again.
 * Revoking a key removes it.
 */
export interface KeyUse {
  /** The id of the key. */
  id: string;
  last_used_at: number;
}

export const KEY_USES: Collection<KeyUse> = {
  name: 'key_uses',
  item: 'use',
  version: 1,
  indexVersion: 1,
  id: (use) => use.id,
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
