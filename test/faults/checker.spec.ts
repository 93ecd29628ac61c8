/** The checker itself: a legal history passes, and each illegal one is found by the rule that it breaks. */
import { check, report } from './checker.js';
import {
  at,
  CHANGES,
  contentOf,
  decide,
  legal,
  put,
  REVISIONS,
  unavailable,
  WALL,
} from './example-history.js';
import type { Found, History, Operation, Rule } from './history.js';

type Spoil = (history: History, found: Found) => void;

/** What a history with one more operation is. */
const with_ =
  (operation: Operation): Spoil =>
  ({ operations }, { events }) => {
    operations.push(operation);
    if (operation.kind === 'decide' && operation.id)
      events.push({ id: `e-${operation.id}`, what: 'decision', about: operation.id });
  };
const without =
  (what: (event: Found['events'][number]) => boolean): Spoil =>
  (_, found) => {
    found.events = found.events.filter((event) => !what(event));
  };
const some = (more: object): Partial<Operation> => more;

const ILLEGAL: [name: string, rule: Rule, spoil: Spoil][] = [
  ['a decision by what was replaced 1.1 s ago, not marked', 'R1', with_(decide(3120, 2, 4, { member: 'b' }))],
  [
    'a decision by what was replaced before the grace, though marked',
    'R1',
    with_(decide(6100, 2, 4, some({ member: 'b', stale: true }))),
  ],
  ['a revoked key at a replica that is not cut off', 'R2', with_(at(2100, { kind: 'use', key: 'key-1' }))],
  [
    'a revoked key a second after the end of the outage',
    'R2',
    (history) => {
      history.outages[0].toMs = 2100;
      history.operations.push(at(3500, { kind: 'use', key: 'key-1', member: 'b' }));
    },
  ],
  [
    'a revoked key beyond the grace at a replica that is cut off',
    'R2',
    with_(at(5050, { kind: 'use', key: 'key-1', member: 'b' })),
  ],
  [
    'a decision for a revoked key that is not marked',
    'R2',
    with_(decide(2900, 3, 5, some({ key: 'key-1', member: 'b' }))),
  ],
  ['a key that was made and is not known', 'R2', with_(at(300, { kind: 'use', key: 'key-1', status: 401 }))],
  ['a decision below min_revision', 'R3', with_(decide(2200, 2, 4, some({ atLeast: 5 })))],
  ['a decision with the content of another revision', 'R3', with_(decide(2200, 3, 4))],
  ['a decision by a revision that there is not', 'R3', with_(decide(2200, 3, 6))],
  ['a decision that is not that of its rule', 'R3', with_(decide(2200, 3, 5, some({ allowed: false })))],
  ['an equal write that is answered with the revision before', 'R3', with_(put(2005, 3, 4, { member: 'b' }))],
  ['a write that is in no history', 'R4', with_(put(2200, 4, 6))],
  ['a write whose place another has taken', 'R4', with_(put(1100, 2, 3, some({ content: 'allow-7' })))],
  [
    'a deletion that is in no history',
    'R4',
    with_(at(2200, { kind: 'write', does: 'delete', policy: 'p', content: null, revision: 6, status: 204 })),
  ],
  [
    'a 404 for a policy that is there',
    'R4',
    with_(at(9000, { kind: 'write', does: 'change', policy: 'p', content: 'allow-9', status: 404 })),
  ],
  [
    'a 409 for a policy that is not there',
    'R4',
    with_(at(9000, { kind: 'write', does: 'create', policy: 'r', content: 'allow-9', status: 409 })),
  ],
  [
    'a thing that was answered and is not there',
    'R4',
    with_(at(500, { kind: 'make', what: 'immune', token: 'i', id: '7' })),
  ],
  [
    'a revoked key that is there again',
    'R4',
    (_, { things }) => void things.push({ what: 'key', id: 'key-1', token: 'k' }),
  ],
  [
    'a thing that is not found after it was answered',
    'R4',
    with_(at(400, { kind: 'look', what: 'threat', id: 'threat-1', status: 404, member: 'b' })),
  ],
  ['an id that is given twice', 'R4', with_(at(600, { kind: 'claim', id: 'm', status: 201 }))],
  [
    'a repetition that is answered with another thing',
    'R5',
    with_(at(500, { kind: 'make', what: 'threat', token: 't', id: 'threat-2', status: 201 })),
  ],
  [
    'a repetition that made another thing, whatever was answered',
    'R5',
    (_, { things, events }) => {
      things.push({ what: 'threat', id: 'threat-2', token: 't' });
      events.push({ id: 'e-2', what: 'threat', about: 'threat-2' });
    },
  ],
  [
    'a repetition of a mission that is a conflict with itself',
    'R5',
    with_(at(410, { kind: 'make', what: 'mission', token: 'm', status: 409 })),
  ],
  [
    'a repetition of a policy that is a conflict with itself',
    'R5',
    with_(put(5, 1, 2, some({ does: 'create', status: 409, token: 'make-p', revision: undefined }))),
  ],
  [
    'a repetition of a policy that is a conflict with what it was answered before',
    'R5',
    with_(put(2200, 1, 2, some({ does: 'create', status: 409, token: 'make-p', revision: undefined }))),
  ],
  ['a thing without its event', 'R6', without(({ about }) => about === 'threat-1')],
  [
    'a thing with two events',
    'R6',
    (_, { events }) => void events.push({ ...events[events.length - 2], id: 'x' }),
  ],
  [
    'an event of a thing that is not there',
    'R6',
    (_, { events }) => void events.push({ id: 'x', what: 'immune', about: '8' }),
  ],
  [
    'an event that stands in the log twice',
    'R6',
    (_, { events }) => void events.push({ ...events[0], about: 'z' }),
  ],
  ['a decision without its event', 'R6', without(({ about }) => about === 'd4600-3')],
  [
    'a decision in a gap of another time',
    'R6',
    (history, found) => {
      without(({ about }) => about === 'd4600-3')(history, found);
      found.gaps.push({ reason: 'unclean_stop', from: WALL, to: WALL + 4 });
    },
  ],
  [
    'a durable decision in a gap',
    'R6',
    (history, found) => {
      without(({ about }) => about === 'd4600-3')(history, found);
      history.durable = true;
      found.gaps.push({ reason: 'unclean_stop', from: WALL, to: WALL + 9 });
    },
  ],
  [
    'a change without its event',
    'R6',
    (_, found) => {
      found.changes = CHANGES.slice(0, -1);
    },
  ],
  [
    'a state that is not the last revision',
    'R6',
    (_, { current }) => void Object.assign(current, { q: null }),
  ],
  ['a 500', 'R7', with_(at(500, { kind: 'look', what: 'threat', id: 'threat-1', status: 500 }))],
  ['a refusal of no known kind', 'R7', with_(at(500, { kind: 'use', key: 'key-1', status: 429 }))],
  ['a 503 that does not say when', 'R7', with_(at(500, { kind: 'decide', policy: 'p', status: 503 }))],
  [
    'a 503 that comes late',
    'R7',
    with_({ ...unavailable(500, { kind: 'decide', policy: 'p' }), endMs: 3600 }),
  ],
  [
    'no answer by a replica that is only cut off from Redis',
    'R7',
    with_(at(3000, { kind: 'decide', policy: 'p', member: 'b', status: 0 })),
  ],
];

