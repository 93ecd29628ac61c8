/** The fields that a condition can name, and how each is read from a request. */
import type { EvaluateRequest } from './policy.dto.js';

export type Read = (request: EvaluateRequest) => unknown;

export interface Field {
  /** The canonical name; aliases have the same one. */
  name: string;
  /** Returns `undefined` when the request does not have the field. */
  read: Read;
}

const PLAIN: Record<string, Field> = {
  agent_id: { name: 'agent_id', read: (request) => request.agent_id },
  agent_role: { name: 'agent_role', read: (request) => request.agent_role },
  action: { name: 'action', read: (request) => request.action },
  resource: { name: 'resource', read: (request) => request.resource },
};
const ALIASES: Record<string, string> = { 'agent.id': 'agent_id', 'agent.role': 'agent_role' };
const ROOTS: Record<string, 'environment' | 'params'> = {
  environment: 'environment',
  context: 'environment',
  params: 'params',
};
/** A path must not lead from the request into JavaScript's own objects. */
const FORBIDDEN = new Set(['__proto__', 'constructor', 'prototype']);

/** @returns `undefined` for a name that is not a field */
export function fieldOf(name: unknown): Field | undefined {
  if (typeof name !== 'string') return undefined;
  const plain = Object.hasOwn(ALIASES, name) ? ALIASES[name] : name;
  if (Object.hasOwn(PLAIN, plain)) return PLAIN[plain];
  const [first, ...path] = name.split('.');
  if (!Object.hasOwn(ROOTS, first) || path.length === 0) return undefined;
  if (path.some((step) => step === '' || FORBIDDEN.has(step))) return undefined;
  const root = ROOTS[first];
  return { name: `${root}.${path.join('.')}`, read: reader(root, path) };
}

function reader(root: 'environment' | 'params', path: string[]): Read {
  if (path.length === 1) {
    const [only] = path;
    return (request) => own(request[root], only);
  }
  return (request) => {
    let value: unknown = request[root];
    for (const step of path) value = own(value, step);
    return value;
  };
}

/** Reads only own members. A list has only its positions: `length` is not part of the request. */
function own(holder: unknown, step: string): unknown {
  if (typeof holder !== 'object' || holder === null || !Object.hasOwn(holder, step)) return undefined;
  if (Array.isArray(holder) && step === 'length') return undefined;
  return (holder as Record<string, unknown>)[step];
}
