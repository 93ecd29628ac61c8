/** The policies of a new installation. */
import type { PolicyContent } from './policy.dto.js';

/** Parts of an action are separated by `.`, `_`, `:` or `-`. */
const SEPARATOR = '[._:-]';
const WRITES = [
  ...['write', 'delete', 'update', 'create', 'remove', 'rm', 'drop', 'insert', 'upsert', 'put', 'patch'],
  ...[
    'edit',
    'modify',
    'replace',
    'overwrite',
    'append',
    'rename',
    'move',
    'mv',
    'truncate',
    'purge',
    'destroy',
  ],
];

/** A pattern for actions that contain one of the words as a part. */
function withPart(words: readonly string[]): string {
  return `(?s)(?:.*${SEPARATOR})?(?:${words.join('|')})(?:${SEPARATOR}|$)`;
}

/**
 * A pattern for actions that have the word as a part, and in which every part consists of a-z and 0-9. An invisible character, or
 * one that looks like another, could hide a word from the rule that denies.
 */
function ofPlainParts(word: string): string {
  return `(?:[a-z0-9]+${SEPARATOR})*${word}(?:${SEPARATOR}[a-z0-9]+)*$`;
}

export const DEFAULT_POLICIES: readonly PolicyContent[] = [
  {
    policy_id: 'admin_full_access',
    name: 'Admin full access',
    version: '1.0.0',
    description: 'Admins may do anything.',
    default_effect: 'deny',
    enabled: true,
    metadata: {},
    rules: [
      {
        rule_id: 'admin_allow_all',
        name: 'Admins may do anything',
        description: 'The role admin is allowed every action on every resource.',
        effect: 'allow',
        conditions: [{ field: 'agent_role', operator: '==', value: 'admin' }],
        priority: 1000,
        enabled: true,
        metadata: {},
      },
    ],
  },
  {
    policy_id: 'guest_read_only',
    name: 'Guest read only',
    version: '1.0.0',
    description: 'Guests may read and change nothing.',
    default_effect: 'deny',
    enabled: true,
    metadata: {},
    rules: [
      {
        rule_id: 'guest_write_deny',
        name: 'Guests may not write',
        description: 'The role guest is denied every action with a part that is a word for writing.',
        effect: 'deny',
        conditions: [
          { field: 'agent_role', operator: '==', value: 'guest' },
          { field: 'action', operator: 'matches', value: withPart(WRITES) },
        ],
        priority: 100,
        enabled: true,
        metadata: {},
      },
      {
        rule_id: 'guest_read_allow',
        name: 'Guests may read',
        description:
          'The role guest is allowed every action with a part that is exactly read, if all its parts consist of a-z and 0-9.',
        effect: 'allow',
        conditions: [
          { field: 'agent_role', operator: '==', value: 'guest' },
          { field: 'action', operator: 'matches', value: ofPlainParts('read') },
        ],
        priority: 50,
        enabled: true,
        metadata: {},
      },
    ],
  },
];
