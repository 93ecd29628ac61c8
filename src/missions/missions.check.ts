/** Checks the steps of a mission when it is made: every fault at once, each at its pointer. */
import type { Fault } from '../shared/errors.js';
import { checksOf, type FieldCheck } from '../shared/fields.js';
import { Step, StepRetry } from './missions.dto.js';
import type { StepKind } from './missions.step.js';
import { templateFaults } from './missions.templates.js';

const MAX_STEPS = 100;
const MAX_FAULTS = 50;

interface Shape {
  checks: readonly FieldCheck[];
  required: ReadonlySet<string>;
  known: readonly string[];
}

const STEP = shapeOf(Step, ['name', 'kind'], ['retry']);
const RETRY = shapeOf(StepRetry, [], []);

export function stepFaults(steps: readonly unknown[], kinds: ReadonlyMap<string, StepKind>): Fault[] {
  if (steps.length > MAX_STEPS) {
    const detail = `must be at most ${MAX_STEPS} steps; there are ${steps.length}`;
    return [{ pointer: '/steps', detail, code: 'too_many_steps' }];
  }
  const faults: Fault[] = [];
  const earlier = new Set<string>();
  for (const [i, step] of steps.entries()) {
    const pointer = `/steps/${i}`;
    if (!isObject(step)) {
      faults.push({ pointer, detail: 'must be a JSON object', code: 'object' });
      continue;
    }
    faults.push(...shapeFaults(STEP, step, pointer));
    if (step.retry !== undefined && isObject(step.retry))
      faults.push(...shapeFaults(RETRY, step.retry, `${pointer}/retry`));
    else if (step.retry !== undefined)
      faults.push({ pointer: `${pointer}/retry`, detail: 'must be a JSON object', code: 'object' });
    faults.push(...kindFaults(step, kinds, pointer));
    for (const field of ['params', 'resource']) {
      for (const fault of templateFaults(step[field], earlier, `${pointer}/${field}`))
        faults.push({ ...fault, code: 'template' });
    }
    if (typeof step.name !== 'string') continue;
    if (earlier.has(step.name)) {
      const detail = 'must be another: an earlier step has this name';
      faults.push({ pointer: `${pointer}/name`, detail, code: 'duplicate_name' });
    }
    earlier.add(step.name);
  }
  return faults.slice(0, MAX_FAULTS);
}

function kindFaults(
  { kind, params = {} }: Record<string, unknown>,
  kinds: ReadonlyMap<string, StepKind>,
  pointer: string,
): Fault[] {
  if (typeof kind !== 'string') return [];
  const known = kinds.get(kind);
  if (!known) {
    const detail = `must be one of ${[...kinds.keys()].join(', ')}`;
    return [{ pointer: `${pointer}/kind`, detail, code: 'one_of' }];
  }
  if (!isObject(params)) return [];
  return known
    .faults(params, 'written')
    .map((fault) => ({ ...fault, pointer: `${pointer}/params${fault.pointer}` }));
}

function shapeFaults(
  { checks, required, known }: Shape,
  value: Record<string, unknown>,
  at: string,
): Fault[] {
  const faults: Fault[] = [];
  for (const name of Object.keys(value)) {
    if (known.includes(name)) continue;
    const pointer = `${at}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    faults.push({
      pointer,
      detail: `is not known here; known are ${known.join(', ')}`,
      code: 'unknown_field',
    });
  }
  for (const check of checks) {
    const { name, code, what } = check;
    const member = value[name];
    if (member === undefined && required.has(name))
      faults.push({ pointer: `${at}/${name}`, detail: `is required and ${what}`, code: 'required' });
    else if (member !== undefined && !check.allows(member))
      faults.push({ pointer: `${at}/${name}`, detail: what, code });
  }
  return faults;
}

function shapeOf(type: abstract new () => object, required: string[], more: string[]): Shape {
  const checks = checksOf(type);
  return { checks, required: new Set(required), known: [...checks.map(({ name }) => name), ...more] };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
