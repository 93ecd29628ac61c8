/** Makes decisions in memory, without a round trip to the store. It counts each decision and publishes its events. */
import { Inject, Injectable, Optional } from '@nestjs/common';
import { CONFIG, type Config } from '../../config/config.js';
import { EventStream } from '../../events/event-stream.js';
import { currentActor, currentContext } from '../../shared/context.js';
import { faulty } from '../../shared/errors.js';
import { randomId } from '../../shared/ids.js';
import { compileMask, type Mask } from '../../shared/mask.js';
import { MAX_FAULTS } from '../../shared/shapes.js';
import { inSlices, ownTurn } from '../../shared/time-slices.js';
import { Store } from '../../storage/store.js';
import { POLICIES } from '../admin/policy.collection.js';
import { decide } from '../engine/decide.js';
import { type ExplainOptions, explainInSlices } from '../engine/explain.js';
import type { EvaluateRequest, PolicyContent, Verdict } from '../engine/policy.dto.js';
import type { Snapshot } from '../engine/snapshot.js';
import { HeavyWork } from '../heavy/heavy-work.js';
import { callerGone, notRecorded, revisionNotReached } from '../policy.errors.js';
import { DecisionRecorder } from './recorder.js';
import type { Decision, PolicyStats } from './routes.dto.js';
import { SnapshotCache } from './snapshot-cache.js';
import { DecisionTally } from './tally.js';
import { policyTested } from './tested.events.js';

/** The longest wait of a request for `min_revision`, and of a durable decision for the event log. */
const MAX_WAIT_MS = 1000;
/** How long a batch of decisions may hold the event loop. One decision takes up to 50 ms in the worst case, so it may be longer. */
const BATCH_SLICE_MS = 20;
/** Reported times have microseconds; the clock is not more precise. */
const MICROSECONDS_PER_MS = 1000;

/**
 * A value, or a promise of it. Buffered decisions are available at once: a promise for each of them would cost a noticeable
 * part of a decision. Only durable decisions wait for the event log.
 */
export type Answer<T> = T | Promise<T>;

/** What happens to the events of durable decisions of one request. */
interface Recording {
  /** How many events of all requests were lost before. */
  lostBefore: number | undefined;
  dropped: boolean;
}

/** `deciding` explains only the rule that decided, for callers that may not learn how close they came to others. */
export type Explain = 'none' | 'deciding' | 'all';

interface DraftOptions {
  /** The place of the drafts in the body. */
  pointer: string;
  explain: Explain;
  /** Aborted when the caller does not wait any more. */
  gone: AbortSignal;
}

@Injectable()
export class PolicyService {
  private readonly mask: Mask;
  private readonly durable: boolean;

  constructor(
    @Inject(Store) private readonly store: Store,
    @Inject(CONFIG) config: Config,
    private readonly snapshots: SnapshotCache,
    private readonly tally: DecisionTally,
    private readonly recorder: DecisionRecorder,
    private readonly heavy: HeavyWork,
    @Optional() @Inject(EventStream) private readonly events?: EventStream,
  ) {
    this.mask = compileMask(config.mask);
    this.durable = config.durableDecisions;
  }

  /** Throws when this replica cannot decide. */
  expectReady(): void {
    this.snapshots.current();
  }

  evaluate(request: EvaluateRequest, explain: Explain = 'none'): Answer<Decision> {
    const { snapshot, stale } = this.current();
    const recording = this.recording(1);
    const decision = this.decideBy(snapshot, stale, request, recording);
    const logged = recording ? this.whenLogged(decision, recording) : decision;
    return explain === 'none' ? logged : this.explained(snapshot, request, logged, explain);
  }

  /**
   * Decides all requests by the same revision of the policies.
   * @param gone aborted when the caller does not wait any more; the remaining requests are not decided, counted or published
   * @param isLast whether to stop after this decision
   */
  async evaluateAll(
    requests: readonly EvaluateRequest[],
    gone?: AbortSignal,
    isLast: (decision: Decision) => boolean = () => false,
  ): Promise<Decision[]> {
    const { snapshot, stale } = this.current();
    const recording = this.recording(requests.length);
    const decisions: Decision[] = [];
    let endMs = performance.now() + BATCH_SLICE_MS;
    for (const request of requests) {
      if (performance.now() > endMs) {
        await ownTurn();
        if (gone?.aborted) throw callerGone();
        endMs = performance.now() + BATCH_SLICE_MS;
      }
      const decision = this.decideBy(snapshot, stale, request, recording);
      decisions.push(decision);
      if (isLast(decision)) break;
    }
    return recording ? this.whenLogged(decisions, recording) : decisions;
  }

  /** Waits up to a second while the caller fills the event log faster than it is written. Only for requests of many decisions. */
  room(): Promise<void> {
    return this.recorder.room();
  }

  /** Waits until this replica decides by at least this revision. */
  async atLeast(revision: number): Promise<void> {
    if (await this.snapshots.waitFor(revision, MAX_WAIT_MS)) return;
    throw revisionNotReached(revision, this.snapshots.revision);
  }

