/** Decides. In memory and without a round trip; what was decided is counted and told behind the answer. */
import { Inject, Injectable, Optional } from '@nestjs/common';
import { CONFIG, type Config } from '../../config/config.js';
import { EventStream } from '../../events/event-stream.js';
import { currentContext } from '../../shared/context.js';
import { randomId } from '../../shared/ids.js';
import { compileMask, type Mask } from '../../shared/mask.js';
import { inSlices } from '../../shared/time-slices.js';
import { Store } from '../../storage/store.js';
import { POLICIES } from '../admin/policy.collection.js';
import { compileInSlices } from '../engine/compile.js';
import { decide } from '../engine/decide.js';
import { explain } from '../engine/explain.js';
import type { EvaluateRequest, Explanation, PolicyContent, Verdict } from '../engine/policy.dto.js';
import type { Snapshot } from '../engine/snapshot.js';
import { notRecorded, revisionNotReached } from '../policy.errors.js';
import {
  actionDenied,
  auditRequired,
  type Decided,
  ruleEvaluated,
  warningTriggered,
} from './decision.events.js';
import type { Decision, PolicyStats } from './routes.dto.js';
import { SnapshotCache } from './snapshot-cache.js';
import { DecisionTally } from './tally.js';

/** How long a request waits for a revision that it demands, and a durable decision for the log. */
const PATIENCE_MS = 1000;
/** Time is told in microseconds: more digits would be those of the clock. */
const MICROSECONDS = 1000;

@Injectable()
export class PolicyService {
  private readonly mask: Mask;
  private readonly durable: boolean;

  constructor(
    @Inject(Store) private readonly store: Store,
    @Inject(CONFIG) config: Config,
    private readonly snapshots: SnapshotCache,
    private readonly tally: DecisionTally,
    @Optional() @Inject(EventStream) private readonly events?: EventStream,
  ) {
    this.mask = compileMask(config.mask);
    this.durable = config.durableDecisions;
  }

  /** The domain can work as long as it may decide, be it from memory; throws where it may not. */
  expectReady(): void {
    this.snapshots.current();
  }

  /** A decision at once, or a promise of one where its events have to be in the log before it is given. */
  evaluate(request: EvaluateRequest, { explain = false } = {}): Decision | Promise<Decision> {
    const { snapshot, stale } = this.current();
    const lost = this.events?.lost;
    const decision = this.decideBy(snapshot, stale, request);
    // By the policies that decided: others may hold once the decision is recorded.
    if (explain) decision.explain = this.explainBy(snapshot, request);
    return this.durable ? this.recorded(decision, lost) : decision;
  }

  /**
   * All by the same revision of the policies.
   * @param isLast ends the work with this decision: the requests behind it are neither decided, nor counted, nor told
   */
  evaluateAll(
    requests: readonly EvaluateRequest[],
    isLast: (decision: Decision) => boolean = () => false,
  ): Decision[] | Promise<Decision[]> {
    const { snapshot, stale } = this.current();
    const lost = this.events?.lost;
    const decisions: Decision[] = [];
    for (const request of requests) {
      const decision = this.decideBy(snapshot, stale, request);
      decisions.push(decision);
      if (isLast(decision)) break;
    }
    return this.durable ? this.recorded(decisions, lost) : decisions;
  }

  /** Waits until this replica decides by at least this revision. */
  async atLeast(revision: number): Promise<void> {
    if (await this.snapshots.reach(revision, PATIENCE_MS)) return;
    throw revisionNotReached(revision, this.snapshots.revision);
  }

  /** Counts nothing and tells nothing; drafts are tried instead of the policies that hold. */
  async test(
    request: EvaluateRequest,
    drafts?: readonly PolicyContent[],
  ): Promise<Decision & { explain: Explanation }> {
    const { snapshot, stale } = drafts
      ? { snapshot: await inSlices(compileInSlices(drafts)), stale: hasStaleKey() }
      : this.current();
    const decision = decisionOf(decide(snapshot, request), snapshot.revision, stale);
    return Object.assign(decision, { explain: this.explainBy(snapshot, request) });
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

  /** A decision is stale when the policies are, or when the key of who asks may have been revoked. */
  private current(): { snapshot: Snapshot; stale: boolean } {
    const { snapshot, stale } = this.snapshots.current();
    return { snapshot, stale: stale || hasStaleKey() };
  }

  private decideBy(snapshot: Snapshot, stale: boolean, request: EvaluateRequest): Decision {
    const startedMs = performance.now();
    const verdict = decide(snapshot, request);
    const tookMs = Math.round((performance.now() - startedMs) * MICROSECONDS) / MICROSECONDS;
    const decision = decisionOf(verdict, snapshot.revision, stale);
    this.tally.count(verdict);
    if (this.events) {
      const { decision_id, policy_revision } = decision;
      this.tell(this.events, { decision_id, policy_revision, request, verdict }, tookMs);
    }
    return decision;
  }

  private tell(events: EventStream, decided: Decided, tookMs: number): void {
    const { effect } = decided.verdict;
    events.publish(ruleEvaluated(decided, tookMs));
    if (effect === 'deny') events.publish(actionDenied(decided));
    if (effect === 'warn') events.publish(warningTriggered(decided));
    if (effect === 'audit') events.publish(auditRequired(decided));
  }

  /** What was lost meanwhile may have been of this decision: rather ask again than be wrong about it. */
  private async recorded<T>(decided: T, lostBefore: number | undefined): Promise<T> {
    const { events } = this;
    if (events && !((await events.written(PATIENCE_MS)) && events.lost === lostBefore)) throw notRecorded();
    return decided;
  }

  private explainBy(snapshot: Snapshot, request: EvaluateRequest): Explanation {
    return explain(snapshot, request, { shown: this.mask(request) as EvaluateRequest });
  }
}

/** The key of the caller may have been revoked: the store is away. */
function hasStaleKey(): boolean {
  return currentContext()?.staleKey === true;
}

/** Written out, because a copy with more fields is slow to make, and this is made for each decision. */
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
