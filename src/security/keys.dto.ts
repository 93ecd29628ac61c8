import { PageQueryOf } from '../http/listed.js';
import { NextCursor, Total } from '../http/request.js';
import { declaredPermissions } from '../shared/declarations.js';
import { Described, ListOf, Num, OneOf, Text, Texts } from '../shared/fields.js';
import { MAX_ENTRIES } from '../shared/id-list.js';
import { type Principal, permits, ROLES, type Role } from './principal.js';

const ENTRIES =
  'An entry is an exact id, a prefix that ends in `-`, `.`, `:`, `_` or `/` followed by `*`, or `*` for all';
const DEFAULT = 'for the role agent, all for admin, operator and gateway, none for the others';
const AGENTS = `The agents that the key may speak for, besides its own id. ${ENTRIES}`;
const AGENT_ROLES = `The agent roles that the key may name. ${ENTRIES}`;
const Entries = (description: string, example: string, optional = false): PropertyDecorator =>
  Texts({ max: 256, most: MAX_ENTRIES, optional, description, example: [example] });
const Owner = (optional = false): PropertyDecorator =>
  Text({
    max: 256,
    optional,
    nullable: true,
    description: 'The principal id of the person behind the key; null if that is not known',
    example: 'key_8vzn7ryx3d0q',
  });
const EXPIRY = { description: 'When the key expires, in Unix seconds; null for never', example: null };

@Described('An API key to make')
export class NewKey {
  @Text({ max: 128, description: 'What the key is for, to recognise it in the list', example: 'scanner-7' })
  name!: string;

  @OneOf(ROLES, {
    name: 'Role',
    description: 'The role of the key, which decides what it may do',
    example: 'agent',
  })
  role!: Role;

  @Entries(`${AGENTS}. By default its name ${DEFAULT}`, 'researcher-*', true)
  agents?: string[];

  @Entries(`${AGENT_ROLES}. By default \`agent\` ${DEFAULT}`, 'researcher', true)
  agent_roles?: string[];

  @Owner(true)
  owner?: string | null;

  @Num({ ...EXPIRY, optional: true, nullable: true, min: 0 })
  expires_at?: number | null;
}

/** Who holds a key, and whom it may name. */
class Holder {
  @Text({
    max: 256,
    description:
      'The id of the key, which is not secret: in `created_by` and in events it stands for its holder',
    example: 'key_k3v9x2abq8w1',
  })
  id!: string;

  @Text({ max: 128, description: 'What the key is for', example: 'scanner-7' })
  name!: string;

  @OneOf(ROLES, { name: 'Role', description: 'The role of the key', example: 'agent' })
  role!: Role;

  @Entries(AGENTS, 'researcher-*')
  agents!: readonly string[];

  @Entries(AGENT_ROLES, 'researcher')
  agent_roles!: readonly string[];

  @Owner()
  owner!: string | null;
}

/** What is known of a key since it was made or rotated. */
class StoredKey extends Holder {
  @Num({ description: 'When the key was made, in Unix seconds', example: 1735424567.89 })
  created_at!: number;

  @Text({ max: 64, description: 'The id of the key that made it', example: 'bootstrap' })
  created_by!: string;

  @Num({ ...EXPIRY, nullable: true })
  expires_at!: number | null;

  @Text({
    max: 64,
    nullable: true,
    description: 'The id of the key that this one replaces; null if it replaces none',
    example: null,
  })
  rotated_from!: string | null;

  @Text({
    max: 64,
    nullable: true,
    description:
      'The id of the key that replaces this one, which then expires at the end of the overlap; null if none does',
    example: null,
  })
  replaced_by!: string | null;
}

@Described('An API key, without the key itself')
export class KeyInfo extends StoredKey {
  @Num({
    nullable: true,
    description:
      'When the key was last used, in Unix seconds; up to a minute late for a use at another replica. Null if no use was recorded',
    example: 1735424567.89,
  })
  last_used_at!: number | null;
}

@Described('The principal of a key, and what it may do')
export class Self extends Holder {
  @Texts({
    max: 64,
    most: 100,
    description: 'What the role permits',
    example: ['policy:evaluate', 'threats:report'],
  })
  permissions!: string[];

  @Num({
    nullable: true,
    description: 'When this replica last admitted the key, in Unix seconds: this request',
    example: 1735424567.89,
  })
  last_used_at!: number | null;
}

export function selfOf(principal: Principal, last_used_at: number | null): Self {
  const { id, name, role, agents, agentRoles, owner } = principal;
  const permissions = declaredPermissions()
    .filter((permission) => permits(role, permission))
    .sort();
  const who = { id, name, role, agents: agents.entries, agent_roles: agentRoles.entries, owner };
  return { ...who, permissions, last_used_at };
}

@Described('A new API key')
export class MadeKey extends StoredKey {
  @Text({
    max: 64,
    optional: true,
    description: 'The key itself: shown only in this answer, and left out in the answer to a repetition',
    example: 'brn_…',
  })
  key?: string;
}

export class KeyQuery extends PageQueryOf(KeyInfo) {}
export const OVERLAP_MINUTES = 1440;

@Described('How to rotate an API key')
export class KeyRotation {
  @Num({
    integer: true,
    min: 0,
    max: 10_080,
    optional: true,
    default: OVERLAP_MINUTES,
    description:
      'How many minutes the old key stays valid beside the new one; a key that ends earlier keeps its end',
    example: 1440,
  })
  overlap_minutes?: number;
}

@Described('A new API key that replaces another one')
export class RotatedKey extends MadeKey {
  @Num({
    description: 'When the old key expires, in Unix seconds: until then both are valid',
    example: 1735510967.89,
  })
  overlap_until!: number;
}

@Described('One page of API keys')
export class KeyList {
  @ListOf(() => KeyInfo, { description: 'The keys of this page, newest first' })
  keys!: KeyInfo[];

  @Total()
  total!: number | null;

  @NextCursor()
  next_cursor!: string | null;
}
