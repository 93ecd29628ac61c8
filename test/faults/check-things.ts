/** R4 and R5: threats, immune events, missions and keys are there as they were answered, and each was made once. */
import {
  type Found,
  groupBy,
  type History,
  isDone,
  type Of,
  ofKind,
  type Rule,
  told,
  type Violation,
} from './history.js';

export function checkThings(history: History, found: Found): Violation[] {
  const violations: Violation[] = [];
  const add = (rule: Rule, promise: string, what: string): void => {
    violations.push({ rule, promise, what });
  };
  const mayBeGone = new Set(ofKind(history, 'revoke').map(({ key }) => key));
  const foundBy = groupBy(found.things, ({ what, token }) => `${what} ${token}`);
  const attemptsBy = groupBy(ofKind(history, 'make'), ({ what, token }) => `${what} ${token}`);
  for (const [name, attempts] of attemptsBy) {
    const ids = new Set(attempts.filter(isDone).map(({ id }) => id));
    const made = foundBy.get(name) ?? [];
    const lines = attempts.map(told).join('\n');
    if (ids.size > 1) add('R5', 'all answers to one Idempotency-Key name the same', lines);
    if (made.length > 1)
      add('R5', 'one Idempotency-Key makes one thing', `${made.length} of ${name}\n${lines}`);
    for (const one of attempts.filter(({ status }) => status === 409 || status === 422))
      add('R5', 'no repetition is refused because of what it repeats', `${told(one)}\n${lines}`);
    for (const id of ids)
      if (!mayBeGone.has(id ?? '') && !made.some((one) => one.id === id))
        add('R4', 'what was answered is there', `${name} ${id}\n${lines}`);
  }
  checkRevocations(history, found, add);
  checkLooks(history, add);
  return violations;
}

type Add = (rule: Rule, promise: string, what: string) => void;

function checkRevocations(history: History, found: Found, add: Add): void {
  const keys = new Set(found.things.filter(({ what }) => what === 'key').map(({ id }) => id));
  for (const revoke of ofKind(history, 'revoke'))
    if (isDone(revoke) && keys.has(revoke.key))
      add('R4', 'a revocation that was answered stays', told(revoke));
}

function checkLooks(history: History, add: Add): void {
  const madeMs = new Map<string, number>();
  for (const make of ofKind(history, 'make').filter(isDone)) {
    const id = make.id ?? '';
    madeMs.set(id, Math.min(make.endMs, madeMs.get(id) ?? make.endMs));
  }
  const before = (one: Of<'look'> | Of<'claim'>): boolean =>
    (madeMs.get(one.id) ?? Number.POSITIVE_INFINITY) < one.startMs;
  for (const look of ofKind(history, 'look'))
    if (look.status === 404 && before(look)) add('R4', 'what was answered is found at once', told(look));
  for (const claim of ofKind(history, 'claim'))
    if (isDone(claim) && before(claim)) add('R4', 'an id that is taken is not given again', told(claim));
}