  /** The policies in memory, to search them. What is decided by them is neither counted nor published. */
  policies(): { snapshot: Snapshot; stale: boolean } {
    return this.current();
  }

  /** Decides without counting. It is no decision, but it leaves an event: somebody may be looking for what is allowed. */
  async test(request: EvaluateRequest, explain: Explain): Promise<Decision> {
    const { snapshot, stale } = this.current();
    const verdict = decide(snapshot, request);
    const { revision } = snapshot;
    const asked_by = currentActor('policy').id;
    this.events?.publish(policyTested({ policy_revision: revision, asked_by, request, verdict }));
    const decision = decisionOf(verdict, revision, stale);
    return explain === 'none' ? decision : this.explained(snapshot, request, decision, explain);
  }

  /** Decides by drafts instead of the stored policies, in a thread. It counts nothing and leaves no event. */
  async testDrafts(
    request: EvaluateRequest,
    policies: readonly PolicyContent[],
    { pointer, explain, gone }: DraftOptions,
  ): Promise<Decision> {
    const options = explain === 'none' ? undefined : this.explainOptions(request, explain);
    const draft = { policies, pointer, request, explain: options };
    const { faults, verdict, explanation } = await this.heavy.run('draft', draft, gone);
    if (verdict === undefined) throw faulty(faults.slice(0, MAX_FAULTS));
    const decision = decisionOf(verdict, 0, hasStaleKey());
    if (explanation) decision.explain = explanation;
    return decision;
  }

  async stats(): Promise<PolicyStats> {
    const [policies, decisions] = await Promise.all([this.store.counts(POLICIES), this.tally.sums()]);
    return {
      total_policies: policies.total ?? 0,
      active_policies: policies.active ?? 0,
      total_rules: policies.rules ?? 0,
      total_evaluations: decisions.evaluations,
      total_allows: decisions.allows,
      total_denies: decisions.denies,
      total_warnings: decisions.warnings,
      total_audits: decisions.audits,
    };
  }

  /** A decision is stale when the policies are, or when the key of the caller may have been revoked. */
  private current(): { snapshot: Snapshot; stale: boolean } {
    const { snapshot, stale } = this.snapshots.current();
    return { snapshot, stale: stale || hasStaleKey() };
  }

  /** Undefined unless decisions must be durable. Throws beyond the quota of the caller. */
  private recording(decisions: number): Recording | undefined {
    if (!this.durable) return undefined;
    this.recorder.spend(decisions);
    return { lostBefore: this.events?.lost, dropped: false };
  }

  private decideBy(
    snapshot: Snapshot,
    stale: boolean,
    request: EvaluateRequest,
    recording: Recording | undefined,
  ): Decision {
    const startedMs = performance.now();
    const verdict = decide(snapshot, request);
    const tookMs = Math.round((performance.now() - startedMs) * MICROSECONDS_PER_MS) / MICROSECONDS_PER_MS;
    const decision = decisionOf(verdict, snapshot.revision, stale);
    this.tally.count(verdict);
    if (this.events) {
      const { decision_id, policy_revision } = decision;
      const asked_by = currentActor('policy').id;
      const decided = { decision_id, policy_revision, asked_by, request, verdict };
      if (recording) this.recorder.recordDurably(decided, tookMs, () => (recording.dropped = true));
      else this.recorder.record(decided, tookMs);
    }
    return decision;
  }

  /** Refuses if any event was lost since the decision: it may have been one of this decision. The caller can try again. */
  private async whenLogged<T>(answer: T, recording: Recording): Promise<T> {
    const { events } = this;
    const written = events === undefined || (await events.written(MAX_WAIT_MS));
    if (!written || recording.dropped || events?.lost !== recording.lostBefore) throw notRecorded();
    return answer;
  }

  private async explained(
    snapshot: Snapshot,
    request: EvaluateRequest,
    decision: Answer<Decision>,
    explain: Explain,
  ): Promise<Decision> {
    const options = this.explainOptions(request, explain);
    const explanation = await inSlices(explainInSlices(snapshot, request, options));
    return Object.assign(await decision, { explain: explanation });
  }

  private explainOptions(request: EvaluateRequest, explain: Explain): ExplainOptions {
    return { shown: this.mask(request) as EvaluateRequest, onlyDeciding: explain === 'deciding' };
  }
}

/** Whether the key of the caller was checked from stale memory. */
function hasStaleKey(): boolean {
  return currentContext()?.staleKey === true;
}

/** Written out field by field: this runs for each decision, and a spread is much slower. */
function decisionOf(verdict: Verdict, policy_revision: number, stale: boolean): Decision {
  const decision: Decision = {
    decision_id: randomId(20),
    allowed: verdict.allowed,
    effect: verdict.effect,
    matched_rule: verdict.matched_rule,
    matched_policy: verdict.matched_policy,
    reason: verdict.reason,
    warnings: verdict.warnings,
    requires_audit: verdict.requires_audit,
    policy_revision,
  };
  if (stale) decision.stale = true;
  if (verdict.errors) decision.errors = verdict.errors;
  return decision;
}
