/**
 * Templates insert values of the mission into the parameters of a step: `${data.<path>}` and `${steps.<name>.result.<path>}`. A
 * template is a path and never code. Only own members are read, so no template reaches a prototype.
 */
import { pointerTo } from '../../shared/errors.js';
import { isWellFormed } from '../../shared/json.js';
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

interface FillOptions {
  /** Shared by all values of a step. */
  budget?: Budget;
  /** The value is a URL: what is inserted into it is percent-encoded, so that it stays within its part of the URL. */
  isUrl?: boolean;
}

/** Replaces every template in a value. A text that is only one template becomes the inserted value, with its type. */
export function filled(
  value: unknown,
  values: Values,
  { budget = newBudget(), isUrl = false }: FillOptions = {},
): unknown {
  if (typeof value === 'string') return filledText(value, values, budget, isUrl ? inUrl : asText);
  const fill = (member: unknown): unknown => filled(member, values, { budget, isUrl });
  if (Array.isArray(value)) return value.map(fill);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, fill(member)]));
}

interface Budget {
  left: number;
}

export function newBudget(): Budget {
  return { left: MAX_MIB * 2 ** 20 };
}

/** The text with a word in the place of each template. */
export function withWords(text: string, word: string): string {
  return text.replaceAll(TEMPLATE, word);
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

function filledText(
  text: string,
  values: Values,
  budget: Budget,
  written: (value: unknown, path: string) => string,
): unknown {
  const whole = WHOLE.exec(text)?.[1];
  if (whole !== undefined) {
    const value = valueAt(whole, values);
    spend(budget, JSON.stringify(value));
    return value;
  }
  return text.replaceAll(TEMPLATE, (_, path: string) => {
    const replacement = written(valueAt(path, values), path);
    spend(budget, replacement);
    return replacement;
  });
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Encoding does not help against `.` and `..`: a URL parser reads `%2e%2e` as a step up, too. */
function inUrl(value: unknown, path: string): string {
  const text = asText(value);
  if (text !== '.' && text !== '..' && isWellFormed(text)) return encodeURIComponent(text);
  const detail = `\${${path.slice(0, 64)}} must not be . or .. or half a character inside a URL; correct the value`;
  throw new StepFailure('invalid_params', detail, true);
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
