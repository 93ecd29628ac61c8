/**
 * Checks JSON objects that the input guard does not check itself: nested objects, long lists, and texts that were parsed
 * later. It uses the field decorators of a DTO class, so such an object gets the same checks and the same error texts as
 * any other body.
 *
 * Usage: `const STEP = shapeOf(Step)` once, then `shapeFaults(STEP, value, pointer, faults)` for each object. The caller
 * checks nested objects and lists itself: it names these fields in `others` and calls `shapeFaults` for each of them.
 */

import { checksOf, type FieldCheck } from './class-schema.js';
import { type Fault, pointerTo } from './errors.js';

export type Members = Record<string, unknown>;

/** The limit for one answer. Without it, a body with a million wrong members would cause an answer of a million lines. */
export const MAX_FAULTS = 50;

/** What an object of one class may hold. */
export interface Shape {
  /** The fields that are checked here. */
  fields: readonly FieldCheck[];
  /** The names of all allowed fields, including those that the caller checks. */
  names: ReadonlySet<string>;
}

interface ShapeOptions {
  /** Further allowed fields; the caller checks their values. */
  others?: readonly string[];
}

export function shapeOf(
  type: abstract new (...args: never[]) => object,
  { others = [] }: ShapeOptions = {},
): Shape {
  const fields = checksOf(type);
  return { fields, names: new Set([...fields.map(({ name }) => name), ...others]) };
}

/**
 * Adds every fault of one object, up to `MAX_FAULTS`: unknown fields, missing fields and wrong values.
 * @returns whether the value is an object; only then can the caller check its other fields
 */
export function shapeFaults(
  { fields, names }: Shape,
  value: unknown,
  pointer: string,
  faults: Fault[],
): value is Members {
  const members = membersOf(value);
  if (!members) {
    if (faults.length < MAX_FAULTS) faults.push({ pointer, detail: 'must be a JSON object', code: 'object' });
    return false;
  }
  unknownFaults(members, names, pointer, faults);
  fieldFaults(members, fields, pointer, faults);
  return true;
}

/** The value as an object; `undefined` for anything else, lists included. */
export function membersOf(value: unknown): Members | undefined {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject ? (value as Members) : undefined;
}

export function unknownFaults(
  members: object,
  names: Pick<ReadonlyMap<string, unknown>, 'has' | 'keys'>,
  pointer: string,
  faults: Fault[],
): void {
  for (const name of Object.keys(members)) {
    if (names.has(name) || faults.length >= MAX_FAULTS) continue;
    const detail = `is not a field of this object; its fields are ${[...names.keys()].join(', ')}`;
    faults.push({ pointer: `${pointer}${pointerTo(name)}`, detail, code: 'unknown_field' });
  }
}

/** Missing fields and wrong values. It ignores members that are not in `fields`. */
export function fieldFaults(
  members: Members,
  fields: readonly FieldCheck[],
  pointer: string,
  faults: Fault[],
): void {
  for (const field of fields) {
    if (faults.length >= MAX_FAULTS) return;
    const { name, code, what } = field;
    const value = Object.hasOwn(members, name) ? members[name] : undefined;
    if (value === undefined ? !field.required : field.allows(value)) continue;
    const at = `${pointer}${pointerTo(name)}`;
    if (value === undefined)
      faults.push({ pointer: at, detail: `is required and ${what}`, code: 'required' });
    else faults.push({ pointer: at, detail: what, code });
  }
}
