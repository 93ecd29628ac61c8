/** A short history in which everything is as promised, and the pieces of which others are made. */
import type { Did, Found, History, Operation } from './history.js';

const GRACE_MS = 3000;
export const WALL = 1_700_000_000;

type Made = Did & Partial<Operation>;

/** At its second of the story, for 10 ms, at the replica `a`, answered well. */
export function at(ms: number, did: Made): Operation {
  return {
    member: 'a',
    startMs: ms,
    endMs: ms + 10,
    wall: WALL + ms / 1000,
    status: 200,
    ...did,
  };
}

export const put = (ms: number, n: number, revision: number, more: Partial<Operation> = {}): Operation =>
  at(ms, {
    kind: 'write',
    does: 'change',
    policy: 'p',
    content: contentOf(n),
    version: n,
    revision,
    ...more,
  } as Made);
export const decide = (ms: number, n: number, revision: number, more: Partial<Operation> = {}): Operation => {
  const content = contentOf(n);
  const allowed = content.startsWith('allow');
  const id = `d${ms}-${n}`;
  return at(ms, { kind: 'decide', policy: 'p', id, content, allowed, revision, ...more } as Made);
};
export const unavailable = (ms: number, did: Made): Operation =>
  at(ms, { ...did, status: 503, retryAfter: '1' });
export const contentOf = (n: number): string => `${n % 2 ? 'allow' : 'deny'}-${n}`;

/** The policy `p` becomes 1, 2 and 3 at the revisions 2, 3 and 5 of the set; revision 4 is that of another policy. */
export const CHANGES = [2, 3, 4, 5].map((revision) => ({ policy: revision === 4 ? 'q' : 'p', revision }));
export const REVISIONS = {
  p: [1, 2, 3].map((n) => ({ version: n, content: contentOf(n) })),
  q: [{ version: 1, content: 'allow-1' }],
};

export function legal(): { history: History; found: Found } {
  const operations = [
    put(0, 1, 2, { does: 'create', status: 201, token: 'make-p' }),
    decide(100, 1, 2),
    put(1000, 2, 3),
    decide(1500, 1, 2, { member: 'b' }),
    decide(1600, 2, 3, { member: 'b', atLeast: 3 }),
    put(2000, 3, 5),
    put(2005, 3, 5, { member: 'b' }),
    decide(2500, 2, 4, { member: 'b' }),
    decide(4500, 2, 4, { member: 'b', stale: true }),
    decide(4600, 3, 5),
    unavailable(4700, { kind: 'decide', policy: 'p' }),
    at(100, { kind: 'make', what: 'key', token: 'k', id: 'key-1', status: 201 }),
    at(200, { kind: 'use', key: 'key-1' }),
    at(1000, { kind: 'revoke', key: 'key-1', status: 204 }),
    at(1500, { kind: 'use', key: 'key-1', member: 'b' }),
    at(2600, { kind: 'use', key: 'key-1', status: 401 }),
    decide(2700, 3, 5, { key: 'key-1', member: 'b', stale: true }),
    unavailable(100, { kind: 'make', what: 'threat', token: 't' }),
    at(200, { kind: 'make', what: 'threat', token: 't', id: 'threat-1', status: 201 }),
    at(300, { kind: 'make', what: 'threat', token: 't', id: 'threat-1', status: 201, member: 'b' }),
    at(400, { kind: 'look', what: 'threat', id: 'threat-1' }),
    at(400, { kind: 'make', what: 'mission', token: 'm', id: 'm', status: 201 }),
    at(500, { kind: 'claim', id: 'm', status: 409 }),
    at(9000, { kind: 'write', does: 'delete', policy: 'r', content: null, status: 404 }),
    at(9000, { kind: 'write', does: 'create', policy: 'p', content: 'allow-9', status: 409 }),
  ];
  const decided = operations.flatMap((one) => (one.kind === 'decide' && one.id ? [one.id] : []));
  const found: Found = {
    changes: CHANGES,
    revisions: REVISIONS,
    current: { p: contentOf(3), q: 'allow-1' },
    things: [
      { what: 'threat', id: 'threat-1', token: 't' },
      { what: 'mission', id: 'm', token: 'm' },
    ],
    events: [
      ...decided.map((id) => ({ id: `e-${id}`, what: 'decision' as const, about: id })),
      { id: 'e-threat', what: 'threat', about: 'threat-1' },
      { id: 'e-mission', what: 'mission', about: 'm' },
    ],
    gaps: [],
  };
  const outages = [{ member: 'b', why: 'cut' as const, fromMs: 2000, toMs: 5000 }];
  return { history: { operations, outages, graceMs: GRACE_MS, durable: false }, found };
}
