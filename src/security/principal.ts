/** The owner of a credential. */
import type { Role } from '../shared/declarations.js';

export { type Permission, permits, ROLES, type Role } from '../shared/declarations.js';

/** `id` is in logs, in `created_by`, and in front of idempotency keys, so no other principal ever gets it. */
export interface Principal {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
}
