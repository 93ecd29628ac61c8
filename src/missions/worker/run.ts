/**
 * One mission in the hands of a worker. Every write demands the lease and that the mission is still this worker's: who lost it,
 * or whose mission was cancelled, changes nothing any more, log lines included.
 */
import { pause } from '../../shared/clock.js';
import { isBrainError, messageOf } from '../../shared/errors.js';
import type { Lease } from '../../storage/store.js';
import { MAX_MESSAGE, MissionWriter } from '../mission-writer.js';
import {
  MISSION_RESULTS,
  MISSIONS,
  resultId,
  type StepOutcome,
  type StoredMission,
} from '../missions.collection.js';
import type { MissionError, Step } from '../missions.dto.js';
import { hasEnded } from '../missions.lifecycle.js';
import { StepFailure } from '../steps/step.js';
import { MissingValue } from '../steps/templates.js';
import { type AskTools, asked } from './authorize-step.js';
import { dueIn, dueNow } from './due.js';
import { type PrepareTools, prepared, type Ready } from './prepare.js';
import { attemptsOf, backoffSeconds } from './retry.js';

export interface RunTools extends AskTools, PrepareTools {
  /** Whether others wait for a place while this mission has had one for a while. */
  crowded(): boolean;
}

/** What the results of a mission come to beyond this stands in documents of its own, so that every write of it stays small. */
const LARGE_BYTES = 64 * 1024;
/** Of all steps of a mission together: who asks for it gets all of them. */
const MAX_RESULTS_MIB = 16;
/** Policies that cannot be asked now are asked again after this. */
const UNDECIDED_SECONDS = 2;
const TIMEOUT_SECONDS = 60;
/** A store that is away is asked again after this, for as long as the lease holds. */
const STORE_RETRY_MS = 500;
/** A mission that was left because of an error rests so long. */
const LEFT_MS = 1000;
/** A mission that has lost so many workers in one step is taken for the cause. */
const MAX_TAKEOVERS = 10;

/** Why a step was ended from outside. */
export type StopReason = 'ended' | 'lease_lost' | 'stopping' | 'timeout';

/** What tells where in its life a mission is. */
const PLACE = ['status', 'run_writes', 'due_at', 'held_by'] as const;

/** The mission is no longer this worker's. */
class Over extends Error {}

export class MissionRun {
  private readonly stopping = new AbortController();
  private readonly startedMs = performance.now();
  /** It has written: the mission is RUNNING in its hands. */
  taken = false;
  private executing = false;
  /** Writes of runs that the mission had when this one saw it last. */
  private writes: number;

  /** `found` is the mission as it was before the lease was taken. */
  constructor(
    private readonly found: StoredMission,
    private readonly lease: Lease,
    private readonly tools: RunTools,
  ) {
    this.writes = found.run_writes;
  }

  private get id(): string {
    return this.found.id;
  }

  /** Ends the step that runs; what then becomes of the mission depends on why. */
  stop(reason: Exclude<StopReason, 'timeout'>): void {
    this.stopping.abort(reason);
  }

  /** Looks while a step runs whether it is still to be run: the mission may have been cancelled anywhere. */
  async look(): Promise<void> {
    if (!this.executing) return;
    const mission = await this.tools.store.get(MISSIONS, this.id);
    if (mission?.status !== 'RUNNING' || mission.held_by !== this.lease.fence) this.stop('ended');
  }

  async run(): Promise<void> {
    try {
      let mission: StoredMission | undefined = this.found;
      if (mission.held_by !== null) mission = await this.takeOver();
      while (mission && !hasEnded(mission.status)) mission = await this.next(mission);
    } catch (error) {
      if (error instanceof Over || isBrainError(error, 'lease_lost')) return;
      // Whoever finds the lease over goes on from the last step that was stored.
      this.tools.logger.warn('a mission was left; a worker will go on with it', {
        mission: this.id,
        reason: messageOf(error),
      });
      // Where it failed before its first write it is due still, and would be taken again at once.
      await pause(LEFT_MS, this.stopping.signal);
    }
  }

  /**
   * The first write of a run takes the mission as it was found: who changed it meanwhile may have run it on, or ended it. A line
   * in its log is no such change.
   */
  private take(book: MissionWriter): void {
    if (PLACE.some((field) => book.now[field] !== this.found[field])) throw new Over();
    if (book.now.status === 'PENDING') book.move('RUNNING');
    else if (book.now.held_by !== null)
      book.log('warning', 'Taken over: the worker that held the mission is gone');
    book.change({ held_by: this.lease.fence, due_at: dueNow(this.tools.store) });
  }

  /** Counted before anything else is done with the mission: that may be what ends its workers. */
  private takeOver(): Promise<StoredMission> {
    return this.write((book) => {
      const takeovers = book.now.takeovers + 1;
      book.change({ takeovers });
      if (takeovers < MAX_TAKEOVERS) return;
      const step = nextStep(book.now)?.name ?? null;
      const message = `its worker was lost ${takeovers} times in this step`;
      this.fail(book, { code: 'worker_lost', message, step });
    });
  }

