/** How immune events are stored. A stored event never changes. */
import type { Collection } from '../storage/store.js';
import type { ImmuneEvent } from './immune.dto.js';
import type { ImmuneSeverity, ImmuneType } from './immune.health.js';

/** The number of digits of the largest integer that JavaScript represents exactly. */
const ID_LENGTH = 16;
/**
 * The embedded store adds up whole ranges and reads one by one only the events in the range at the edge of a window. At this
 * width both are fast: a day has 288 ranges, and one range has few events.
 */
const COUNTED_RANGE_MS = 5 * 60_000;

export interface StoredImmuneEvent extends ImmuneEvent {
  /** The id of the principal; missing in events of earlier releases. */
  reported_by?: string;
  /** The reporter had used up its share of protected events, so newer events may push this one out although it is CRITICAL. */
  unprotected?: true;
}

/** The value of the index `removable`. */
export const REMOVABLE = 'removable';

export const IMMUNE_EVENTS: Collection<StoredImmuneEvent> = {
  name: 'immune',
  item: 'event',
  version: 1,
  indexVersion: 2,
  id: storedId,
  order: createdMs,
  indexes: {
    severity: ({ severity }) => severity,
    type: ({ type }) => type,
    agent_id: ({ agent_id }) => agent_id,
    module: ({ module }) => module,
    kind: kindOf,
    // The CRITICAL events of one reporter that newer events do not push out. They limit each other.
    protected: (event) => (isProtected(event) ? (event.reported_by ?? '') : null),
    removable: (event) => (isProtected(event) ? null : REMOVABLE),
  },
  countedRanges: { kind: COUNTED_RANGE_MS, protected: COUNTED_RANGE_MS },
};

function isProtected({ severity, unprotected }: StoredImmuneEvent): boolean {
  return severity === 'CRITICAL' && !unprotected;
}

/** The public fields. */
export function toImmuneEvent(event: StoredImmuneEvent): ImmuneEvent {
  const { id, agent_id, module, severity, type, message, meta, created_at } = event;
  return { id, agent_id, module, severity, type, message, meta, created_at };
}

/** Rows of the same millisecond are ordered by the text of their id, so all ids need the same length. */
export function storedId({ id }: ImmuneEvent): string {
  return String(id).padStart(ID_LENGTH, '0');
}

export function createdMs({ created_at }: ImmuneEvent): number {
  return Date.parse(created_at);
}

/** The index that the health summary counts. Each event has exactly one kind, so all numbers of a summary agree. */
export function kindOf({ severity, type }: { severity: ImmuneSeverity; type: ImmuneType }): string {
  return `${severity} ${type}`;
}
