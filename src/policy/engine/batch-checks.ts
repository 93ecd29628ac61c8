/** Checks many requests at once, each at its own pointer: what the guard of the input does for one body, without a copy of each. */
import type { Fault } from '../../shared/errors.js';
import { checksOf } from '../../shared/fields.js';
import { fieldFaults, MAX_FAULTS, membersOf, unknownFaults } from '../../shared/shapes.js';
import { EvaluateRequest } from './policy.dto.js';

const MAX_REQUESTS = 1000;
const FIELDS = checksOf(EvaluateRequest);
const KNOWN = new Set(FIELDS.map(({ name }) => name));

export function requestFaults(requests: unknown): Fault[] {
  if (!Array.isArray(requests) || requests.length === 0 || requests.length > MAX_REQUESTS) {
    const detail = `must be a list of 1 to ${MAX_REQUESTS} requests`;
    return [{ pointer: '/evaluations', detail, code: 'list' }];
  }
  const faults: Fault[] = [];
  for (let i = 0; i < requests.length && faults.length < MAX_FAULTS; i += 1) {
    faultsOf(requests[i], `/evaluations/${i}`, faults);
  }
  return faults;
}

function faultsOf(request: unknown, pointer: string, faults: Fault[]): void {
  const members = membersOf(request);
  if (!members) {
    faults.push({ pointer, detail: 'must be a JSON object', code: 'object' });
    return;
  }
  unknownFaults(members, KNOWN, pointer, faults);
  fieldFaults(members, FIELDS, pointer, faults);
}