  /** Brings the mission one step on; nothing where it has ended, or was handed back. */
  private async next(mission: StoredMission): Promise<StoredMission | undefined> {
    const { reason } = this.stopping.signal as { reason?: StopReason };
    if (reason === 'stopping' && this.taken) return this.handBack();
    if (reason) return undefined;
    const step = nextStep(mission);
    if (!step) return this.complete();
    if (this.tools.crowded() && performance.now() - this.startedMs > 1000) return this.handBack();
    let ready: Ready;
    try {
      ready = await prepared(this.tools, mission, step);
    } catch (error) {
      // The store's: the step has not failed.
      if (isBrainError(error)) throw error;
      return this.failed(step, failureOf(error), mission.step_attempts + 1);
    }
    return this.attempt(mission, ready);
  }

  private async attempt(mission: StoredMission, ready: Ready): Promise<StoredMission | undefined> {
    const { step, kind, params } = ready;
    const attempt = mission.step_attempts + 1;
    // What has waited was asked before it did.
    const decided = mission.waiting
      ? { decisionId: mission.waiting.decision_id, notes: [] }
      : await asked(this.tools, mission, { ...ready, attempt });
    if (decided === undefined) return this.handBack(UNDECIDED_SECONDS);
    if ('error' in decided) return this.failed(step, decided.error, attempt);
    const { decisionId } = decided;
    const seconds = mission.waiting ? 0 : (kind.delaySeconds?.(params) ?? 0);
    const started = { step: step.name, attempt, ...(decisionId !== null && { decision_id: decisionId }) };
    const held = await this.write((book) => {
      if (!mission.waiting) book.log('info', 'Step started', started);
      for (const [message, data] of decided.notes) book.log('warning', message, { step: step.name, ...data });
      if (seconds === 0) return;
      const until = dueIn(this.tools.store, seconds);
      book.change({ waiting: { until, decision_id: decisionId }, due_at: until, held_by: null });
    });
    if (seconds > 0) return undefined;
    let outcome: Result;
    try {
      outcome = sized(await this.execute(held, ready));
      expectRoom(held.outcomes, outcome.bytes);
    } catch (error) {
      const { reason } = this.stopping.signal as { reason?: StopReason };
      if (reason === 'stopping') return this.handBack();
      if (reason) return undefined;
      return this.failed(step, failureOf(error), attempt);
    }
    return this.succeeded(step, outcome, decisionId);
  }

  private async execute(mission: StoredMission, { step, kind, params }: Ready): Promise<unknown> {
    const { signal } = this.stopping;
    signal.throwIfAborted();
    const ending = new AbortController();
    const seconds = step.timeout_seconds ?? TIMEOUT_SECONDS;
    const timer = setTimeout(() => ending.abort('timeout'), seconds * 1000);
    const stop = (): void => ending.abort(signal.reason);
    signal.addEventListener('abort', stop);
    const aborted = new Promise<never>((_, reject) => {
      const late = (): void => reject(new StepFailure('timeout', `the step took longer than ${seconds} s`));
      ending.signal.addEventListener('abort', late);
    });
    aborted.catch(() => undefined);
    this.executing = true;
    try {
      const context = {
        agentId: mission.agent_id,
        idempotencyKey: `${mission.id}:${step.name}:${mission.attempts}`,
        signal: ending.signal,
      };
      return await Promise.race([kind.run(params, context), aborted]);
    } finally {
      this.executing = false;
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    }
  }

  private succeeded(
    step: Step,
    { result, bytes }: Result,
    decisionId: string | null,
  ): Promise<StoredMission> {
    return this.write((book, keep) => {
      const isLarge = sized(book.now.outcomes).bytes + bytes > LARGE_BYTES;
      if (isLarge) keep(step.name, result);
      const outcome: StepOutcome = { result: isLarge ? null : result, decision_id: decisionId };
      if (isLarge) outcome.bytes = bytes;
      book.log('info', 'Step completed', { step: step.name });
      this.settle(book, step, outcome);
    });
  }

  private async failed(step: Step, failure: Failure, attempt: number): Promise<StoredMission | undefined> {
    const { code, message, final, decisionId } = failure;
    const error: MissionError = { code, message, step: step.name };
    if (decisionId !== undefined) error.decision_id = decisionId;
    if (!final && attempt < attemptsOf(step)) {
      const seconds = backoffSeconds(step, attempt);
      await this.write((book) => {
        book.log('warning', 'Step failed and will be tried again', {
          ...error,
          attempt,
          after_seconds: seconds,
        });
        book.change({ step_attempts: attempt, due_at: dueIn(this.tools.store, seconds), held_by: null });
      });
      return undefined;
    }
    // A denial is no mishap that a mission may have reckoned with.
    if (step.continue_on_failure && decisionId === undefined) {
      return this.write((book) => {
        book.log('error', 'Step failed; the mission goes on', { ...error, attempt });
        this.settle(book, step, { result: null, decision_id: null, error: { code, message } });
      });
    }
    await this.write((book) => {
      book.log('error', 'Step failed', { ...error, attempt });
      this.fail(book, error);
    });
    return undefined;
  }

