/** Checks many requests at once, each at its own pointer: what the pipe does for one body, without a copy of each. */
import { type Fault, pointerTo } from '../shared/errors.js';
import { checksOf, type FieldCheck } from '../shared/fields.js';
import { EvaluateRequest } from './policy.dto.js';

const MAX_REQUESTS = 1000;
const MAX_FAULTS = 50;
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
  if (typeof request !== 'object' || request === null || Array.isArray(request)) {
    faults.push({ pointer, detail: 'must be a JSON object', code: 'object' });
    return;
  }
  const members = request as Record<string, unknown>;
  for (const name of Object.keys(members)) {
    if (KNOWN.has(name) || faults.length >= MAX_FAULTS) continue;
    const at = `${pointer}${pointerTo(name)}`;
    const detail = `is not known here; known are ${[...KNOWN].join(', ')}`;
    faults.push({ pointer: at, detail, code: 'unknown_field' });
  }
  checkFields(members, FIELDS, pointer, faults);
}

/** What is missing and what is wrong, and nothing about members that these fields do not name. */
export function checkFields(
  members: Record<string, unknown>,
  fields: readonly FieldCheck[],
  pointer: string,
  faults: Fault[],
): void {
  for (const field of fields) {
    const { name, code, what } = field;
    const value = members[name];
    if (value === undefined && field.required) {
      faults.push({ pointer: `${pointer}/${name}`, detail: `is required and ${what}`, code: 'required' });
    } else if (value !== undefined && !field.allows(value)) {
      faults.push({ pointer: `${pointer}/${name}`, detail: what, code });
    }
  }
}
