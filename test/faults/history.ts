/**
 * What clients did and were answered, and what was found afterwards: all that the checker knows. Nothing here comes from
 * the inside of the service.
 */

/** Null where there is no policy of this name, or no rule that matches. */
export type Content = string | null;

export const THINGS = ['threat', 'immune', 'mission', 'key'] as const;
export type Thing = (typeof THINGS)[number];

/** A request and what became of it. Times are those of one monotonic clock, the recorder's. */
export interface Asked {
  /** The replica that was asked. */
  member: string;
  startMs: number;
  endMs: number;
  /** What the wall clock of that replica said at the start, in Unix seconds. */
  wall: number;
  /** 0 where no answer came. */
  status: number;
  code?: string;
  retryAfter?: string;
}

/** A write to a policy. Each content is written by one operation, or by equal ones. */
export interface Write {
  kind: 'write';
  does: 'create' | 'change' | 'delete';
  policy: string;
  content: Content;
  /** The `Idempotency-Key`. */
  token?: string;
  /** As the answer says: of the whole set, and of this policy. */
  revision?: number;
  version?: number;
}

export interface Decide {
  kind: 'decide';
  policy: string;
  /** The id of the key that it was asked with, where that is no admin's. */
  key?: string;
  /** `min_revision`. */
  atLeast?: number;
  id?: string;
  allowed?: boolean;
  content?: Content;
  revision?: number;
  stale?: boolean;
}

/** Makes something under an `Idempotency-Key`, which the made thing contains too. */
export interface Make {
  kind: 'make';
  what: Thing;
  token: string;
  id?: string;
}

/** Makes something under an id that is taken, without an `Idempotency-Key`. */
export interface Claim {
  kind: 'claim';
  id: string;
}

export interface Look {
  kind: 'look';
  what: Thing;
  id: string;
}

export interface Revoke {
  kind: 'revoke';
  key: string;
}

/** A request that only needs a key which is let in. */
export interface Use {
  kind: 'use';
  key: string;
}

export type Did = Write | Decide | Make | Claim | Look | Revoke | Use;
export type Operation = Asked & Did;
export type Of<K extends Did['kind']> = Asked & Extract<Did, { kind: K }>;

/** A time in which a replica could get no news: it was cut off, stopped, or down. */
export interface Outage {
  member: string;
  why: 'cut' | 'frozen' | 'down';
  fromMs: number;
  toMs: number;
}

export interface History {
  operations: Operation[];
  outages: Outage[];
  /** BRAIN_MAX_STALE_SECONDS, in milliseconds. */
  graceMs: number;
  /** BRAIN_DECISIONS is `durable`. */
  durable: boolean;
  /** When another Redis took over, without what had not been replicated. */
  rolledBackAtMs?: number;
}

/** One event of a policy; each write to the set is one of them, save the first, which makes the default policies. */
export interface Change {
  policy: string;
  /** Of the whole set, by the order of the log. */
  revision: number;
}

/** What was read back when everything had an end. */
export interface Found {
  /** In the order of the log. */
  changes: Change[];
  /** Of each policy, in the order in which they were made. */
  revisions: Record<string, { version: number; content: Content }[]>;
  current: Record<string, Content>;
  things: { what: Thing; id: string; token: string }[];
  /** Every event that says that a thing was made, or a decision. */
  events: { id: string; what: Thing | 'decision'; about: string }[];
  gaps: { reason: string; from: number; to: number }[];
}

export type Rule = 'R1' | 'R2' | 'R3' | 'R4' | 'R5' | 'R6' | 'R7';

export interface Violation {
  rule: Rule;
  /** What is promised, in the same words for all violations of it. */
  promise: string;
  what: string;
}

export function ofKind<K extends Did['kind']>({ operations }: History, kind: K): Of<K>[] {
  return operations.filter((one): one is Of<K> => one.kind === kind);
}

export function isDone({ status }: Asked): boolean {
  return status >= 200 && status < 300;
}

export function groupBy<T>(all: Iterable<T>, nameOf: (one: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) {
    const group = groups.get(nameOf(one));
    if (group) group.push(one);
    else groups.set(nameOf(one), [one]);
  }
  return groups;
}

/** One line about an operation, for people. */
export function told(operation: Operation): string {
  const { startMs, endMs, wall: _wall, ...rest } = operation;
  return `${startMs.toFixed(0)}-${endMs.toFixed(0)} ms ${JSON.stringify(rest)}`;
}
