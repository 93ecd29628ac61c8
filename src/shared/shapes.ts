/** Checks objects member by member, in the words of the guard of the input, for what it leaves to others. */
import { type Fault, pointerTo } from './errors.js';
import type { FieldCheck } from './fields.js';

export type Members = Record<string, unknown>;

/** So many faults tell enough; a body of a million wrong members must not make an answer of a million lines. */
export const MAX_FAULTS = 50;

/** Nothing where the value is no object; a list is none. */
export function membersOf(value: unknown): Members | undefined {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject ? (value as Members) : undefined;
}

/** Members that nobody knows. */
export function unknownFaults(
  members: object,
  known: Pick<ReadonlyMap<string, unknown>, 'has' | 'keys'>,
  at: string,
  faults: Fault[],
): void {
  for (const name of Object.keys(members)) {
    if (known.has(name) || faults.length >= MAX_FAULTS) continue;
    const detail = `is not known here; known are ${[...known.keys()].join(', ')}`;
    faults.push({ pointer: `${at}${pointerTo(name)}`, detail, code: 'unknown_field' });
  }
}

/** What is missing and what is wrong, and nothing about members that these fields do not name. */
export function fieldFaults(
  members: Members,
  fields: readonly FieldCheck[],
  at: string,
  faults: Fault[],
): void {
  for (const field of fields) {
    if (faults.length >= MAX_FAULTS) return;
    const { name, code, what } = field;
    const value = Object.hasOwn(members, name) ? members[name] : undefined;
    if (value === undefined ? !field.required : field.allows(value)) continue;
    const pointer = `${at}${pointerTo(name)}`;
    if (value === undefined) faults.push({ pointer, detail: `is required and ${what}`, code: 'required' });
    else faults.push({ pointer, detail: what, code });
  }
}
