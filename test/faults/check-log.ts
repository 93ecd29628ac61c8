/** R6: state and log agree, and missing events are reported. */
import { type Found, type History, isDone, ofKind, THINGS, told, type Violation } from './history.js';

/** Keys have no events. */
const TOLD = THINGS.filter((thing) => thing !== 'key');

export function checkLog(history: History, found: Found): Violation[] {
  const violations: Violation[] = [];
  const add = (promise: string, what: string): void => {
    violations.push({ rule: 'R6', promise, what });
  };
  const times = new Map<string, number>();
  const about = new Map<string, number>();
  for (const event of found.events) {
    count(times, event.id);
    count(about, `${event.what} ${event.about}`);
  }
  for (const [id, n] of times) if (n > 1) add('each event stands in the log once', `${n} times ${id}`);
  checkMade(history, found, about, add);
  for (const decision of ofKind(history, 'decide').filter(isDone)) {
    const events = about.get(`decision ${decision.id}`) ?? 0;
    if (events > 1) add('a decision has one event', told(decision));
    if (events > 0) continue;
    if (history.durable) add('a durable decision is in the log', told(decision));
    else if (!isCovered(found, decision)) add('a decision is in the log or in a gap', told(decision));
  }
  return violations;
}

function checkMade(
  history: History,
  found: Found,
  about: Map<string, number>,
  add: (promise: string, what: string) => void,
): void {
  const there = new Set(found.things.map(({ what, id }) => `${what} ${id}`));
  const made = new Map(
    ofKind(history, 'make')
      .filter(isDone)
      .map((make) => [`${make.what} ${make.id}`, make]),
  );
  for (const [name, make] of made) {
    if (make.what === 'key') continue;
    const refused = isCovered(found, make, 'refused');
    if (about.get(name) !== 1 && !refused)
      add('what was made has one event', `${about.get(name) ?? 0} events: ${told(make)}`);
  }
  for (const { what, about: id } of found.events)
    if (TOLD.some((one) => one === what) && !there.has(`${what} ${id}`))
      add('what an event tells of is there', `${what} ${id}`);
  for (const name of there)
    if (!name.startsWith('key ') && !made.has(name) && (about.get(name) ?? 0) > 1)
      add('what was made has one event', `${about.get(name)} events: ${name}`);
}

/** Both in the wall clock of the replica that was asked. */
function isCovered(
  { gaps }: Found,
  { wall, startMs, endMs }: { wall: number; startMs: number; endMs: number },
  why?: string,
): boolean {
  const end = wall + (endMs - startMs) / 1000;
  return gaps.some(
    ({ reason, from, to }) => (why === undefined || reason === why) && from <= end && to >= wall,
  );
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
