/**
 * Each module declares its sections of the OpenAPI document and its permissions here, besides its providers. So a new domain
 * needs no line in another folder.
 */

export const ROLES = ['admin', 'operator', 'approver', 'viewer', 'gateway', 'agent'] as const;
export type Role = (typeof ROLES)[number];

/** A domain and what may be done in it, such as `threats:read`. */
export type Permission = `${string}:${string}`;

export interface Tag {
  description: string;
  /** Sorts the sections of all modules. */
  order: number;
}

interface Declarations {
  /** By the names in `@ApiTags` of the controllers. */
  tags?: Record<string, Tag>;
  /** The roles that have each permission. Admin has all permissions. */
  permissions?: Record<Permission, readonly Exclude<Role, 'admin'>[]>;
}

const tags = new Map<string, Tag>();
const roles = new Map<string, ReadonlySet<Role>>();

/** A decorator of a module. The declarations apply as soon as its file is loaded. */
export function Declares(declared: Declarations): ClassDecorator {
  register(declared);
  return () => undefined;
}

export function register({ tags: newTags = {}, permissions = {} }: Declarations): void {
  for (const [name, tag] of Object.entries(newTags)) add(tags, name, tag);
  for (const [name, others] of Object.entries(permissions)) add(roles, name, new Set(['admin', ...others]));
}

/** A name has one owner. Two modules with the same permission could declare different roles for it. */
function add<T>(all: Map<string, T>, name: string, value: T): void {
  if (all.has(name)) throw new Error(`${name} is declared twice; remove one of the declarations.`);
  all.set(name, value);
}

/** Sorted by their order. */
export function declaredTags(): [name: string, tag: Tag][] {
  return [...tags].sort(([, one], [, other]) => one.order - other.order);
}

export function declaredPermissions(): Permission[] {
  return [...roles.keys()] as Permission[];
}

/** Not even an admin has a permission that no module declares. */
export function permits(role: Role, permission: Permission): boolean {
  return roles.get(permission)?.has(role) === true;
}
