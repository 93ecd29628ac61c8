/** The names under which the log stores the index entries of an event. */
import { digest } from '../shared/ids.js';
import type { IndexedEvent } from './event-log.js';

/** Text without blanks and braces, which Redis key names must not contain. A digest has no colon. */
const PLAIN = /^[sc]:[\w.-]{1,40}$/;

/** The name of an index key in the store: the key itself if it is plain, as most ids are, else its digest. */
export function indexName(key: string): string {
  return PLAIN.test(key) ? key : digest(key);
}

export function indexNamesOf({ names, json }: IndexedEvent): string[] {
  if (names === undefined) return indexNamesOfOlderEvent(json);
  return names === '' ? [] : names.split(' ');
}

/** The fields that named the subjects of an event before each definition declared its own. */
const SUBJECTS_OF_OLDER_EVENTS = ['threat_id', 'mission_id', 'policy_id', 'agent_id', 'event_id'];

/**
 * Events that an older release wrote have no stored index names, so they are computed from the JSON. Nothing else uses
 * this list. It can go when retention has removed the last of these events.
 */
function indexNamesOfOlderEvent(json: string): string[] {
  try {
    const { payload, meta } = JSON.parse(json) as {
      payload?: Record<string, unknown> | null;
      meta: { correlation_id: string | null };
    };
    const values = SUBJECTS_OF_OLDER_EVENTS.map((field) => payload?.[field]);
    const subjects = values.filter((value) => typeof value === 'string' || typeof value === 'number');
    const names = new Set(subjects.map((value) => indexName(`s:${value}`)));
    if (meta.correlation_id !== null) names.add(indexName(`c:${meta.correlation_id}`));
    return [...names];
  } catch {
    return [];
  }
}
