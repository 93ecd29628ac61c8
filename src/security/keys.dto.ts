import { NextCursor, Total } from '../http/request.js';
import { Described, ListOf, Num, OneOf, Text } from '../shared/fields.js';
import { ROLES, type Role } from './principal.js';

const EXPIRY = { description: 'When the key expires, in Unix seconds; null for never', example: 1798761600 };

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

  @Num({ ...EXPIRY, optional: true, nullable: true, min: 0 })
  expires_at?: number | null;
}

@Described('An API key, without the key itself')
export class KeyInfo {
  @Text({ max: 64, description: 'The id of the key, which is not secret', example: 'key_k3v9x2abq8w1' })
  id!: string;

  @Text({ max: 128, description: 'What the key is for', example: 'scanner-7' })
  name!: string;

  @OneOf(ROLES, { name: 'Role', description: 'The role of the key', example: 'agent' })
  role!: Role;

  @Num({ description: 'When the key was made, in Unix seconds', example: 1735424567.89 })
  created_at!: number;

  @Text({ max: 64, description: 'The id of the key that made it', example: 'bootstrap' })
  created_by!: string;

  @Num({ ...EXPIRY, nullable: true })
  expires_at!: number | null;
}

@Described('A new API key')
export class MadeKey extends KeyInfo {
  @Text({
    max: 64,
    optional: true,
    description: 'The key itself: shown only in this answer, and left out in the answer to a repetition',
    example: 'brn_…',
  })
  key?: string;
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
