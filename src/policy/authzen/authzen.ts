/**
 * Translates between OpenID AuthZEN Authorization API 1.0 and the engine: evaluations become requests, and decisions become
 * answers. As the specification demands, it ignores unknown members and checks the required ones.
 */

import { checksOf } from '../../shared/class-schema.js';
import type { Fault } from '../../shared/errors.js';
import { jsonHint } from '../../shared/fields.js';
import { isExactJson } from '../../shared/json.js';
import { fieldFaults, type Members, membersOf } from '../../shared/shapes.js';
import type { Decision } from '../decisions/routes.dto.js';
import { EvaluateRequest } from '../engine/policy.dto.js';
import {
  AuthzenAction,
  type AuthzenDecision,
  type AuthzenDecisions,
  AuthzenOptions,
  type AuthzenRequest,
  AuthzenResource,
  AuthzenSubject,
  type Semantic,
} from './authzen.dto.js';

const MAX_EVALUATIONS = 1000;
/** Each evaluation that uses the default context copies it; a thousand copies of a large one would take a second. */
const MAX_SHARED_MEMBERS = 100;

/** The request for the engine, or the faults of the evaluation. */
export type Reading = EvaluateRequest | Fault[];

export interface Batch {
  semantic: Semantic;
  /** In order. The list ends early if the faults of an evaluation already deny and the semantic ends with a denial. */
  readings: Reading[];
}

type Name = keyof AuthzenRequest;

/** A part of the body with its faults. A default is checked once, although a thousand evaluations may share it. */
interface Entity {
  value: unknown;
  faults: Fault[];
}
type Entities = Partial<Record<Name, Entity>>;

const NAMES: readonly Name[] = ['subject', 'action', 'resource', 'context'];
const SUBJECT = checksOf(AuthzenSubject);
const ACTION = checksOf(AuthzenAction);
const RESOURCE = checksOf(AuthzenResource);
const OPTIONS = checksOf(AuthzenOptions);
const ROLE = checksOf(EvaluateRequest).filter(({ name }) => name === 'agent_role');

const CHECKS: Record<Name, (entity: Members, at: string, faults: Fault[]) => void> = {
  subject: (subject, at, faults) => {
    fieldFaults(subject, SUBJECT, at, faults);
    checkRole(subject.properties, at, faults);
  },
  action: (action, at, faults) => fieldFaults(action, ACTION, at, faults),
  resource: (resource, at, faults) => fieldFaults(resource, RESOURCE, at, faults),
  context: checkContext,
};

/** Whether the evaluations end with this decision. */
const ENDS: Record<Semantic, (decision: boolean) => boolean> = {
  execute_all: () => false,
  deny_on_first_deny: (decision) => !decision,
  permit_on_first_permit: (decision) => decision,
};

export function isLast({ semantic }: Batch): (decision: Decision) => boolean {
  return ({ allowed }) => ENDS[semantic](allowed);
}

export function isFaulty(reading: Reading | Batch): reading is Fault[] {
  return Array.isArray(reading);
}

/** A body without evaluations is a single evaluation, on both routes. */
export function isSingle(body: unknown): boolean {
  const evaluations = isObject(body) ? body.evaluations : undefined;
  return evaluations === undefined || (Array.isArray(evaluations) && evaluations.length === 0);
}

export function readEvaluation(body: unknown): Reading {
  return isObject(body) ? readingOf(entitiesOf(body, ''), '') : [notAnObject('')];
}

/**
 * @returns faults if the body as a whole is wrong. A fault of one evaluation denies only that evaluation. A fault of a default
 * counts for the whole body, unless every evaluation overrides the default.
 */
export function readEvaluations(body: unknown): Batch | Fault[] {
  if (!isObject(body)) return [notAnObject('')];
  const { evaluations, options = {} } = body;
  const faults: Fault[] = [];
  if (!isObject(options)) faults.push(notAnObject('/options'));
  else fieldFaults(options, OPTIONS, '/options', faults);
  if (!Array.isArray(evaluations) || evaluations.length > MAX_EVALUATIONS) {
    const detail = `must be a list of at most ${MAX_EVALUATIONS} evaluations`;
    return [...faults, { pointer: '/evaluations', detail, code: 'list' }];
  }
  const defaults = entitiesOf(body, '');
  faults.push(...defaultFaults(defaults, evaluations));
  if (faults.length > 0) return faults;
  const { evaluations_semantic: semantic = 'execute_all' } = options as AuthzenOptions;
  return { semantic, readings: readAll(evaluations, defaults, semantic) };
}

export function requestsOf({ readings }: Batch): EvaluateRequest[] {
  return readings.filter((reading): reading is EvaluateRequest => !isFaulty(reading));
}

