/** Reads state and log over HTTP, when everything had an end, for the checker to hold the history against. */
import type { Policy } from '../../src/policy/engine/policy.dto.js';
import { ADMIN } from '../support/service.js';
import type { Change, Content, Found, Thing } from './history.js';
import type { Member } from './member.js';

const POLICY_FACTS = ['policy.created', 'policy.updated', 'policy.deleted'];
/** The event that says that something was made, and the field of its payload that says what. */
const FACTS: Record<string, [what: Thing | 'decision', field: string]> = {
  'threat.detected': ['threat', 'threat_id'],
  'immune.event_published': ['immune', 'event_id'],
  'mission.created': ['mission', 'mission_id'],
  'policy.rule_evaluated': ['decision', 'decision_id'],
};
/** A list, and the field in which its rows carry the `Idempotency-Key` that made them. */
const LISTS: [what: Thing, path: string, rows: string, token: string][] = [
  ['threat', '/api/threats', 'threats', 'source'],
  ['immune', '/api/immune/events', 'events', 'message'],
  ['mission', '/api/missions', 'missions', 'id'],
  ['key', '/api/keys', 'keys', 'name'],
];
const PAGE = 500;

interface Event {
  id: string;
  type: string;
  payload: Record<string, unknown>;
}

/**
 * `policies` are those of the history; all that other histories have left is passed over by the checker. `since` is when it
 * began, by the clock of the store.
 */
export async function readBack(member: Member, policies: readonly string[], since: number): Promise<Found> {
  const facts = (await rowsOf(member, eventsPath(POLICY_FACTS), 'events')) as Event[];
  const ofHistory = `${eventsPath(Object.keys(FACTS))}&since=${since}`;
  const events = (await rowsOf(member, ofHistory, 'events')) as Event[];
  const found: Found = {
    changes: changesIn(facts),
    revisions: {},
    current: {},
    things: [],
    events: events.map(({ id, type, payload }) => {
      const [what, field] = FACTS[type];
      return { id, what, about: String(payload[field]) };
    }),
    gaps: await gapsOf(member),
  };
  for (const policy of policies) {
    found.revisions[policy] = await revisionsOf(member, policy);
    found.current[policy] = await currentOf(member, policy);
  }
  for (const [what, path, name, token] of LISTS) {
    const rows = (await rowsOf(member, path, name)) as Record<string, unknown>[];
    found.things.push(...rows.map((row) => ({ what, id: String(row.id), token: String(row[token]) })));
  }
  return found;
}

export async function gapsOf(member: Member): Promise<Found['gaps']> {
  const gaps = (await rowsOf(member, eventsPath(['stream.gap']), 'events')) as Event[];
  return gaps.map(({ payload }) => payload as unknown as Found['gaps'][number]);
}

/** Each write raises the revision of the set by one; the first makes all default policies. */
function changesIn(facts: Event[]): Change[] {
  let revision = 1;
  return facts.map(({ payload }) => {
    if (payload.created_by !== 'system') revision += 1;
    return { policy: String(payload.policy_id), revision };
  });
}

async function revisionsOf(member: Member, policy: string): Promise<Found['revisions'][string]> {
  const path = `/api/policy/policies/${policy}/revisions`;
  const rows = (await rowsOf(member, path, 'revisions', [200, 404])) as {
    revision: number;
    policy: Policy | null;
  }[];
  return rows.map((row) => ({ version: row.revision, content: contentIn(row.policy) })).reverse();
}

async function currentOf(member: Member, policy: string): Promise<Content> {
  const { status, body } = await get(member, `/api/policy/policies/${policy}`, [200, 404]);
  return status === 404 ? null : contentIn(body as unknown as Policy);
}

function contentIn(policy: Policy | null): Content {
  return policy?.rules[0]?.name ?? null;
}

function eventsPath(types: readonly string[]): string {
  return `/api/events?order=asc&${types.map((type) => `type=${type}`).join('&')}`;
}

async function rowsOf(
  member: Member,
  path: string,
  name: string,
  good: readonly number[] = [200],
): Promise<unknown[]> {
  const rows: unknown[] = [];
  let cursor = '';
  do {
    const more = `${path.includes('?') ? '&' : '?'}limit=${PAGE}${cursor && `&cursor=${cursor}`}`;
    const { body } = await get(member, path + more, good);
    rows.push(...((body[name] as unknown[] | undefined) ?? []));
    cursor = (body.next_cursor as string | null | undefined) ?? '';
  } while (cursor !== '');
  return rows;
}

async function get(
  member: Member,
  path: string,
  good: readonly number[],
): Promise<{ status: number; body: Record<string, unknown> }> {
  const answer = await fetch(member.url + path, { headers: { Authorization: `Bearer ${ADMIN}` } });
  const body = (await answer.json()) as Record<string, unknown>;
  if (!good.includes(answer.status)) throw new Error(`${path}: ${answer.status} ${JSON.stringify(body)}`);
  return { status: answer.status, body };
}
