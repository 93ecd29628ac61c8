/** R1, R3 and the part of R4 that is about policies. */
import {
  type Found,
  type History,
  isDone,
  type Of,
  type Operation,
  ofKind,
  type Rule,
  told,
  type Violation,
} from './history.js';
import { Acknowledged, Timeline } from './timeline.js';

/** What is promised for news of a change; it is counted from the answer to the change to the start of the request. */
export const NEWS_MS = 1000;

export class PolicyCheck {
  readonly violations: Violation[] = [];
  private readonly timeline: Timeline;
  private readonly acknowledged: Acknowledged;

  constructor(
    private readonly history: History,
    private readonly found: Found,
  ) {
    this.timeline = new Timeline(found);
    this.acknowledged = new Acknowledged(history);
  }

  run(): Violation[] {
    for (const decision of ofKind(this.history, 'decide')) if (isDone(decision)) this.decision(decision);
    for (const write of ofKind(this.history, 'write')) {
      if (isDone(write)) this.write(write);
      else if (write.status === 404 || write.status === 409) this.refusal(write);
    }
    this.state();
    return this.violations;
  }

  private decision(decision: Of<'decide'>): void {
    const { revision = 0, stale = false, atLeast = 0, startMs, allowed, content = null } = decision;
    const ageMs = startMs - this.acknowledged.replacedMs(revision);
    if (ageMs > NEWS_MS && !stale)
      this.add('R1', 'what was replaced more than a second ago decides only as stale', decision, ageMs);
    if (ageMs > this.history.graceMs + NEWS_MS)
      this.add('R1', 'what was replaced before the grace began decides nothing', decision, ageMs);
    if (revision < atLeast)
      this.add('R3', 'min_revision is reached before a decision is made', decision, atLeast);
    if (allowed !== (content?.startsWith('allow') ?? false))
      this.add('R3', 'a decision is that of the rule it names', decision);
    if (this.isOfLostHistory(decision)) return;
    const { content: expected } = this.timeline.at(decision.policy, revision);
    if (revision > this.timeline.last || content !== expected)
      this.add('R3', 'a decision is by exactly the policies of its revision', decision, expected);
  }

  /** By changes that nobody was told are done, and that went with the Redis that had them; news of it takes a second. */
  private isOfLostHistory({ startMs, revision = 0, stale = false }: Of<'decide'>): boolean {
    const { rolledBackAtMs } = this.history;
    if (rolledBackAtMs === undefined || (startMs > rolledBackAtMs + NEWS_MS && !stale)) return false;
    return revision > this.acknowledged.reachedBefore(rolledBackAtMs);
  }

  private write(write: Of<'write'>): void {
    const { policy, content, version, revision } = write;
    const steps = this.timeline.stepsOf(policy);
    const is = (step: { version: number; revision: number }): boolean =>
      version === undefined ? step.revision === revision : step.version === version;
    if (!steps.some((step) => step.content === content && is(step))) {
      this.add('R4', 'a write that was answered is in the history of its policy', write);
    } else if (revision === undefined || this.timeline.at(policy, revision).content !== content) {
      const at = this.timeline.at(policy, revision ?? 0);
      this.add('R3', 'at the revision that a write was answered with, its content holds', write, at.content);
    }
  }

  /** `not found` and `there is one already` were true at some moment of the request. */
  private refusal(write: Of<'write'>): void {
    const { status, policy, startMs } = write;
    const { rolledBackAtMs = Number.NEGATIVE_INFINITY } = this.history;
    // What was lost with a Redis may have been true.
    if (startMs < rolledBackAtMs) return;
    const from = this.acknowledged.reachedBefore(startMs);
    const to = this.acknowledged.notBeyond(write);
    const contents = this.timeline.between(policy, from, to);
    if (!contents.some((one) => (one === null) === (status === 404)))
      this.add('R4', 'a refusal is true', write, contents);
    else if (status === 409 && this.isItsOwn(write, from, to))
      this.add('R5', 'no repetition is refused because of what it repeats', write);
  }

  /** The policy that stands in the way was made under the same `Idempotency-Key`, and none did before. */
  private isItsOwn({ policy, content, token }: Of<'write'>, from: number, to: number): boolean {
    const own = this.timeline.stepsOf(policy).find((step) => step.content === content);
    if (token === undefined || own === undefined || own.revision > to) return false;
    if (own.revision <= from) return true;
    return this.timeline.between(policy, from, own.revision - 1).every((one) => one === null);
  }

  private state(): void {
    const promise = 'the log and the state of policies agree';
    for (const policy of this.timeline.uneven) {
      const changes = this.found.changes.filter((change) => change.policy === policy).length;
      const what = `${policy}: ${changes} events, ${this.found.revisions[policy]?.length} revisions`;
      this.violations.push({ rule: 'R6', promise, what });
    }
    for (const [policy, content] of Object.entries(this.found.current)) {
      const last = this.timeline.at(policy, this.timeline.last).content;
      if (last !== content)
        this.violations.push({
          rule: 'R6',
          promise,
          what: `${policy} is ${content}, its last revision ${last}`,
        });
    }
  }

  private add(rule: Rule, promise: string, operation: Operation, detail?: unknown): void {
    const more = detail === undefined ? '' : ` [${JSON.stringify(detail)}]`;
    this.violations.push({ rule, promise, what: told(operation) + more });
  }
}