/** @param decisions one for each request of the batch; fewer if the semantic ended the batch early */
export function answersOf({ readings, semantic }: Batch, decisions: readonly Decision[]): AuthzenDecisions {
  const evaluations: AuthzenDecision[] = [];
  let decided = 0;
  for (const reading of readings) {
    const answer = isFaulty(reading) ? refusalOf(reading) : answerOf(decisions[decided++]);
    evaluations.push(answer);
    if (ENDS[semantic](answer.decision)) break;
  }
  return { evaluations };
}

/** Omits members without a value from the context, as the specification demands. */
export function answerOf({ allowed, matched_rule, matched_policy, ...context }: Decision): AuthzenDecision {
  const matched = matched_rule === null || matched_policy === null ? {} : { matched_rule, matched_policy };
  return { decision: allowed, context: { ...context, ...matched } };
}

function refusalOf(faults: Fault[]): AuthzenDecision {
  const message = faults.map(({ pointer, detail }) => `${pointer} ${detail}`).join('; ');
  return { decision: false, context: { error: { status: 400, message } } };
}

function readAll(evaluations: readonly unknown[], defaults: Entities, semantic: Semantic): Reading[] {
  const readings: Reading[] = [];
  for (const [index, own] of evaluations.entries()) {
    const at = `/evaluations/${index}`;
    const reading = isObject(own)
      ? readingOf({ ...defaults, ...entitiesOf(own, at) }, at)
      : [notAnObject(at)];
    readings.push(reading);
    if (isFaulty(reading) && ENDS[semantic](false)) break;
  }
  return readings;
}

function defaultFaults(defaults: Entities, evaluations: readonly unknown[]): Fault[] {
  const faults = NAMES.flatMap((name) => {
    const given = defaults[name];
    return given && (!isObject(given.value) || isInherited(name, evaluations)) ? given.faults : [];
  });
  const context = defaults.context?.value;
  if (isObject(context) && Object.keys(context).length > MAX_SHARED_MEMBERS) {
    const detail = `must have at most ${MAX_SHARED_MEMBERS} members if evaluations share it`;
    faults.push({ pointer: '/context', detail, code: 'too_many' });
  }
  return faults;
}

function isInherited(name: Name, evaluations: readonly unknown[]): boolean {
  return evaluations.some((own) => isObject(own) && own[name] === undefined);
}

function entitiesOf(members: Members, at: string): Entities {
  const entities: Entities = {};
  for (const name of NAMES) {
    const value = members[name];
    if (value === undefined) continue;
    const faults: Fault[] = [];
    if (isObject(value)) CHECKS[name](value, `${at}/${name}`, faults);
    else faults.push(notAnObject(`${at}/${name}`));
    entities[name] = { value, faults };
  }
  return entities;
}

/** Refuses a role that is not text. Ignoring it would be dangerous: a rule that denies this role would not match. */
function checkRole(properties: unknown, at: string, faults: Fault[]): void {
  const role = isObject(properties) ? properties.role : undefined;
  if (role === undefined || role === null) return;
  for (const check of ROLE) {
    if (check.allows(role)) continue;
    faults.push({ pointer: `${at}/properties/role`, detail: check.what, code: check.code });
  }
}

function checkContext(context: Members, pointer: string, faults: Fault[]): void {
  if (isExactJson(context)) return;
  faults.push({ pointer, detail: `must be ${jsonHint(true)}`, code: 'json_object' });
}

function readingOf(entities: Entities, at: string): Reading {
  const faults: Fault[] = [];
  for (const name of NAMES) {
    const entity = entities[name];
    if (entity) faults.push(...entity.faults);
    else if (name !== 'context') {
      const detail = 'is required and must be a JSON object';
      faults.push({ pointer: `${at}/${name}`, detail, code: 'required' });
    }
  }
  return faults.length > 0 ? faults : requestOf(entities);
}

/**
 * Subject and resource are also part of the environment, so that conditions can test their types and properties. They come
 * after the context: no context can replace them.
 */
function requestOf(entities: Entities): EvaluateRequest {
  const { subject, action, resource, context } = valuesOf(entities);
  const request: EvaluateRequest = {
    agent_id: subject.id,
    action: action.name,
    resource: `${resource.type}:${resource.id}`,
    environment: { ...context, subject: entityOf(subject), resource: entityOf(resource) },
    params: action.properties ?? {},
  };
  const role = subject.properties?.role as string | null | undefined;
  if (role !== undefined && role !== null) request.agent_role = role;
  return request;
}

/** Call it only for entities without faults. */
function valuesOf({ subject, action, resource, context }: Entities): AuthzenRequest {
  return {
    subject: subject?.value as AuthzenSubject,
    action: action?.value as AuthzenAction,
    resource: resource?.value as AuthzenResource,
    context: context?.value as Members | undefined,
  };
}

function entityOf({ type, id, properties = {} }: AuthzenSubject | AuthzenResource): Members {
  return { type, id, properties };
}

function isObject(value: unknown): value is Members {
  return membersOf(value) !== undefined;
}

function notAnObject(pointer: string): Fault {
  return { pointer, detail: 'must be a JSON object', code: 'object' };
}
