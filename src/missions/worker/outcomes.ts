/** How a step ends: its result with its size, or its failure and the time of the next attempt. */
import { isBrainError, messageOf } from '../../shared/errors.js';
import { MAX_MESSAGE, type MissionWriter } from '../mission-writer.js';
import type { StepOutcome, StoredMission } from '../missions.collection.js';
import type { MissionError } from '../missions.dto.js';
import type { Step } from '../steps/step.dto.js';
import { StepFailure } from '../steps/step.js';
import { MissingValue } from '../steps/templates.js';

/** The limit for all results of a mission together, because a reader of the mission gets all of them. */
const MAX_RESULTS_MIB = 16;
/** The code of a step that the policies refused. */
export const DENIED = 'denied_by_policy';
const ATTEMPTS = 3;
const BACKOFF_SECONDS = 1;
const MAX_BACKOFF_SECONDS = 300;

export interface SizedResult {
  result: unknown;
  bytes: number;
}

export interface Failure {
  code: string;
  message: string;
  /** Another attempt would fail in the same way. */
  final: boolean;
  /** Set if the policies denied the step. */
  decisionId?: string;
}

export function attemptsOf({ retry }: Pick<Step, 'retry'>): number {
  return retry?.attempts ?? ATTEMPTS;
}

/** Doubles with each attempt up to its limit. The random part keeps missions that failed together from retrying together. */
export function backoffSeconds(
  { retry = {} }: Pick<Step, 'retry'>,
  attempt: number,
  random: () => number = Math.random,
): number {
  const { backoff_seconds = BACKOFF_SECONDS, max_seconds = MAX_BACKOFF_SECONDS } = retry;
  const seconds = Math.min(max_seconds, backoff_seconds * 2 ** (attempt - 1));
  return seconds * (0.5 + random() / 2);
}

export function sized(value: unknown): SizedResult {
  const result = value ?? null;
  return { result, bytes: Buffer.byteLength(JSON.stringify(result)) };
}

export function expectRoom(outcomes: StoredMission['outcomes'], bytes: number): void {
  let total = sized(outcomes).bytes + bytes;
  for (const outcome of Object.values(outcomes)) total += outcome.bytes ?? 0;
  if (total <= MAX_RESULTS_MIB * 2 ** 20) return;
  const detail = `the results of all steps together exceed ${MAX_RESULTS_MIB} MiB; let the steps return less`;
  throw new StepFailure('results_too_large', detail, true);
}

export function failureOf(error: unknown): Failure {
  if (error instanceof StepFailure) return error;
  if (error instanceof MissingValue) return { code: 'missing_value', message: error.message, final: true };
  if (isBrainError(error))
    return { code: error.code, message: error.detail, final: error.kind !== 'unavailable' };
  return { code: 'step_failed', message: messageOf(error).slice(0, MAX_MESSAGE), final: false };
}

/** The first step without an outcome. */
export function nextStepOf({ steps, outcomes }: StoredMission): Step | undefined {
  return steps.find(({ name }) => !Object.hasOwn(outcomes, name));
}

/** Adds the outcome of a step. The write of the last outcome also completes the mission. */
export function finishStep(writer: MissionWriter, step: Step, outcome: StepOutcome, dueAt: number): void {
  const { outcomes, progress } = writer.current;
  writer.change({
    outcomes: { ...outcomes, [step.name]: outcome },
    progress: { done: progress.done + 1, total: progress.total },
    step_attempts: 0,
    takeovers: 0,
    waiting: null,
    due_at: dueAt,
  });
  if (!nextStepOf(writer.current)) writer.move('COMPLETED');
}

/** Ends the mission as FAILED. */
export function fail(writer: MissionWriter, error: MissionError): void {
  writer.change({ error, step_attempts: 0, takeovers: 0 });
  const prefix = error.step === null ? '' : `${error.step}: `;
  writer.move('FAILED', `${prefix}${error.message}`.slice(0, MAX_MESSAGE));
}
