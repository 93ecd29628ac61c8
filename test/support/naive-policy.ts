/**
 * The simplest program that decides as the contract says: it tests every rule in turn and reads every condition again. It
 * shares no code with the engine, so tests compare the engine with it.
 */
import { RE2JS } from 're2js';
import type {
  Condition,
  EvaluateRequest,
  PolicyContent,
  Rule,
  Verdict,
} from '../../src/policy/engine/policy.dto.js';

const CAUTION = ['deny', 'audit', 'warn', 'allow'];
const WORDS: Record<string, string> = {
  allow: 'Allowed by',
  deny: 'Denied by',
  warn: 'Allowed with warning by',
  audit: 'Allowed with audit requirement by',
};

interface Candidate {
  policy: PolicyContent;
  rule: Rule;
}

/** What is left of the budget of one decision, and the results of the patterns that were paid for. */
interface Purse {
  left: number;
  paid: Map<string, boolean>;
}

const MOST_ERRORS = 50;

/** @param budget what the patterns of one decision may cost: instructions times characters */
export function decideNaively(
  policies: PolicyContent[],
  request: EvaluateRequest,
  budget = Number.POSITIVE_INFINITY,
): Verdict {
  const purse: Purse = { left: budget, paid: new Map() };
  const enabled = policies.filter((policy) => policy.enabled);
  const candidates = enabled.flatMap((policy) => policy.rules.map((rule): Candidate => ({ policy, rule })));
  const inOrder = candidates.filter(({ rule }) => rule.enabled).sort(precedence);
  const errors: string[] = [];
  let answer = fallback(enabled);
  for (const { policy, rule } of inOrder) {
    const outcome = outcomeOf(rule, request, purse);
    if (outcome === 'error') errors.push(`Rule '${rule.rule_id}'`);
    if (outcome === true || (outcome === 'error' && rule.effect === 'deny')) {
      answer = byRule(policy, rule);
      break;
    }
  }
  if (errors.length > MOST_ERRORS)
    errors.splice(MOST_ERRORS - 1, errors.length, errors[errors.length - 1], 'and more');
  return errors.length > 0 ? { ...answer, errors } : answer;
}

function precedence(a: Candidate, b: Candidate): number {
  const before = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);
  return (
    b.rule.priority - a.rule.priority ||
    CAUTION.indexOf(a.rule.effect) - CAUTION.indexOf(b.rule.effect) ||
    before(a.policy.policy_id, b.policy.policy_id) ||
    before(a.rule.rule_id, b.rule.rule_id)
  );
}

function byRule(policy: PolicyContent, rule: Rule): Verdict {
  return {
    allowed: rule.effect !== 'deny',
    effect: rule.effect,
    matched_rule: rule.rule_id,
    matched_policy: policy.policy_id,
    reason: `${WORDS[rule.effect]} rule '${rule.name}'`,
    warnings: rule.effect === 'warn' ? [rule.description === '' ? rule.name : rule.description] : [],
    requires_audit: rule.effect === 'audit',
  };
}

function fallback(enabled: PolicyContent[]): Verdict {
  const defaults = enabled
    .map((policy) => policy.default_effect)
    .sort((a, b) => CAUTION.indexOf(a) - CAUTION.indexOf(b));
  const effect = defaults[0] ?? 'deny';
  const none = 'No policies configured - default deny';
  return {
    allowed: effect !== 'deny',
    effect,
    matched_rule: null,
    matched_policy: null,
    reason: enabled.length === 0 ? none : `No matching rules - applied default effect: ${effect}`,
    warnings: [],
    requires_audit: effect === 'audit',
  };
}

/** First the conditions that cost nothing; then the others, as long as all before them hold. */
function outcomeOf(rule: Rule, request: EvaluateRequest, purse: Purse): boolean | 'error' {
  const plain = rule.conditions.filter((one) => sizeOf(one) === 0);
  const costly = rule.conditions.filter((one) => sizeOf(one) > 0);
  // Actions first, then roles, then all others.
  const place = ({ field, value_from }: Condition): number =>
    value_from !== undefined
      ? 2
      : field === 'action'
        ? 0
        : field === 'agent_role' || field === 'agent.role'
          ? 1
          : 2;
  costly.sort((a, b) => place(a) - place(b));
  const outcomes = plain.map((one) => outcomeOfCondition(one, request));
  for (const one of costly) {
    if (outcomes.includes(false)) return false;
    outcomes.push(pay(one, request, purse));
  }
  if (outcomes.includes(false)) return false;
  return outcomes.includes('error') ? 'error' : true;
}

