/**
 * Publishes the events of a decision, or sums the decision up: beyond the quota of its principal, where the share of that
 * principal in the buffer is used up, and while the log is nearly full.
 */
import { Inject, Injectable, Optional } from '@nestjs/common';
import { CONFIG, type Config, settingsIn } from '../../config/config.js';
import type { NewEvent } from '../../events/event.js';
import { EventStream } from '../../events/event-stream.js';
import { currentContext } from '../../shared/context.js';
import { TokenBuckets } from '../../shared/token-buckets.js';
import { tooManyDecisions } from '../policy.errors.js';
import { POLICY_SETTINGS } from '../policy.settings.js';
import {
  actionDenied,
  auditRequired,
  type Decided,
  ruleEvaluated,
  warningTriggered,
} from './decision.events.js';
import type { SumReason } from './decision-sums.events.js';
import { DecisionSums } from './decision-sums.js';

/** The longest wait of a batch for room in the buffer. */
const ROOM_MS = 1000;

@Injectable()
export class DecisionRecorder {
  private readonly quota?: TokenBuckets;

  constructor(
    @Inject(CONFIG) config: Config,
    private readonly sums: DecisionSums,
    @Optional() @Inject(EventStream) private readonly events?: EventStream,
  ) {
    const perMinute = settingsIn(config, POLICY_SETTINGS).BRAIN_DECISIONS_RECORDED_PER_MINUTE;
    if (perMinute > 0) this.quota = new TokenBuckets(perMinute / 60, perMinute);
  }

  /** Never throws, and never waits: a full log fails no decision. */
  record(decided: Decided, tookMs: number): void {
    if (!this.events) return;
    const reason = this.reasonToSum(this.events, decided);
    if (reason) this.sums.add(decided, reason);
    else this.events.publishTogether(eventsOf(decided, tookMs), () => this.sums.add(decided, 'buffer'));
  }

  /** Publishes every event, or calls `dropped`. For decisions that must be in the log before they are answered. */
  recordDurably(decided: Decided, tookMs: number, dropped: () => void): void {
    this.events?.publishTogether(eventsOf(decided, tookMs), dropped);
  }

  /** Takes decisions from the quota of the caller. Throws beyond it. */
  spend(decisions: number): void {
    const caller = currentContext()?.actor;
    if (!this.quota || !caller) return;
    const waitSeconds = this.quota.take(caller.id, decisions);
    if (waitSeconds > 0) throw tooManyDecisions(waitSeconds);
  }

  /** Waits for room for many decisions. What does not fit after that is summed up. */
  async room(): Promise<void> {
    await this.events?.room(ROOM_MS);
  }

  private reasonToSum(events: EventStream, { asked_by, verdict }: Decided): SumReason | undefined {
    if (events.condensing && verdict.effect === 'allow') return 'log_nearly_full';
    // The service itself has no quota: it decides nothing in a loop.
    if (!this.quota || currentContext()?.actor === undefined) return undefined;
    return this.quota.take(asked_by) > 0 ? 'quota' : undefined;
  }
}

function eventsOf(decided: Decided, tookMs: number): NewEvent[] {
  const evaluated = ruleEvaluated(decided, tookMs);
  switch (decided.verdict.effect) {
    case 'deny':
      return [evaluated, actionDenied(decided)];
    case 'warn':
      return [evaluated, warningTriggered(decided)];
    case 'audit':
      return [evaluated, auditRequired(decided)];
    default:
      return [evaluated];
  }
}
