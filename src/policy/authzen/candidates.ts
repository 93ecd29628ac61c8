/**
 * What a search can find: the ids that the policies name, and whether they could allow any other id. Rules with patterns, or
 * without a condition on the id, may allow ids that nobody has named.
 */
import { membersOf } from '../../shared/shapes.js';
import { decide } from '../engine/decide.js';
import type { EvaluateRequest } from '../engine/policy.dto.js';
import { type CompiledCondition, type CompiledRule, conditionsOf } from '../engine/rules.js';
import type { Snapshot } from '../engine/snapshot.js';

export type Searched = 'subject' | 'resource' | 'action';

/** Whether something holds for every id that is not named. Undefined if that depends on the id. */
type ForOthers = boolean | undefined;

/** The fields that have the id. For a resource the first one has its type as well. */
const FIELDS: Record<Searched, readonly string[]> = {
  subject: ['agent_id', 'environment.subject.id'],
  resource: ['resource', 'environment.resource.id'],
  action: ['action'],
};
/** Fields whose values contain the id somewhere. */
const HOLDERS = new Set(['environment.subject', 'environment.resource']);
/** The most rules that an answer names. */
const MAX_REASONS = 10;
const LATE = 'The search took too long and ended early';

/** @param template the request, with any id @returns the request about this id */
function withId(template: EvaluateRequest, searched: Searched, id: string): EvaluateRequest {
  if (searched === 'action') return { ...template, action: id };
  const entity = { ...membersOf(template.environment?.[searched]), id };
  const environment = { ...template.environment, [searched]: entity };
  if (searched === 'subject') return { ...template, agent_id: id, environment };
  return { ...template, resource: `${typeOf(template)}:${id}`, environment };
}

/** Adds the ids that the conditions name. It works in slices, because there may be many rules. */
function* namedIds(
  { rules }: Snapshot,
  template: EvaluateRequest,
  searched: Searched,
  ids: Set<string>,
): Generator<void, void, void> {
  for (const rule of rules) {
    for (const condition of conditionsOf(rule)) {
      for (const [field, value] of namedBy(condition, template, searched)) {
        const id = idIn(field, value, template, searched);
        if (id !== undefined && id !== '') ids.add(id);
      }
    }
    yield;
  }
}

/** Why ids that are not named may be allowed; empty if they are all denied. */
function* whyIncomplete({ snapshot, template, searched, isLate }: Finding): Generator<void, string[], void> {
  const reasons: string[] = [];
  for (const rule of snapshot.rules) {
    yield;
    if (isLate()) return [...reasons, LATE];
    const outcome = ruleForOthers(rule, template, searched);
    if (rule.effect === 'deny') {
      if (outcome === true) return reasons;
      continue;
    }
    if (outcome === false) continue;
    reasons.push(
      `Rule '${rule.ruleId}' of policy '${rule.policyId}' may allow others: it does not name them`,
    );
    if (outcome === true || reasons.length >= MAX_REASONS) return reasons;
  }
  if (snapshot.fallback.allowed) reasons.push(`The default effect ${snapshot.fallback.effect} allows others`);
  return reasons;
}

function ruleForOthers(rule: CompiledRule, template: EvaluateRequest, searched: Searched): ForOthers {
  // A rule that cannot be evaluated allows nothing. One that denies is not relied on.
  const error = rule.effect === 'deny' ? undefined : false;
  let outcome: ForOthers = rule.brokenReason === undefined ? true : error;
  for (const condition of conditionsOf(rule)) {
    let holds: ForOthers;
    try {
      holds = forOthers(condition, template, searched);
    } catch {
      holds = error;
    }
    if (holds === false) return false;
    if (holds === undefined) outcome = undefined;
  }
  return outcome;
}