const LEGAL: [name: string, spoil: Spoil][] = [
  ['a decision by what was replaced 0.9 s ago', with_(decide(2900, 2, 4, { member: 'b' }))],
  [
    'a decision of a replica that was not told yet, of changes that nobody was told are done',
    (history, found) => {
      history.rolledBackAtMs = 3000;
      with_(decide(2500, 8, 9))(history, found);
    },
  ],
  [
    'a decision that is not in the log but in a gap',
    (history, found) => {
      without(({ about }) => about === 'd4600-3')(history, found);
      found.gaps.push({ reason: 'unclean_stop', from: WALL + 4, to: WALL + 5 });
    },
  ],
  [
    'a 503 of a replica that stood still meanwhile, and no answer of one that was killed',
    (history) => {
      history.outages.push({ member: 'c', why: 'frozen', fromMs: 600, toMs: 3500 });
      history.operations.push(
        { ...unavailable(500, { kind: 'decide', policy: 'p' }), member: 'c', endMs: 3600 },
        at(700, { kind: 'decide', policy: 'p', member: 'c', status: 0 }),
      );
    },
  ],
  [
    'a conflict of a create that took effect later',
    (history, found) => {
      const write = {
        kind: 'write',
        does: 'create',
        policy: 'p',
        content: 'allow-4',
        token: 'late',
      } as const;
      history.operations.push(
        at(2100, { ...write, status: 0, member: 'c' }),
        at(2200, { ...write, status: 409 }),
        at(2300, { ...write, does: 'delete', content: null, token: undefined, revision: 6, status: 204 }),
      );
      history.operations = history.operations.filter(({ startMs }) => startMs < 2400);
      history.outages.push({ member: 'c', why: 'down', fromMs: 2000, toMs: 3000 });
      found.changes = [...CHANGES, { policy: 'p', revision: 6 }, { policy: 'p', revision: 7 }];
      const steps = [
        { version: 4, content: null },
        { version: 5, content: 'allow-4' },
      ];
      found.revisions = { ...REVISIONS, p: [...REVISIONS.p, ...steps] };
      found.current.p = 'allow-4';
    },
  ],
  [
    'a 404 that only a repetition, answered as the first time, seems to contradict',
    (history, found) => {
      const write = { kind: 'write', policy: 'p' } as const;
      history.operations = history.operations.filter(({ startMs }) => startMs < 9000);
      history.operations.push(
        at(4900, { ...write, does: 'delete', content: null, revision: 6, status: 204, endMs: 9050 }),
        at(9000, { ...write, does: 'change', content: 'allow-9', status: 404 }),
        put(9100, 1, 2, some({ does: 'create', status: 201, token: 'make-p' })),
      );
      found.changes = [...CHANGES, { policy: 'p', revision: 6 }];
      found.revisions = { ...REVISIONS, p: [...REVISIONS.p, { version: 4, content: null }] };
      found.current.p = null;
    },
  ],
  [
    'a write that was never answered, and that took effect late',
    (history, found) => {
      found.changes = [...CHANGES, { policy: 'p', revision: 6 }];
      found.revisions = { ...REVISIONS, p: [...REVISIONS.p, { version: 4, content: contentOf(2) }] };
      found.current.p = contentOf(2);
      with_(decide(9000, 2, 6))(history, found);
    },
  ],
];

const rulesOf = (spoil: Spoil): { rules: Rule[]; lines: string[] } => {
  const { history, found } = legal();
  spoil(history, found);
  const violations = check(history, found);
  return { rules: [...new Set(violations.map(({ rule }) => rule))], lines: report(violations) };
};

describe('the checker', () => {
  it('finds nothing in a correct history', () => {
    expect(rulesOf(() => undefined).lines).toEqual([]);
  });

  it.each(LEGAL)('allows %s', (_name, spoil) => {
    expect(rulesOf(spoil).lines).toEqual([]);
  });

  it.each(ILLEGAL)('finds %s (%s)', (_name, rule, spoil) => {
    // One lie may break several promises.
    expect(rulesOf(spoil).rules).toContain(rule);
  });

  it('reports how often a rule was broken, and by which operations', () => {
    const { lines } = rulesOf(with_(decide(3120, 2, 4, { member: 'b' })));
    expect(lines).toEqual([expect.stringMatching(/^R1 .*: broken 1 times\n3120-3130 ms .*"policy":"p"/)]);
  });
});
