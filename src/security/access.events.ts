import { defineEvent } from '../events/event.js';
import { nowSeconds } from '../shared/clock.js';
import { Num, OneOf, Text, Texts } from '../shared/fields.js';
import type { ApiKey, KeyLists } from './api-key.js';
import { ROLES, type Role } from './principal.js';

class KeySubject {
  @Text({ max: 64, description: 'The id of the key, not the key itself' }) key_id!: string;
  @Text({ max: 128, description: 'What the key is for' }) name!: string;
  @OneOf(ROLES, { name: 'Role', description: 'The role of the key' }) role!: Role;
}

class KeyCreated extends KeySubject {
  @Texts({ max: 256, most: 100, description: 'The agents that the key may speak for' })
  agents!: readonly string[];
  @Texts({ max: 256, most: 100, description: 'The agent roles that the key may name' })
  agent_roles!: readonly string[];
  @Text({ max: 256, nullable: true, description: 'The principal id of the person behind the key, if known' })
  owner!: string | null;
  @Text({ max: 256, description: 'The id of the principal that made the key; `bootstrap` for the first one' })
  created_by!: string;
  @Num({ nullable: true, description: 'When the key expires, in Unix seconds; null for never' })
  expires_at!: number | null;
  @Num({ description: 'When the key was made, in Unix seconds' }) created_at!: number;
}

class KeyRotated extends KeySubject {
  @Text({ max: 64, description: 'The id of the key that replaces it' }) new_key_id!: string;
  @Num({ description: 'Until when the old key is valid beside the new one, in Unix seconds' })
  valid_until!: number;
  @Text({ max: 256, description: 'The id of the principal that rotated the key' }) rotated_by!: string;
  @Num({ description: 'When the key was rotated, in Unix seconds' }) rotated_at!: number;
}

class KeyExpired extends KeySubject {
  @Text({ max: 256, nullable: true, description: 'The principal id of the person behind the key, if known' })
  owner!: string | null;
  @Text({ max: 64, nullable: true, description: 'The id of the key that replaced it; null if none did' })
  replaced_by!: string | null;
  @Num({ description: 'When the key expired, by the clock of the store, in Unix seconds' })
  expired_at!: number;
}

class KeyRevoked extends KeySubject {
  @Text({ max: 256, description: 'The id of the principal that revoked the key' }) revoked_by!: string;
  @Num({ description: 'When the key was revoked, in Unix seconds' }) revoked_at!: number;
}

export class AccessDenied {
  @Text({ max: 256, nullable: true, description: 'The id of the principal; null if it is not known' })
  principal_id!: string | null;
  @Text({
    max: 64,
    nullable: true,
    description:
      'The address of callers without a valid key; null for a principal, and in the sum of all addresses beyond 100',
  })
  address!: string | null;
  @Num({
    integer: true,
    min: 0,
    description: 'How many requests had no valid key (401, or 429 after too many)',
  })
  unauthenticated!: number;
  @Num({ integer: true, min: 0, description: 'How many requests were not permitted (403)' })
  forbidden!: number;
  @Texts({ max: 64, most: 20, description: 'The codes of the answers, such as `agent_not_yours`' })
  codes!: string[];
  @Num({ description: 'The time of the first one, in Unix seconds' }) from!: number;
  @Num({ description: 'The time of the last one, in Unix seconds' }) to!: number;
}

const OF_KEY = { module: 'access', subjects: ['key_id'] } as const;
const ID = 'key_k3v9x2abq8w1';
const AT = 1735424567.89;

export const keyCreated = defineEvent({
  ...OF_KEY,
  type: 'access.key_created',
  payload: KeyCreated,
  priority: 'MEDIUM',
  when: 'An API key is made. The key itself is in no event.',
  example: {
    key_id: ID,
    name: 'researcher-7',
    role: 'agent',
    agents: ['researcher-7'],
    agent_roles: ['researcher'],
    owner: null,
    created_by: 'bootstrap',
    expires_at: null,
    created_at: AT,
  },
  consumers: ['Audit: who gave which rights to whom'],
  of: (key: ApiKey & KeyLists): KeyCreated => ({
    ...keySubject(key),
    agents: key.agents,
    agent_roles: key.agent_roles,
    owner: key.owner ?? null,
    created_by: key.created_by,
    expires_at: key.expires_at,
    created_at: key.created_at,
  }),
});

export const keyRotated = defineEvent({
  ...OF_KEY,
  subjects: ['key_id', 'new_key_id'],
  type: 'access.key_rotated',
  payload: KeyRotated,
  priority: 'MEDIUM',
  when: 'An API key is replaced by a new one with the same rights, after `access.key_created` for the new one.',
  example: {
    key_id: ID,
    name: 'researcher-7',
    role: 'agent',
    new_key_id: 'key_8vzn7ryx3d0q',
    valid_until: AT + 86_400,
    rotated_by: 'bootstrap',
    rotated_at: AT,
  },
  consumers: [
    'Audit: which key continues the work of which',
    'Operations: until when clients can change over',
  ],
  of: (old: ApiKey, by: ApiKey, valid_until: number): KeyRotated => ({
    ...keySubject(old),
    new_key_id: by.id,
    valid_until,
    rotated_by: by.created_by,
    rotated_at: by.created_at,
  }),
});

export const keyExpired = defineEvent({
  ...OF_KEY,
  type: 'access.key_expired',
  payload: KeyExpired,
  priority: 'MEDIUM',
  when: 'An API key has expired, also at the end of the overlap after a rotation: once, within a minute.',
  example: {
    key_id: ID,
    name: 'researcher-7',
    role: 'agent',
    owner: null,
    replaced_by: 'key_8vzn7ryx3d0q',
    expired_at: AT + 86_400,
  },
  consumers: ['Operations: why a client stopped working', 'Audit: which rights have ended'],
  of: (key: ApiKey, expired_at: number): KeyExpired => ({
    ...keySubject(key),
    owner: key.owner ?? null,
    replaced_by: key.replaced_by ?? null,
    expired_at,
  }),
});

export const keyRevoked = defineEvent({
  ...OF_KEY,
  type: 'access.key_revoked',
  payload: KeyRevoked,
  priority: 'MEDIUM',
  when: 'An API key is revoked. Published after the commit, because a full store still takes the revocation.',
  example: { key_id: ID, name: 'researcher-7', role: 'agent', revoked_by: 'bootstrap', revoked_at: AT },
  consumers: ['Audit: who took which rights away'],
  of: (key: ApiKey, revoked_by: string): KeyRevoked => ({
    ...keySubject(key),
    revoked_by,
    revoked_at: nowSeconds(),
  }),
});

export const accessDenied = defineEvent({
  module: 'access',
  subjects: ['principal_id'],
  type: 'access.denied',
  payload: AccessDenied,
  priority: 'HIGH',
  when: 'Requests were refused with 401 or 403: one event a minute for each principal, or for each address without a valid key.',
  example: {
    principal_id: ID,
    address: null,
    unauthenticated: 0,
    forbidden: 3,
    codes: ['agent_not_yours'],
    from: AT,
    to: AT + 2,
  },
  consumers: ['Security: a key that asks for what it may not', 'Operations: a client with an old key'],
  of: (sum: AccessDenied): AccessDenied => sum,
});

function keySubject({ id, name, role }: ApiKey): KeySubject {
  return { key_id: id, name, role };
}
