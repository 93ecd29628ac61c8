/** Checks the steps of a new mission. Reports every fault at once, each with its pointer. */

import type { Fault } from '../../shared/errors.js';
import { MAX_FAULTS, membersOf, shapeFaults, shapeOf } from '../../shared/shapes.js';
import { Step, StepRetry } from './step.dto.js';
import type { StepKind } from './step.js';
import { templateFaults } from './templates.js';

const MAX_STEPS = 100;

const STEP = shapeOf(Step, { others: ['retry'] });
const RETRY = shapeOf(StepRetry);

export function stepFaults(steps: readonly unknown[], kinds: ReadonlyMap<string, StepKind>): Fault[] {
  if (steps.length > MAX_STEPS) {
    const detail = `must have at most ${MAX_STEPS} steps, and has ${steps.length}`;
    return [{ pointer: '/steps', detail, code: 'too_many_steps' }];
  }
  const faults: Fault[] = [];
  const earlier = new Set<string>();
  for (const [i, step] of steps.entries()) {
    const pointer = `/steps/${i}`;
    if (faults.length >= MAX_FAULTS) break;
    if (!shapeFaults(STEP, step, pointer, faults)) continue;
    if (step.retry !== undefined) shapeFaults(RETRY, step.retry, `${pointer}/retry`, faults);
    faults.push(...kindFaults(step, kinds, pointer));
    for (const field of ['params', 'resource']) {
      for (const fault of templateFaults(step[field], earlier, `${pointer}/${field}`))
        faults.push({ ...fault, code: 'template' });
    }
    if (typeof step.name !== 'string') continue;
    if (earlier.has(step.name)) {
      const detail = 'must be unique: an earlier step has this name';
      faults.push({ pointer: `${pointer}/name`, detail, code: 'duplicate_name' });
    }
    earlier.add(step.name);
  }
  return faults.slice(0, MAX_FAULTS);
}

/** The steps with their parameters in the form in which they are stored. They have no faults. */
export function normalizedSteps(steps: readonly Step[], kinds: ReadonlyMap<string, StepKind>): Step[] {
  return steps.map((step) => {
    const normalized = step.params && kinds.get(step.kind)?.normalized?.(step.params, 'written');
    return normalized ? { ...step, params: normalized } : step;
  });
}

function kindFaults(
  { kind, params = {} }: Record<string, unknown>,
  kinds: ReadonlyMap<string, StepKind>,
  pointer: string,
): Fault[] {
  if (typeof kind !== 'string') return [];
  const known = kinds.get(kind);
  const given = membersOf(params);
  if (!known || !given) return [];
  return known
    .faults(given, 'written')
    .map((fault) => ({ ...fault, pointer: `${pointer}/params${fault.pointer}` }));
}
