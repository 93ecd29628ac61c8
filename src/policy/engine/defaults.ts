/** The policies of a new installation. */
import type { PolicyContent } from './policy.dto.js';

/** A pattern for actions that contain one of the words as a part; parts are separated by `.`, `_`, `:` or `-`. */
function withPart(...words: string[]): string {
  return `(?s)(?:.*[._:-])?(?:${words.join('|')})(?:[._:-]|$)`;
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
        description: 'The role guest is denied every action that writes, deletes, updates or creates.',
        effect: 'deny',
        conditions: [
          { field: 'agent_role', operator: '==', value: 'guest' },
          { field: 'action', operator: 'matches', value: withPart('write', 'delete', 'update', 'create') },
        ],
        priority: 100,
        enabled: true,
        metadata: {},
      },
      {
        rule_id: 'guest_read_allow',
        name: 'Guests may read',
        description: 'The role guest is allowed every action that reads.',
        effect: 'allow',
        conditions: [
          { field: 'agent_role', operator: '==', value: 'guest' },
          { field: 'action', operator: 'matches', value: withPart('read') },
        ],
        priority: 50,
        enabled: true,
        metadata: {},
      },
    ],
  },
];
