/**
 * Holds a recorded history against what the service promises. Pure: the same history gives the same violations.
 *
 * - R1 Policies that were replaced a second ago decide only as stale, and beyond the grace not at all.
 * - R2 A revoked key is let in only where its replica is cut off, within the grace, and is told so.
 * - R3 A decision is by exactly the policies of its revision; `min_revision` and `Policy-Revision` hold.
 * - R4 What was answered with 2xx is there; what was refused was so.
 * - R5 An `Idempotency-Key` makes one thing, and no repetition is refused because of what it repeats.
 * - R6 State and log agree; a decision is in the log or in a gap.
 * - R7 No answer is a 500; a 503 says when to come back, and comes in time.
 */
import { checkAnswers } from './check-answers.js';
import { checkKeys } from './check-keys.js';
import { checkLog } from './check-log.js';
import { PolicyCheck } from './check-policies.js';
import { checkThings } from './check-things.js';
import { type Found, groupBy, type History, type Violation } from './history.js';

const EXAMPLES = 2;

export function check(history: History, found: Found): Violation[] {
  return [
    ...new PolicyCheck(history, found).run(),
    ...checkKeys(history),
    ...checkThings(history, found),
    ...checkLog(history, found),
    ...checkAnswers(history),
  ];
}

/** How often each promise was broken, with a few examples; empty where none was. */
export function report(violations: Violation[]): string[] {
  const groups = groupBy(violations, ({ rule, promise }) => `${rule} ${promise}`);
  return [...groups].map(([promise, all]) => {
    const examples = all.slice(0, EXAMPLES).map(({ what }) => what);
    return [`${promise}: broken ${all.length} times`, ...examples].join('\n');
  });
}
