/** What a kind of step is. */
import type { Fault } from '../../shared/errors.js';
import type { FieldCheck } from '../../shared/fields.js';
import { fieldFaults, unknownFaults } from '../../shared/shapes.js';

/** What a step may use; nothing else of the service is within its reach. */
export interface StepContext {
  agentId: string;
  /** The same for every attempt of a step, until the mission itself is tried again: by it a target can tell a repetition. */
  idempotencyKey: string;
  /** Ends the step: its time is over, the mission was cancelled, the lease is lost, or the service stops. */
  signal: AbortSignal;
}

/** A failure; one that is final would only be repeated by another attempt. */
export class StepFailure extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly final = false,
  ) {
    super(message);
  }
}

export interface StepKind {
  /** All that is wrong with its parameters, as they were written or, right before it runs, as they were filled. */
  faults(params: Record<string, unknown>, form: ParamsForm): Fault[];
  /** So long nobody has to hold the mission before the step is run. */
  delaySeconds?(params: Record<string, unknown>): number;
  run(params: Record<string, unknown>, context: StepContext): Promise<unknown>;
}

/**
 * What holds a template is not known yet when a mission is made. Once it is filled nothing is excused: a value may look like a
 * template and is none.
 */
export type ParamsForm = 'written' | 'filled';

export function isOpen(value: unknown, form: ParamsForm): boolean {
  return form === 'written' && typeof value === 'string' && value.includes('${');
}

/** The faults of parameters that are looked at one by one; `known` says what each must be. */
export function paramFaults(
  params: Record<string, unknown>,
  form: ParamsForm,
  known: Record<string, { required?: boolean; what: string; allows(value: unknown): boolean }>,
): Fault[] {
  const fields = Object.entries(known).map(([name, param]): FieldCheck => {
    const allows = (value: unknown): boolean => isOpen(value, form) || param.allows(value);
    return { name, required: param.required === true, code: 'param', what: `must be ${param.what}`, allows };
  });
  const faults: Fault[] = [];
  unknownFaults(params, new Set(Object.keys(known)), '', faults);
  fieldFaults(params, fields, '', faults);
  return faults;
}