function outcomeOfCondition(condition: Condition, request: EvaluateRequest): boolean | 'error' {
  try {
    return conditionHolds(condition, request);
  } catch {
    return 'error';
  }
}

function pay(condition: Condition, request: EvaluateRequest, purse: Purse): boolean | 'error' {
  const { field, operator, value } = condition;
  if (condition.value_from !== undefined) return payForPair(condition, request, purse);
  const actual = readField(field, request);
  const isText = typeof actual === 'string' && actual.startsWith(startOf(operator, value));
  if (operator === 'contains' ? !Array.isArray(actual) : !isText) return false;
  const name = field.replace('agent.role', 'agent_role').replace('context.', 'environment.');
  const key = `${name} ${operator} ${JSON.stringify(value)}`;
  const isPaid = operator !== 'contains' && purse.paid.has(key);
  const price = isPaid ? 0 : sizeOf(condition) * (actual as unknown[]).length;
  if (price > purse.left) return 'error';
  purse.left -= price;
  const outcome = conditionHolds(condition, request);
  purse.paid.set(key, outcome);
  return outcome;
}

/** Two fields that hold texts, objects or lists. */
function payForPair(condition: Condition, request: EvaluateRequest, purse: Purse): boolean | 'error' {
  const { field, operator, value_from = '' } = condition;
  const one = readField(field, request);
  const other = readField(value_from, request);
  const nodes = { '==': Math.min(nodesOf(one), nodesOf(other)), contains: nodesOf(one), in: nodesOf(other) };
  const kind = operator.replace('!=', '==').replace('not_in', 'in') as keyof typeof nodes;
  const isSearch = operator === 'contains' && typeof one === 'string' && typeof other === 'string';
  const price = isSearch ? (one.length + other.length) / 2 : 4 * nodes[kind];
  if (price > purse.left) return 'error';
  purse.left -= price;
  return conditionHolds(condition, request);
}

/** What a condition costs for one character of a text, or for one member of a list; 1 for two fields. */
function sizeOf({ field, operator, value, value_from }: Condition): number {
  try {
    readField(field, { agent_id: '', action: '' });
    if (value_from !== undefined) {
      readField(value_from, { agent_id: '', action: '' });
      return value === undefined && ['==', '!=', 'in', 'not_in', 'contains'].includes(operator) ? 1 : 0;
    }
  } catch {
    return 0;
  }
  if (operator === 'contains') return 4 * nodesOf(value);
  if ((operator !== 'matches' && operator !== 'search') || typeof value !== 'string') return 0;
  const isFree = operator === 'matches' ? /^\^?(?:\w|\\\.)*(?:\.\*|\$)?$/ : /^(?:\w|\\\.)*$/;
  if (isFree.test(value)) return 0;
  try {
    return RE2JS.compile(operator === 'matches' ? `\\A(?:${value})` : value).programSize();
  } catch {
    return 0;
  }
}

/** How many values there are in a value, with itself; 0 for a scalar. */
function nodesOf(value: unknown, scalar = 0): number {
  if (typeof value !== 'object' || value === null) return scalar;
  return 1 + Object.values(value).reduce<number>((sum, one) => sum + nodesOf(one, 1), 0);
}

