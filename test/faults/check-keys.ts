/** R2: what becomes of a key that was revoked, and that a key which was made is let in. */
import { NEWS_MS } from './check-policies.js';
import { type History, isDone, type Of, type Operation, ofKind, told, type Violation } from './history.js';

type Entry = Of<'use'> | Of<'decide'>;

/** A violation where there is one; `by` is what each key was told. */
export function checkKeys(history: History): Violation[] {
  const revoked = new Map<string, number>();
  const mayBeGone = new Map<string, number>();
  for (const { key, startMs, endMs, status } of ofKind(history, 'revoke')) {
    mayBeGone.set(key, Math.min(startMs, mayBeGone.get(key) ?? startMs));
    if (status === 204) revoked.set(key, Math.min(endMs, revoked.get(key) ?? endMs));
  }
  const violations: Violation[] = [];
  const add = (promise: string, operation: Operation, detail = ''): void => {
    violations.push({ rule: 'R2', promise, what: told(operation) + detail });
  };
  for (const entry of entriesOf(history)) {
    const { key = '', startMs, endMs } = entry;
    if (entry.status === 401 && endMs < (mayBeGone.get(key) ?? Number.POSITIVE_INFINITY))
      add('a key that was made is let in', entry);
    const ageMs = startMs - (revoked.get(key) ?? Number.POSITIVE_INFINITY);
    if (!isDone(entry) || ageMs <= NEWS_MS) continue;
    const detail = ` [revoked ${ageMs.toFixed(0)} ms before]`;
    if (ageMs > history.graceMs + NEWS_MS) add('beyond the grace no revoked key is let in', entry, detail);
    else if (!wasCutOff(history, entry))
      add('a replica that hears of it lets no revoked key in', entry, detail);
    else if (entry.kind === 'decide' && !entry.stale)
      add('what a revoked key is told is marked as stale', entry, detail);
  }
  return violations;
}

function entriesOf(history: History): Entry[] {
  return [...ofKind(history, 'use'), ...ofKind(history, 'decide').filter(({ key }) => key !== undefined)];
}

/** News takes a second also after an outage. */
function wasCutOff({ outages }: History, { member, startMs, endMs }: Entry): boolean {
  return outages.some((one) => one.member === member && one.fromMs <= endMs && one.toMs + NEWS_MS >= startMs);
}
