/** Runs one step of a mission. */
import type { StoredMission } from '../missions.collection.js';
import { type StepContext, StepFailure } from '../steps/step.js';
import type { PreparedStep } from './prepare-step.js';

const TIMEOUT_SECONDS = 60;

/** Runs the step until it ends, its time is over, or the run is stopped. `expectAllowed` asks the policies about what it does next. */
export async function executeStep(
  mission: StoredMission,
  { step, kind, params }: PreparedStep,
  stopped: AbortSignal,
  expectAllowed: StepContext['expectAllowed'],
): Promise<unknown> {
  stopped.throwIfAborted();
  const ending = new AbortController();
  const seconds = step.timeout_seconds ?? TIMEOUT_SECONDS;
  const timer = setTimeout(() => ending.abort('timeout'), seconds * 1000);
  const stop = (): void => ending.abort(stopped.reason);
  stopped.addEventListener('abort', stop);
  const aborted = new Promise<never>((_, reject) => {
    const detail = `the step took longer than ${seconds} s; raise timeout_seconds`;
    const late = (): void => reject(new StepFailure('timeout', detail));
    ending.signal.addEventListener('abort', late);
  });
  aborted.catch(() => undefined);
  try {
    const context = {
      agentId: mission.agent_id,
      idempotencyKey: `${mission.id}:${step.name}:${mission.attempts}`,
      signal: ending.signal,
      expectAllowed,
    };
    return await Promise.race([kind.run(params, context), aborted]);
  } finally {
    clearTimeout(timer);
    stopped.removeEventListener('abort', stop);
  }
}
