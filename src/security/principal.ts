/** The owner of a credential, and the agents and roles that it may name. */
import { type Permission, permits, type Role } from '../shared/declarations.js';
import { BrainError, faulty } from '../shared/errors.js';
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

/** The agents that keys name. Other domains find them here, without the keys. */
export abstract class KnownAgents {
  /** The exact entries of all keys in memory, up to this number. */
  abstract exactAgents(limit: number): ReadonlySet<string>;
}

export function expectPermission({ role }: Principal, permission: Permission): void {
  if (permits(role, permission)) return;
  const detail = `The role ${role} lacks the permission ${permission}; use a key of a role that has it.`;
  throw new BrainError('forbidden', 'forbidden', detail);
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

/** What a request names: an agent, and its role. */
interface Named {
  agent_id?: string;
  agent_role?: string;
}

/**
 * Refuses an agent or a role that the principal may not name, and fills in what is left out by the first exact entry of its
 * list. A role may stay out only if the principal may name every role: else a rule that denies its role would not match.
 * @param at the JSON pointer to the request in the body
 */
export function asAgent<T extends Named>(
  principal: Principal,
  request: T,
  at = '',
): T & { agent_id: string } {
  const { agents, agentRoles } = principal;
  if (request.agent_id !== undefined) expectAgent(principal, request.agent_id);
  else request.agent_id = agents.first ?? required(`${at}/agent_id`);
  if (request.agent_role !== undefined) expectRole(principal, request.agent_role);
  else if (!agentRoles.hasAll || agentRoles.first !== undefined)
    request.agent_role = agentRoles.first ?? required(`${at}/agent_role`);
  return request as T & { agent_id: string };
}

/** The same for a report, which may be about no agent. */
export function reportedAgent(principal: Principal, agentId?: string | null): string | undefined {
  if (agentId !== undefined && agentId !== null) {
    expectAgent(principal, agentId);
    return agentId;
  }
  const { first, hasAll } = principal.agents;
  return first ?? (hasAll ? undefined : required('/agent_id'));
}

function required(pointer: string): never {
  const detail = 'is required: the key lists no exact id that could be filled in';
  throw faulty([{ pointer, detail, code: 'required' }]);
}