  private fail(book: MissionWriter, error: MissionError): void {
    book.change({ error, step_attempts: 0, takeovers: 0 });
    const at = error.step === null ? '' : `${error.step}: `;
    book.move('FAILED', `${at}${error.message}`.slice(0, MAX_MESSAGE));
  }

  /** With its last step a mission ends. */
  private settle(book: MissionWriter, step: Step, outcome: StepOutcome): void {
    const { outcomes, progress } = book.now;
    book.change({
      outcomes: { ...outcomes, [step.name]: outcome },
      progress: { done: progress.done + 1, total: progress.total },
      step_attempts: 0,
      takeovers: 0,
      waiting: null,
      due_at: dueNow(this.tools.store),
    });
    if (!nextStep(book.now)) book.move('COMPLETED');
  }

  private async complete(): Promise<undefined> {
    await this.write((book) => book.move('COMPLETED'));
    return undefined;
  }

  /** Gives the mission back to the queue as it is, for now or for later; nothing is counted as an attempt. */
  private async handBack(seconds?: number): Promise<undefined> {
    const { store } = this.tools;
    const due = (): number => (seconds === undefined ? dueNow(store) : dueIn(store, seconds));
    await this.write((book) => book.change({ due_at: due(), held_by: null }));
    return undefined;
  }

  /** What cannot be written because the store is away is written when it is back: what a step has done is done. */
  private async write(change: Change): Promise<StoredMission> {
    const { signal } = this.stopping;
    // Of this write: one that was given up may still be under way when the next one begins.
    const { writes } = this;
    for (;;) {
      try {
        const mission = await this.commit(change, writes);
        this.taken = true;
        this.writes = mission.run_writes;
        return mission;
      } catch (error) {
        if (!isBrainError(error) || error.kind !== 'unavailable' || signal.aborted) throw error;
        await pause(STORE_RETRY_MS, signal);
      }
    }
  }

  private commit(change: Change, writes: number): Promise<StoredMission> {
    return this.tools.store.transaction(async (tx) => {
      tx.demand(this.lease);
      const mission = await tx.get(MISSIONS, this.id);
      const isMine = mission?.held_by === this.lease.fence;
      if (!mission || (this.taken && !isMine)) throw new Over();
      // It was written, and only the answer got lost.
      if (isMine && mission.run_writes > writes) return mission;
      // A failover took writes back: whoever takes the mission goes on from what is stored.
      if (isMine && mission.run_writes < writes) throw new Over();
      const book = new MissionWriter(tx, mission, this.tools.events);
      if (!isMine) this.take(book);
      const large: [string, unknown][] = [];
      change(book, (step, result) => large.push([step, result]));
      for (const [step, result] of large) {
        const document = { id: resultId(this.id, step), mission_id: this.id, result };
        if (await tx.get(MISSION_RESULTS, document.id)) tx.put(MISSION_RESULTS, document);
        else tx.insert(MISSION_RESULTS, document);
      }
      book.change({ run_writes: mission.run_writes + 1 });
      return book.close();
    });
  }
}

function nextStep({ steps, outcomes }: StoredMission): Step | undefined {
  return steps.find(({ name }) => !Object.hasOwn(outcomes, name));
}

/** `keep` puts the result of a step into a document of its own. */
type Change = (book: MissionWriter, keep: (step: string, result: unknown) => void) => void;

interface Result {
  result: unknown;
  bytes: number;
}

function sized(value: unknown): Result {
  const result = value ?? null;
  return { result, bytes: Buffer.byteLength(JSON.stringify(result)) };
}

function expectRoom(outcomes: StoredMission['outcomes'], bytes: number): void {
  let all = sized(outcomes).bytes + bytes;
  for (const outcome of Object.values(outcomes)) all += outcome.bytes ?? 0;
  if (all <= MAX_RESULTS_MIB * 2 ** 20) return;
  const detail = `the results of the mission come to more than ${MAX_RESULTS_MIB} MiB`;
  throw new StepFailure('results_too_large', detail, true);
}

interface Failure {
  code: string;
  message: string;
  final: boolean;
  decisionId?: string;
}

function failureOf(error: unknown): Failure {
  if (error instanceof StepFailure) return error;
  if (error instanceof MissingValue) return { code: 'missing_value', message: error.message, final: true };
  if (isBrainError(error))
    return { code: error.code, message: error.detail, final: error.kind !== 'unavailable' };
  return { code: 'step_failed', message: messageOf(error).slice(0, MAX_MESSAGE), final: false };
}
