/** R7: whatever happens, answers are of a kind that clients can work with, and come in time. */
import {
  type Asked,
  type Did,
  type History,
  isDone,
  type Operation,
  told,
  type Violation,
} from './history.js';

/** What is promised is two seconds; the rest is the way of the answer on a machine that does other things too. */
const UNAVAILABLE_MS = 3000;
/** The other answers that a client may get, besides success and unavailability. */
const REFUSALS: Record<Did['kind'], number[]> = {
  write: [404, 409],
  decide: [401],
  use: [401],
  // R5 judges a 409.
  make: [409, 422],
  claim: [409],
  look: [404],
  revoke: [404],
};

export function checkAnswers(history: History): Violation[] {
  const violations: Violation[] = [];
  const add = (promise: string, operation: Operation): void => {
    violations.push({ rule: 'R7', promise, what: told(operation) });
  };
  for (const operation of history.operations) {
    const { status, retryAfter, startMs, endMs, kind } = operation;
    if (status === 0) {
      if (!wasAway(history, operation)) add('who asks is answered', operation);
    } else if (status !== 503) {
      if (!isDone(operation) && !REFUSALS[kind].includes(status))
        add('answers are of a known kind', operation);
    } else {
      if (!/^[1-9]\d*$/.test(retryAfter ?? '')) add('a 503 says when to come back', operation);
      if (endMs - startMs - frozenMs(history, operation) > UNAVAILABLE_MS)
        add('a 503 comes in time', operation);
    }
  }
  return violations;
}

/** A process that ends closes its connections, and a stopped one does not answer. */
function wasAway({ outages }: History, { member, startMs, endMs }: Asked): boolean {
  return outages.some(
    (one) => one.why !== 'cut' && one.member === member && one.fromMs <= endMs && one.toMs >= startMs,
  );
}

function frozenMs({ outages }: History, { member, startMs, endMs }: Asked): number {
  const mine = outages.filter((one) => one.member === member && one.why === 'frozen');
  const shared = mine.map(({ fromMs, toMs }) => Math.min(toMs, endMs) - Math.max(fromMs, startMs));
  return shared.reduce((sum, ms) => sum + Math.max(0, ms), 0);
}
