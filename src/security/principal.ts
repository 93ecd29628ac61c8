/** Who may do what: the one table from roles to permissions. */

export const ROLES = ['admin', 'operator', 'agent', 'viewer'] as const;
export type Role = (typeof ROLES)[number];

const READING = ['policy:read', 'threats:read', 'immune:read', 'missions:read', 'events:read'] as const;
const WORKING = [
  'policy:evaluate',
  'threats:report',
  'immune:report',
  'missions:write',
  'missions:execute',
] as const;
/** `missions:delegate` lets a mission run as another agent; it is what makes an operator more than an agent. */
const OPERATING = ['policy:write', 'threats:write', 'missions:delegate'] as const;
const GOVERNING = ['keys:manage'] as const;

export const PERMISSIONS = [...READING, ...WORKING, ...OPERATING, ...GOVERNING] as const;
export type Permission = (typeof PERMISSIONS)[number];

/**
 * An agent does not read the event stream: it would see the decisions and the payloads of every other agent.
 * Whose missions an agent may change is decided by the missions themselves.
 */
const TABLE: Record<Role, readonly Permission[]> = {
  admin: PERMISSIONS,
  operator: [...READING, ...WORKING, ...OPERATING],
  agent: ['policy:read', 'threats:read', 'immune:read', 'missions:read', ...WORKING],
  viewer: READING,
};

export function permits(role: Role, permission: Permission): boolean {
  return TABLE[role].includes(permission);
}

/** Who asks. `id` stands in logs, in `created_by`, and before idempotency keys: it is never given to another. */
export interface Principal {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
}
