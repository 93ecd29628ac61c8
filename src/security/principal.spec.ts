import '../app.module.js';
import { declaredPermissions, register } from '../shared/declarations.js';
import { type Permission, permits, ROLES, type Role } from './principal.js';

/** Written out once more, so that a slip in the declaration of a domain shows. */
const ALL =
  'events:read immune:read immune:report keys:manage keys:read_self missions:delegate missions:delete missions:execute missions:prioritize missions:read missions:read_all missions:read_secrets missions:write policy:evaluate policy:read policy:write threats:delete threats:read threats:report threats:write';
const ALLOWED: Record<Role, string> = {
  admin: ALL,
  operator: ALL.replace('keys:manage ', '').replace('missions:delete ', '').replace('threats:delete ', ''),
  agent:
    'keys:read_self policy:read threats:read immune:read missions:read policy:evaluate threats:report immune:report missions:write missions:execute',
  approver: 'keys:read_self policy:read threats:read immune:read missions:read missions:read_all events:read',
  viewer: 'keys:read_self policy:read threats:read immune:read missions:read missions:read_all events:read',
  gateway: 'keys:read_self policy:evaluate threats:report immune:report',
};

describe('permissions', () => {
  const permissions = ALL.split(' ') as Permission[];
  const pairs = ROLES.flatMap((role) => permissions.map((permission) => [role, permission] as const));

  it.each(pairs)('of %s include %s as the table says', (role: Role, permission: Permission) => {
    expect(permits(role, permission)).toBe(ALLOWED[role].split(' ').includes(permission));
  });

  it('are those that the domains declare, each declared once', () => {
    expect(declaredPermissions().sort()).toEqual(permissions);
    expect(() => register({ permissions: { 'threats:read': [] } })).toThrow('threats:read is declared twice');
  });

  it('are granted to no role if no domain declares them', () => {
    expect(permits('admin', 'nothing:read')).toBe(false);
  });
});