function forOthers(condition: CompiledCondition, template: EvaluateRequest, searched: Searched): ForOthers {
  const { field, pair, source, test, read } = condition;
  const fields = pair ? pair.map(({ name }) => name) : [field];
  const isId = (name: string): boolean => FIELDS[searched].includes(name);
  if (!fields.some((name) => isId(name) || HOLDERS.has(name))) return test(read(template));
  if (!fields.some(isId) || fields.every(isId) !== (pair === undefined)) return undefined;
  switch (source.operator) {
    case '==':
    case 'in':
      // A list in the request that contains the id is the same as a list in the condition.
      return !pair || isId(fields[0]) || source.operator === '==' ? false : undefined;
    case '!=':
    case 'not_in':
      return !pair || isId(fields[0]) || source.operator === '!=' ? true : undefined;
    case 'exists':
      return source.value === true;
    case 'contains':
      return pair && isId(fields[1]) && Array.isArray(pair[0].read(template)) ? false : undefined;
    default:
      return searched === 'resource' && field === 'resource' ? byType(condition, template) : undefined;
  }
}

/** Every resource that is searched for begins with its type. */
function byType({ hint }: CompiledCondition, template: EvaluateRequest): ForOthers {
  if (hint?.by !== 'prefix') return undefined;
  const start = `${typeOf(template)}:`;
  if (start.startsWith(hint.prefix)) return hint.exact ? true : undefined;
  return hint.prefix.startsWith(start) ? undefined : false;
}

/** The values that the condition names for the id, each with the field. */
function namedBy(
  { field, pair, source }: CompiledCondition,
  template: EvaluateRequest,
  searched: Searched,
): [field: string, value: unknown][] {
  const isId = (name: string): boolean => FIELDS[searched].includes(name);
  const { operator, value } = source;
  if (!pair) {
    if (!isId(field) || !['==', '!=', 'in', 'not_in'].includes(operator)) return [];
    return valuesOf(field, value);
  }
  const [one, other] = pair;
  if (isId(one.name) === isId(other.name)) return [];
  const [id, of] = isId(one.name) ? [one, other] : [other, one];
  return valuesOf(id.name, of.read(template));
}

function valuesOf(field: string, value: unknown): [field: string, value: unknown][] {
  return (Array.isArray(value) ? (value as unknown[]) : [value]).map((one) => [field, one]);
}

function idIn(
  field: string,
  value: unknown,
  template: EvaluateRequest,
  searched: Searched,
): string | undefined {
  if (typeof value !== 'string') return undefined;
  if (searched !== 'resource' || field !== 'resource') return value;
  const start = `${typeOf(template)}:`;
  return value.startsWith(start) ? value.slice(start.length) : undefined;
}

function typeOf({ environment }: EvaluateRequest): string {
  return String(membersOf(environment?.resource)?.type);
}

export interface Finding {
  snapshot: Snapshot;
  template: EvaluateRequest;
  searched: Searched;
  /** Ids that may act although no rule names them. */
  known: ReadonlySet<string>;
  /** Whether the caller may ask about this id. */
  mayName: (id: string) => boolean;
  /** Whether the caller may ask about ids only that are in `known`. */
  knowsAll: boolean;
  maxIds: number;
  /** Whether the search has taken too long. */
  isLate: () => boolean;
}

/** The ids that may act, sorted, and why there may be more. Nothing is counted, and there are no events. */
export function* findIds(finding: Finding): Generator<void, { ids: string[]; reasons: string[] }, void> {
  const { snapshot, template, searched, known, mayName, knowsAll, maxIds, isLate } = finding;
  const named = new Set(known);
  yield* namedIds(snapshot, template, searched, named);
  const candidates = [...named].filter(mayName).sort();
  const reasons = candidates.length > maxIds ? [`There are more than ${maxIds} ids to look at`] : [];
  const ids: string[] = [];
  for (const id of candidates.slice(0, maxIds)) {
    yield;
    if (isLate()) return { ids, reasons: [...reasons, LATE] };
    if (decide(snapshot, withId(template, searched, id)).allowed) ids.push(id);
  }
  if (!knowsAll) reasons.push(...(yield* whyIncomplete(finding)));
  return { ids, reasons };
}
