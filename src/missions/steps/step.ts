/** The interface of a step kind. */

import type { FieldCheck } from '../../shared/class-schema.js';
import type { Fault } from '../../shared/errors.js';
import { fieldFaults, unknownFaults } from '../../shared/shapes.js';

/** All that a step may use besides its parameters. A step must not reach any other part of the service. */
export interface StepContext {
  agentId: string;
  /** The same for all attempts of a step, so that a target can detect repetitions. A retry of the mission changes it. */
  idempotencyKey: string;
  /** Aborts when the step must end: timeout, cancelled mission, lost lease, or shutdown. */
  signal: AbortSignal;
  /** Asks the policies about the step with other parameters, before it does what they have not allowed yet. Throws if they refuse. */
  expectAllowed(params: Record<string, unknown>): Promise<void>;
}

/** A failed attempt. After a `final` one there is no other attempt, because it would fail in the same way. */
export class StepFailure extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly final = false,
    /** The decision of the policies that refused the step. */
    readonly decisionId?: string,
  ) {
    super(message);
  }
}

export interface StepKind {
  /** The names of the parameters that are URLs. */
  urls?: readonly string[];
  /** All faults of the parameters. They are checked as written when the mission is created, and as filled before the step runs. */
  faults(params: Record<string, unknown>, form: ParamsForm): Fault[];
  /** The parameters in the form that is stored, shown, judged by the policies and used. */
  normalized?(params: Record<string, unknown>, form: ParamsForm): Record<string, unknown>;
  /** What the policies read in `environment` besides the names of mission and step. The parameters are filled. */
  environment?(params: Record<string, unknown>): Record<string, unknown>;
  /** How long the mission waits, without a worker, before the step runs. */
  delaySeconds?(params: Record<string, unknown>): number;
  run(params: Record<string, unknown>, context: StepContext): Promise<unknown>;
}

/**
 * A written parameter with a template has no known value yet, so its check is skipped. A filled one is always checked, because an
 * inserted value may look like a template.
 */
export type ParamsForm = 'written' | 'filled';

export function hasTemplate(value: unknown, form: ParamsForm): boolean {
  return form === 'written' && typeof value === 'string' && value.includes('${');
}

/** Checks parameters that do not depend on each other. `known` says what each must be. */
export function paramFaults(
  params: Record<string, unknown>,
  form: ParamsForm,
  known: Record<string, { required?: boolean; what: string; allows(value: unknown): boolean }>,
): Fault[] {
  const fields = Object.entries(known).map(([name, param]): FieldCheck => {
    const allows = (value: unknown): boolean => hasTemplate(value, form) || param.allows(value);
    return { name, required: param.required === true, code: 'param', what: `must be ${param.what}`, allows };
  });
  const faults: Fault[] = [];
  unknownFaults(params, new Set(Object.keys(known)), '', faults);
  fieldFaults(params, fields, '', faults);
  return faults;
}