/** The plain text with which every text begins that the pattern matches. */
function startOf(operator: string, pattern: unknown): string {
  if (operator === 'search' || typeof pattern !== 'string' || pattern.includes('|')) return '';
  const [, plain] = /^\^?((?:(?:\w|\\\.)(?![?*+{]))*)/.exec(pattern) ?? ['', ''];
  return plain.replaceAll('\\', '');
}

function conditionHolds(condition: Condition, request: EvaluateRequest): boolean {
  const { field, operator, value, value_from } = condition;
  const actual = readField(field, request);
  if (value_from !== undefined) {
    const canCompare = ['==', '!=', '>', '<', '>=', '<=', 'in', 'not_in', 'contains', 'starts_with'];
    if (value !== undefined || !canCompare.includes(operator)) throw new Error('cannot be evaluated');
    return pairHolds(actual, operator, readField(value_from, request));
  }
  if (!soundly(operator, value)) throw new Error('cannot be evaluated');
  if (actual === undefined) {
    if (operator === 'exists') return value === false;
    return operator === '!=' || operator === 'not_in';
  }
  switch (operator) {
    case '==':
      return same(actual, value);
    case '!=':
      return !same(actual, value);
    case '>':
      return comparable(actual, value) && (actual as number) > (value as number);
    case '<':
      return comparable(actual, value) && (actual as number) < (value as number);
    case '>=':
      return comparable(actual, value) && (actual as number) >= (value as number);
    case '<=':
      return comparable(actual, value) && (actual as number) <= (value as number);
    case 'contains':
      if (typeof actual === 'string') return typeof value === 'string' && actual.indexOf(value) >= 0;
      return Array.isArray(actual) && actual.some((member) => same(member, value));
    case 'matches': {
      const pattern = new RegExp(`^(?:${value as string})`);
      return typeof actual === 'string' && pattern.test(actual);
    }
    case 'search':
      return typeof actual === 'string' && new RegExp(value as string).test(actual);
    case 'in':
      return (value as unknown[]).some((member) => same(member, actual));
    case 'not_in':
      return !(value as unknown[]).some((member) => same(member, actual));
    case 'exists':
      return value === true;
    case 'starts_with':
      return typeof actual === 'string' && actual.indexOf(value as string) === 0;
    default:
      return false;
  }
}

function pairHolds(actual: unknown, operator: string, other: unknown): boolean {
  const isNegation = operator === '!=' || operator === 'not_in';
  if (actual === undefined || other === undefined) return isNegation;
  // What is no list has no members, and no text starts with what is no text.
  if (operator.endsWith('in') && !Array.isArray(other)) return isNegation;
  if (operator === 'starts_with' && typeof other !== 'string') return false;
  const compared: Condition = {
    field: 'params.one',
    operator: operator as Condition['operator'],
    value: other,
  };
  return conditionHolds(compared, { agent_id: '', action: '', params: { one: actual } });
}

function soundly(operator: string, value: unknown): boolean {
  if (operator === 'matches' || operator === 'search')
    return typeof value === 'string' && new RegExp(value) instanceof RegExp;
  if (operator === 'starts_with') return typeof value === 'string';
  if (operator === 'exists') return typeof value === 'boolean';
  if (operator === 'in' || operator === 'not_in') return Array.isArray(value);
  return ['==', '!=', '>', '<', '>=', '<=', 'contains'].includes(operator);
}

function readField(field: string, request: EvaluateRequest): unknown {
  const plain: Record<string, unknown> = {
    agent_id: request.agent_id,
    'agent.id': request.agent_id,
    agent_role: request.agent_role,
    'agent.role': request.agent_role,
    action: request.action,
    resource: request.resource,
  };
  if (Object.hasOwn(plain, field)) return plain[field];
  const [root, ...path] = field.split('.');
  if (path.length === 0 || !['environment', 'context', 'params'].includes(root))
    throw new Error('unknown field');
  let value: unknown = root === 'params' ? request.params : request.environment;
  for (const step of path) {
    if (['__proto__', 'constructor', 'prototype'].includes(step)) throw new Error('unknown field');
    const members = typeof value === 'object' && value !== null ? Object.entries(value) : [];
    value = members.find(([name]) => name === step)?.[1];
  }
  return value;
}

function comparable(one: unknown, other: unknown): boolean {
  return typeof one === typeof other && ['number', 'string'].includes(typeof one);
}

function same(one: unknown, other: unknown): boolean {
  return canonical(one) === canonical(other);
}

/** JSON with sorted members, so that equal values have equal texts. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}
