/**
 * Checks bodies and queries against their class. Reports all faults at once, each with its JSON pointer.
 *
 * The checks are those of class-validator, collected once for each class. Its own `validate` collects them for each request,
 * which costs more than the rest of the request. Bodies are not transformed: they are plain JSON, and a copy would silently
 * lose keys such as `constructor` from metadata.
 */
import { plainToInstance } from 'class-transformer';
import { getFromContainer, getMetadataStorage, type ValidationArguments } from 'class-validator';
import { BrainError, type Fault, faulty, invalid, pointerTo } from '../shared/errors.js';
import { unknownFaults } from '../shared/shapes.js';

interface Constraint {
  validate(value: unknown, args: ValidationArguments): boolean | Promise<boolean>;
  defaultMessage?(args: ValidationArguments): string;
}

interface FieldCheck {
  name: string;
  applies: ((object: object, value: unknown) => boolean)[];
  checks: { name: string; accepts(value: unknown, object: object): boolean; message: string }[];
}

export type Class = new () => object;

/** A longer id would not fit into a key of the store. */
const MAX_PARAM = 256;

const compiled = new Map<Class, Map<string, FieldCheck>>();

/** Returns the body, or throws its faults. A missing body counts as an empty one, so that each required field is named. */
export function checkedBody(target: Class, sent: unknown = {}): object {
  if (typeof sent !== 'object' || sent === null || Array.isArray(sent)) {
    const detail = 'must be a JSON object';
    throw invalid(`The body ${detail}.`, [{ pointer: '', detail, code: 'object' }]);
  }
  const faults = faultsIn(target, sent, sent);
  if (faults.length > 0) throw faulty(faults);
  return sent;
}

/** Returns the query with its texts converted to the types of the class, and with its defaults. */
export function checkedQuery(target: Class, sent: object): object {
  const given = queryOf(target, sent);
  const faults = faultsIn(target, given, sent);
  if (faults.length > 0) throw faulty(faults, 'query');
  return given;
}

export function checkedParam(value: unknown): void {
  if (typeof value !== 'string' || value.length <= MAX_PARAM) return;
  const detail = `There is nothing with this id: no id is longer than ${MAX_PARAM} characters. Check the id.`;
  throw new BrainError('not_found', 'no_such_id', detail);
}

/** Collects the checks of a class. Throws if it has one that cannot be run here. */
export function prepareChecks(target: Class): void {
  fieldsOf(target);
}

function faultsIn(target: Class, given: object, sent: object): Fault[] {
  const fields = fieldsOf(target);
  const faults: Fault[] = [];
  unknownFaults(sent, fields, '', faults);
  for (const field of fields.values()) {
    const value = (given as Record<string, unknown>)[field.name];
    if (!field.applies.every((applies) => applies(given, value))) continue;
    const failed = field.checks.find((check) => !check.accepts(value, given));
    if (!failed) continue;
    const missing = value === undefined;
    const detail = missing ? `is required and ${failed.message}` : failed.message;
    faults.push({ pointer: pointerTo(field.name), detail, code: missing ? 'required' : failed.name });
  }
  return faults;
}

function fieldsOf(target: Class): Map<string, FieldCheck> {
  const known = compiled.get(target);
  if (known) return known;
  const fields = compile(target);
  compiled.set(target, fields);
  return fields;
}

/** Most requests have no query. They get the defaults. */
function queryOf(target: Class, sent: object): object {
  if (Object.keys(sent).length === 0) return new target();
  return plainToInstance(target, sent, { exposeDefaultValues: true });
}

function compile(target: Class): Map<string, FieldCheck> {
  const fields = new Map<string, FieldCheck>();
  const storage = getMetadataStorage();
  for (const rule of storage.getTargetValidationMetadatas(target, '', false, false)) {
    const field = fields.get(rule.propertyName) ?? { name: rule.propertyName, applies: [], checks: [] };
    fields.set(rule.propertyName, field);
    if (rule.type === 'conditionalValidation') {
      field.applies.push(rule.constraints[0] as (object: object, value: unknown) => boolean);
      continue;
    }
    const [constraint] = storage.getTargetValidatorConstraints(rule.constraintCls);
    if (!constraint)
      throw new Error(`${target.name}.${rule.propertyName} has a check that cannot be run here`);
    const instance = getFromContainer(constraint.target as new () => Constraint);
    const { constraints, propertyName: property } = rule;
    const targetName = target.name;
    // One object for all requests, to make less garbage. A check uses it only until it returns.
    const args: ValidationArguments = { constraints, property, targetName, value: undefined, object: {} };
    field.checks.push({
      name: constraint.name,
      accepts: (value, object) => {
        args.value = value;
        args.object = object;
        return instance.validate(value, args) === true;
      },
      message: instance.defaultMessage?.(args) ?? `must be ${constraint.name}`,
    });
  }
  return fields;
}
