import { PERMISSIONS, type Permission, permits, ROLES, type Role } from './principal.js';

/** Written out once more, so that a slip in the table shows. */
const ALLOWED: Record<Role, string> = {
  admin: PERMISSIONS.join(' '),
  operator: PERMISSIONS.filter((permission) => permission !== 'keys:manage').join(' '),
  agent:
    'policy:read threats:read immune:read missions:read policy:evaluate threats:report immune:report missions:write missions:execute',
  viewer: 'policy:read threats:read immune:read missions:read events:read',
};

describe('permissions', () => {
  const pairs = ROLES.flatMap((role) => PERMISSIONS.map((permission) => [role, permission] as const));

  it.each(pairs)('of %s for %s', (role: Role, permission: Permission) => {
    expect(permits(role, permission)).toBe(ALLOWED[role].split(' ').includes(permission));
  });
});
