/** One run: a worker holds one mission and runs its steps until the mission ends or is handed back. */
import { pause } from '../../shared/clock.js';
import { isBrainError, messageOf } from '../../shared/errors.js';
import type { Lease } from '../../storage/store.js';
import type { MissionWriter } from '../mission-writer.js';
import { MISSIONS, type StepOutcome, type StoredMission } from '../missions.collection.js';
import type { MissionError } from '../missions.dto.js';
import { hasEnded } from '../missions.lifecycle.js';
import type { Step } from '../steps/step.dto.js';
import type { StepContext } from '../steps/step.js';
import { type Approval, addNotes, decisionsIn, type Note } from './authorize-step.js';
import { dueIn, dueNow } from './due.js';
import { executeStep } from './execute-step.js';
import { GuardedWrites, MissionLost } from './guarded-writes.js';
import {
  attemptsOf,
  backoffSeconds,
  DENIED,
  expectRoom,
  type Failure,
  fail,
  failureOf,
  finishStep,
  nextStepOf,
  type SizedResult,
  sized,
} from './outcomes.js';
import { type PreparedStep, prepareStep } from './prepare-step.js';
import type { RunTools } from './run-tools.js';
import { type StopReason, StopSignal } from './stop-signal.js';

/** Beyond this size, results are stored in documents of their own, so that every write of the mission stays small. */
const LARGE_BYTES = 64 * 1024;
/** The pause before the policies are asked again after they were unavailable. */
const POLICY_RETRY_SECONDS = 2;
/** The pause after a run that failed with an error. */
const ERROR_PAUSE_MS = 1000;
/** How long a mission keeps its slot while other missions wait for one. */
const FAIR_SHARE_MS = 1000;
/** A mission whose workers die this often in one step is assumed to be the cause, and fails. */
const MAX_TAKEOVERS = 10;

type ActiveState =
  | { at: 'between_steps'; mission: StoredMission }
  | { at: 'step_prepared'; mission: StoredMission; prepared: PreparedStep }
  | { at: 'step_allowed'; mission: StoredMission; prepared: PreparedStep; approval: Approval }
  | { at: 'step_started'; mission: StoredMission; prepared: PreparedStep; approval: Approval }
  | { at: 'step_succeeded'; step: Step; result: SizedResult; approval: Approval }
  | { at: 'step_failed'; step: Step; attempt: number; failure: Failure; notes?: Note[] }
  /** The mission is to be due again. The step that is interrupted by this does not count as attempted. */
  | { at: 'handing_back'; afterSeconds?: number };

/** `done`: the mission has ended, or this run does not hold it any more. The next run continues from what is stored. */
type RunState = ActiveState | { at: 'done' };

const DONE: RunState = { at: 'done' };

export class MissionRun {
  private readonly stopSignal = new StopSignal();
  private readonly startedMs = performance.now();
  private readonly writes: GuardedWrites;
  private isExecuting = false;

  /** `found` is the mission as it was before the lease was acquired. */
  constructor(
    private readonly found: StoredMission,
    private readonly lease: Lease,
    private readonly tools: RunTools,
    private readonly othersAreDue: () => boolean,
  ) {
    const { store, events } = tools;
    this.writes = new GuardedWrites(store, events, found, lease, this.stopSignal.signal);
  }

  /** True once the store says that this run holds the mission. */
  get isHeld(): boolean {
    return this.writes.isHeld;
  }

  /** Ends the step that is executing. The reason decides what happens to the mission. */
  stop(reason: StopReason): void {
    this.stopSignal.stop(reason);
  }

  /** Stops an executing step whose mission was cancelled or taken over, on whichever replica that happened. */
  async stopIfLost(): Promise<void> {
    if (!this.isExecuting) return;
    const mission = await this.tools.store.get(MISSIONS, this.found.id);
    if (mission?.status !== 'RUNNING' || mission.held_by !== this.lease.fence) this.stop('ended');
  }

