/**
 * AuthZEN puts its subject and resource into `environment.subject` and `environment.resource`, where rules read them. Other
 * requests may have these members too, but they must not say something else than the request itself: the key was checked
 * against `agent_id` and `agent_role`, and a rule about `environment.subject.id` relies on that check.
 */
import { type Fault, faulty } from '../../shared/errors.js';
import { membersOf } from '../../shared/shapes.js';
import type { EvaluateRequest } from '../engine/policy.dto.js';

/**
 * Throws if the environment contradicts the request. Call it when agent and role are filled in.
 * @param at the JSON pointer to the request in the body
 */
export function expectSameEntities(request: EvaluateRequest, at = ''): void {
  const { environment } = request;
  if (environment?.subject === undefined && environment?.resource === undefined) return;
  const faults = [...subjectFaults(request, `${at}/environment/subject`)];
  faults.push(...resourceFaults(request, `${at}/environment/resource`));
  if (faults.length > 0) throw faulty(faults);
}

function subjectFaults({ environment, agent_id, agent_role }: EvaluateRequest, at: string): Fault[] {
  const subject = membersOf(environment?.subject);
  const role = membersOf(subject?.properties)?.role;
  const faults: Fault[] = [];
  if (subject?.id !== undefined && subject.id !== agent_id)
    faults.push(contradiction(`${at}/id`, 'must be the agent_id of the request, or absent'));
  if (role !== undefined && role !== null && role !== agent_role)
    faults.push(contradiction(`${at}/properties/role`, 'must be the agent_role of the request, or absent'));
  return faults;
}

function resourceFaults({ environment, resource: name }: EvaluateRequest, at: string): Fault[] {
  const resource = membersOf(environment?.resource);
  const { type, id } = resource ?? {};
  if (type === undefined && id === undefined) return [];
  const isSame = typeof type === 'string' && typeof id === 'string' && `${type}:${id}` === name;
  const detail =
    'must have the type and the id of which the resource of the request consists (type:id), or neither';
  return isSame ? [] : [contradiction(at, detail)];
}

function contradiction(pointer: string, detail: string): Fault {
  return { pointer, detail, code: 'contradicts_request' };
}
