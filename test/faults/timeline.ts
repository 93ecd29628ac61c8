/** The content of each policy at each revision of the set, from the log and the revisions together. */
import { type Asked, type Content, type Found, type History, isDone, ofKind } from './history.js';

export interface Step {
  /** Of the whole set. */
  revision: number;
  /** Of the policy. */
  version: number;
  content: Content;
}

const NOTHING: Step = { revision: 0, version: 0, content: null };

export class Timeline {
  /** The latest revision of the set. */
  readonly last: number;
  /** Policies whose changes in the log differ from their revisions. */
  readonly uneven: string[] = [];
  private readonly steps = new Map<string, Step[]>();

  constructor({ changes, revisions }: Found) {
    this.last = changes.at(-1)?.revision ?? 0;
    for (const [policy, made] of Object.entries(revisions)) {
      const at = changes.filter((change) => change.policy === policy).map(({ revision }) => revision);
      if (at.length !== made.length) this.uneven.push(policy);
      // The n-th change of a policy made its n-th revision.
      this.steps.set(
        policy,
        made.slice(0, at.length).map((one, i) => ({ ...one, revision: at[i] })),
      );
    }
  }

  stepsOf(policy: string): readonly Step[] {
    return this.steps.get(policy) ?? [];
  }

  /** What the policy was when the set had this revision. */
  at(policy: string, revision: number): Step {
    return this.stepsOf(policy).findLast((step) => step.revision <= revision) ?? NOTHING;
  }

  /** All that a policy may have been while the set went from one revision to another. */
  between(policy: string, from: number, to: number): Content[] {
    const later = this.stepsOf(policy).filter(({ revision }) => revision > from && revision <= to);
    return [this.at(policy, from), ...later].map(({ content }) => content);
  }
}

/** What answers prove of the revision of the set. */
export class Acknowledged {
  private readonly writes: { revision: number; startMs: number; endMs: number; mayRepeat: boolean }[];
  /** The earliest end among the writes from this place on. */
  private readonly earliest: number[] = [];

  constructor(history: History) {
    this.writes = ofKind(history, 'write')
      .filter((write) => isDone(write) && write.revision !== undefined)
      .map(({ revision = 0, startMs, endMs, token }) => ({
        revision,
        startMs,
        endMs,
        mayRepeat: token !== undefined,
      }))
      .sort((a, b) => a.revision - b.revision);
    let earliestMs = Number.POSITIVE_INFINITY;
    for (let i = this.writes.length - 1; i >= 0; i -= 1) {
      earliestMs = Math.min(earliestMs, this.writes[i].endMs);
      this.earliest[i] = earliestMs;
    }
  }

  /** The time of the first answer with a higher revision of the set. */
  replacedMs(revision: number): number {
    let [low, high] = [0, this.writes.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.writes[middle].revision > revision) high = middle;
      else low = middle + 1;
    }
    return this.earliest[low] ?? Number.POSITIVE_INFINITY;
  }

  /** The highest that was answered before this. */
  reachedBefore(ms: number): number {
    return this.writes.filter(({ endMs }) => endMs < ms).at(-1)?.revision ?? 0;
  }

  /** The set was not beyond this at the end of the request: who asked later was answered so, and by no old answer. */
  notBeyond({ endMs }: Asked): number {
    const later = this.writes.find(({ startMs, mayRepeat }) => startMs > endMs && !mayRepeat);
    return later?.revision ?? Number.POSITIVE_INFINITY;
  }
}