  async run(): Promise<void> {
    try {
      const mission = this.found.held_by === null ? this.found : await this.takeOver();
      let state: RunState = { at: 'between_steps', mission };
      while (state.at !== 'done') state = await this.advance(state);
    } catch (error) {
      if (error instanceof MissionLost || isBrainError(error, 'lease_lost')) return;
      this.tools.logger.warn('a run stopped with an error; another run continues the mission', {
        mission: this.found.id,
        reason: messageOf(error),
      });
      // If the run failed before its first write, the mission is still due. Without a pause it would be taken again at once.
      await pause(ERROR_PAUSE_MS, this.stopSignal.signal);
    }
  }

  /** The state machine of a run: each method returns the state that follows. */
  private advance(state: ActiveState): RunState | Promise<RunState> {
    switch (state.at) {
      case 'between_steps':
        return this.beginStep(state.mission);
      case 'step_prepared':
        return this.authorize(state.mission, state.prepared);
      case 'step_allowed':
        return this.start(state.mission, state.prepared, state.approval);
      case 'step_started':
        return this.execute(state.mission, state.prepared, state.approval);
      case 'step_succeeded':
        return this.storeResult(state.step, state.result, state.approval);
      case 'step_failed':
        return this.handleFailure(state.step, state.attempt, state.failure, state.notes);
      case 'handing_back':
        return this.handBack(state.afterSeconds);
    }
  }

  /** Counts the takeover before anything else, because the step itself may be what kills its workers. */
  private takeOver(): Promise<StoredMission> {
    return this.writes.write((writer) => {
      const takeovers = writer.current.takeovers + 1;
      writer.change({ takeovers });
      if (takeovers < MAX_TAKEOVERS) return;
      const step = nextStepOf(writer.current)?.name ?? null;
      const message = `${takeovers} workers in a row were lost in this step; find the cause in the log of the service before a retry`;
      fail(writer, { code: 'worker_lost', message, step });
    });
  }

  private async beginStep(mission: StoredMission): Promise<RunState> {
    if (hasEnded(mission.status)) return DONE;
    const { reason } = this.stopSignal;
    if (reason !== undefined) return this.stopped(reason);
    const step = nextStepOf(mission);
    if (!step) return this.complete();
    if (this.othersAreDue() && performance.now() - this.startedMs > FAIR_SHARE_MS)
      return { at: 'handing_back' };
    try {
      const prepared = await prepareStep(this.tools.store, this.tools.kinds.byName, mission, step);
      return { at: 'step_prepared', mission, prepared };
    } catch (error) {
      // An error of the store is no failure of the step.
      if (isBrainError(error)) throw error;
      return { at: 'step_failed', step, attempt: mission.step_attempts + 1, failure: failureOf(error) };
    }
  }

  private async authorize(mission: StoredMission, prepared: PreparedStep): Promise<RunState> {
    // A step that waits was authorized before its wait began.
    if (mission.waiting) {
      const { decision_id } = mission.waiting;
      const approval = { decisionIds: decision_id === null ? [] : [decision_id], notes: [] };
      return { at: 'step_allowed', mission, prepared, approval };
    }
    const attempt = mission.step_attempts + 1;
    const authorization = await this.tools.authorizer.authorize(mission, prepared);
    switch (authorization.answer) {
      case 'allowed':
        return { at: 'step_allowed', mission, prepared, approval: authorization };
      case 'denied': {
        const { reason: message, decisionId } = authorization;
        const failure = { code: DENIED, message, final: true, decisionId };
        return { at: 'step_failed', step: prepared.step, attempt, failure };
      }
      case 'unavailable':
        return { at: 'handing_back', afterSeconds: POLICY_RETRY_SECONDS };
    }
  }

  /** Writes that the step starts, or that it waits first. A mission that waits is held by no worker. */
  private async start(mission: StoredMission, prepared: PreparedStep, approval: Approval): Promise<RunState> {
    const { step, kind, params } = prepared;
    const { decisionIds, notes } = approval;
    const details = { step: step.name, attempt: mission.step_attempts + 1, ...decisionsIn(decisionIds) };
    const waitSeconds = mission.waiting ? 0 : (kind.delaySeconds?.(params) ?? 0);
    const held = await this.writes.write((writer) => {
      if (!mission.waiting) writer.log('info', 'Step started', details);
      addNotes(writer, step, notes);
      if (waitSeconds === 0) return;
      const until = dueIn(this.tools.store, waitSeconds);
      const waiting = { until, decision_id: decisionIds.at(-1) ?? null };
      writer.change({ waiting, due_at: until, held_by: null });
    });
    return waitSeconds > 0 ? DONE : { at: 'step_started', mission: held, prepared, approval };
  }

