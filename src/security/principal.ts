/** The owner of a credential. */
import type { Role } from '../shared/declarations.js';

export { type Permission, permits, ROLES, type Role } from '../shared/declarations.js';

/** `id` is written to logs, to `created_by`, and in front of idempotency keys: it is never given to another principal. */
export interface Principal {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
}
