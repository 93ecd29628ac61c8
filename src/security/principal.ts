/** The owner of a credential, and the agents and roles that it may name. */
import type { Role } from '../shared/declarations.js';
import { BrainError } from '../shared/errors.js';
import { type IdList, isOfService } from '../shared/id-list.js';

export { type Permission, permits, ROLES, type Role } from '../shared/declarations.js';

/** `id` is in logs, in `created_by`, and in front of idempotency keys, so no other principal ever gets it. */
export interface Principal {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  /** The agents that it may speak for. Besides these it always speaks for its own id. */
  readonly agents: IdList;
  /** The roles of agents that it may name in a request for a decision. */
  readonly agentRoles: IdList;
  /** The principal id of the person behind it, if that is known. */
  readonly owner: string | null;
}

export function speaksFor(principal: Principal, agentId: string): boolean {
  return principal.agents.has(agentId) || (principal.id === agentId && !isOfService(agentId));
}

export function expectAgent(principal: Principal, agentId: string): void {
  if (speaksFor(principal, agentId)) return;
  const detail = `The principal ${principal.id} may not speak for the agent ${agentId.slice(0, 128)}; GET /api/keys/self lists its agents. An admin can make a key for it.`;
  throw new BrainError('forbidden', 'agent_not_yours', detail);
}

export function expectRole(principal: Principal, agentRole: string): void {
  if (principal.agentRoles.has(agentRole)) return;
  const detail = `The principal ${principal.id} may not name the agent role ${agentRole.slice(0, 128)}; GET /api/keys/self lists its roles. An admin can make a key for it.`;
  throw new BrainError('forbidden', 'role_not_yours', detail);
}