  private async execute(
    mission: StoredMission,
    prepared: PreparedStep,
    approval: Approval,
  ): Promise<RunState> {
    const { step } = prepared;
    const { authorizer } = this.tools;
    // They are written with the outcome: a step whose time is over must not write any more.
    const notes: Note[] = [];
    const expectAllowed: StepContext['expectAllowed'] = async (params) => {
      notes.push(...(await authorizer.expectAllowed(mission, { ...prepared, params })));
    };
    this.isExecuting = true;
    try {
      const result = sized(await executeStep(mission, prepared, this.stopSignal.signal, expectAllowed));
      expectRoom(mission.outcomes, result.bytes);
      return { at: 'step_succeeded', step, result, approval: { ...approval, notes } };
    } catch (error) {
      const { reason } = this.stopSignal;
      if (reason !== undefined) return this.stopped(reason);
      const attempt = mission.step_attempts + 1;
      return { at: 'step_failed', step, attempt, failure: failureOf(error), notes };
    } finally {
      this.isExecuting = false;
    }
  }

  private async storeResult(
    step: Step,
    { result, bytes }: SizedResult,
    { decisionIds, notes }: Approval,
  ): Promise<RunState> {
    const mission = await this.writes.write((writer, keepLarge) => {
      const isLarge = sized(writer.current.outcomes).bytes + bytes > LARGE_BYTES;
      if (isLarge) keepLarge(step.name, result);
      const decision_id = decisionIds.at(-1) ?? null;
      const outcome: StepOutcome = { result: isLarge ? null : result, decision_id };
      if (isLarge) outcome.bytes = bytes;
      addNotes(writer, step, notes);
      writer.log('info', 'Step completed', { step: step.name });
      finishStep(writer, step, outcome, dueNow(this.tools.store));
    });
    return { at: 'between_steps', mission };
  }

  /** Schedules another attempt, continues with the next step, or fails the mission. */
  private async handleFailure(
    step: Step,
    attempt: number,
    failure: Failure,
    notes: Note[] = [],
  ): Promise<RunState> {
    const { code, message, final, decisionId } = failure;
    const error: MissionError = { code, message, step: step.name };
    if (decisionId !== undefined) error.decision_id = decisionId;
    const write = (change: (writer: MissionWriter) => void): Promise<StoredMission> =>
      this.writes.write((writer) => {
        addNotes(writer, step, notes);
        change(writer);
      });
    if (!final && attempt < attemptsOf(step)) {
      const seconds = backoffSeconds(step, attempt);
      await write((writer) => {
        const details = { ...error, attempt, after_seconds: seconds };
        writer.log('warning', 'Step failed and will be tried again', details);
        writer.change({ step_attempts: attempt, due_at: dueIn(this.tools.store, seconds), held_by: null });
      });
      return DONE;
    }
    // `continue_on_failure` must not let a mission continue after a denial.
    if (step.continue_on_failure && decisionId === undefined) {
      const mission = await write((writer) => {
        writer.log('error', 'Step failed; the mission continues', { ...error, attempt });
        const outcome = { result: null, decision_id: null, error: { code, message } };
        finishStep(writer, step, outcome, dueNow(this.tools.store));
      });
      return { at: 'between_steps', mission };
    }
    await write((writer) => {
      writer.log('error', 'Step failed', { ...error, attempt });
      fail(writer, error);
    });
    return DONE;
  }

  private async complete(): Promise<RunState> {
    await this.writes.write((writer) => writer.move('COMPLETED'));
    return DONE;
  }

  private stopped(reason: StopReason): RunState {
    return reason === 'stopping' && this.isHeld ? { at: 'handing_back' } : DONE;
  }

  /** Returns the mission to the queue unchanged. This does not count as an attempt. */
  private async handBack(afterSeconds?: number): Promise<RunState> {
    const { store } = this.tools;
    await this.writes.write((writer) => {
      const due_at = afterSeconds === undefined ? dueNow(store) : dueIn(store, afterSeconds);
      writer.change({ due_at, held_by: null });
    });
    return DONE;
  }
}
