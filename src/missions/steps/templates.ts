/**
 * Templates insert values of the mission into the parameters of a step: `${data.<path>}` and `${steps.<name>.result.<path>}`. A
 * template is a path and never code. Only own members are read, so no template reaches a prototype.
 */
import { pointerTo } from '../../shared/errors.js';
import { StepFailure } from './step.js';

/** The mission has no value for a template. */
export class MissingValue extends Error {}

export interface Values {
  data: unknown;
  steps: Record<string, { result: unknown }>;
}

const TEMPLATE = /\$\{([^${}]*)\}/g;
const WHOLE = /^\$\{([^${}]*)\}$/;
const DATA = /^data(\.[^.]+)+$/;
const STEP = /^steps\.([A-Za-z0-9_-]+)\.result(\.[^.]+)*$/;

/** The limit for all inserted values together. Otherwise a few characters could expand to any amount of memory. */
const MAX_MIB = 2;

/** Replaces every template in a value. A text that is only one template becomes the inserted value, with its type. */
export function filled(value: unknown, values: Values): unknown {
  return filledWithin(value, values, { left: MAX_MIB * 2 ** 20 });
}

interface Budget {
  left: number;
}

function filledWithin(value: unknown, values: Values, budget: Budget): unknown {
  if (typeof value === 'string') return filledText(value, values, budget);
  if (Array.isArray(value)) return value.map((member) => filledWithin(member, values, budget));
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value);
  return Object.fromEntries(members.map(([key, member]) => [key, filledWithin(member, values, budget)]));
}

/** The names of the steps whose results the templates in a value need. */
export function stepsNamed(value: unknown, named = new Set<string>()): Set<string> {
  if (typeof value === 'string') {
    for (const [, path = ''] of value.matchAll(TEMPLATE)) {
      const step = STEP.exec(path)?.[1];
      if (step !== undefined) named.add(step);
    }
  } else if (typeof value === 'object' && value !== null) {
    for (const member of Object.values(value)) stepsNamed(member, named);
  }
  return named;
}

/** Yields the templates in a value that can never be filled. `earlier` names the steps that run before. */
export function* templateFaults(
  value: unknown,
  earlier: ReadonlySet<string>,
  pointer: string,
): Generator<{ pointer: string; detail: string }> {
  if (typeof value === 'string') {
    for (const [, path = ''] of value.matchAll(TEMPLATE)) {
      const detail = faultIn(path, earlier);
      if (detail) yield { pointer, detail };
    }
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, member] of Object.entries(value)) {
      yield* templateFaults(member, earlier, pointer + pointerTo(key));
    }
  }
}

function faultIn(path: string, earlier: ReadonlySet<string>): string | undefined {
  const step = STEP.exec(path)?.[1];
  if (step !== undefined && earlier.has(step)) return undefined;
  if (step !== undefined) return `uses the result of ${step}, which is not an earlier step`;
  if (DATA.test(path)) return undefined;
  return `uses \${${path.slice(0, 64)}}; a template must be \${data.<path>} or \${steps.<name>.result.<path>}`;
}

function filledText(text: string, values: Values, budget: Budget): unknown {
  const whole = WHOLE.exec(text)?.[1];
  if (whole !== undefined) {
    const value = valueAt(whole, values);
    spend(budget, JSON.stringify(value));
    return value;
  }
  return text.replaceAll(TEMPLATE, (_, path: string) => {
    const value = valueAt(path, values);
    const replacement = typeof value === 'string' ? value : JSON.stringify(value);
    spend(budget, replacement);
    return replacement;
  });
}

function spend(budget: Budget, text: string): void {
  budget.left -= Buffer.byteLength(text);
  if (budget.left >= 0) return;
  const detail = `the values that templates insert into params and resource exceed ${MAX_MIB} MiB; insert less`;
  throw new StepFailure('params_too_large', detail, true);
}

function valueAt(path: string, values: Values): unknown {
  let value: unknown = values;
  for (const part of path.split('.')) {
    const has = typeof value === 'object' && value !== null && Object.hasOwn(value, part);
    if (!has) throw missing(path);
    value = (value as Record<string, unknown>)[part];
  }
  if (value === undefined) throw missing(path);
  return value;
}

function missing(path: string): MissingValue {
  return new MissingValue(
    `the mission has no value for \${${path.slice(0, 256)}}; correct the path, or put the value into data`,
  );
}
