/** Makes decisions in memory, without a round trip to the store. It counts each decision and publishes its events. */
import { Inject, Injectable, Optional } from '@nestjs/common';
import { CONFIG, type Config } from '../../config/config.js';
import { EventStream } from '../../events/event-stream.js';
import { currentActor, currentContext } from '../../shared/context.js';
import { randomId } from '../../shared/ids.js';
import { compileMask, type Mask } from '../../shared/mask.js';
import { inSlices } from '../../shared/time-slices.js';
import { Store } from '../../storage/store.js';
import { POLICIES } from '../admin/policy.collection.js';
import { compileInSlices } from '../engine/compile.js';
import { decide } from '../engine/decide.js';
import { explain } from '../engine/explain.js';
import type { Explanation } from '../engine/explanation.dto.js';
import type { EvaluateRequest, PolicyContent, Verdict } from '../engine/policy.dto.js';
import type { Snapshot } from '../engine/snapshot.js';
import { notRecorded, revisionNotReached } from '../policy.errors.js';
import { DecisionRecorder } from './recorder.js';
import type { Decision, PolicyStats } from './routes.dto.js';
import { SnapshotCache } from './snapshot-cache.js';
import { DecisionTally } from './tally.js';

/** The longest wait of a request for `min_revision`, and of a durable decision for the event log. */
const MAX_WAIT_MS = 1000;
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
    @Optional() @Inject(EventStream) private readonly events?: EventStream,
  ) {
    this.mask = compileMask(config.mask);
    this.durable = config.durableDecisions;
  }

  /** Throws when this replica cannot decide. */
  expectReady(): void {
    this.snapshots.current();
  }

  evaluate(request: EvaluateRequest, { explain: withExplanation = false } = {}): Answer<Decision> {
    const { snapshot, stale } = this.current();
    const recording = this.recording(1);
    const decision = this.decideBy(snapshot, stale, request, recording);
    // Explained before the wait: afterwards the policies may be others.
    if (withExplanation) decision.explain = explain(snapshot, request, { shown: this.masked(request) });
    return recording ? this.whenLogged(decision, recording) : decision;
  }

  /**
   * Decides all requests by the same revision of the policies.
   * @param isLast whether to stop after this decision; the remaining requests are not decided, counted or published
   */
  evaluateAll(
    requests: readonly EvaluateRequest[],
    isLast: (decision: Decision) => boolean = () => false,
  ): Answer<Decision[]> {
    const { snapshot, stale } = this.current();
    const recording = this.recording(requests.length);
    const decisions: Decision[] = [];
    for (const request of requests) {
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

  /** Decides without counting and without events. Drafts, if given, replace the stored policies. */
  async test(
    request: EvaluateRequest,
    drafts?: readonly PolicyContent[],
  ): Promise<Decision & { explain: Explanation }> {
    const { snapshot, stale } = drafts
      ? { snapshot: await inSlices(compileInSlices(drafts)), stale: hasStaleKey() }
      : this.current();
    const decision = decisionOf(decide(snapshot, request), snapshot.revision, stale);
    return Object.assign(decision, { explain: explain(snapshot, request, { shown: this.masked(request) }) });
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

  private masked(request: EvaluateRequest): EvaluateRequest {
    return this.mask(request) as EvaluateRequest;
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
