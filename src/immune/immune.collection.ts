/** How immune events are stored. They never change: what happened has happened. */
import type { Collection } from '../storage/store.js';
import type { ImmuneEvent } from './immune.dto.js';
import type { ImmuneSeverity, ImmuneType } from './immune.health.js';

/** As long as the largest integer that is still exact. */
const ID_LENGTH = 16;
/**
 * Few enough stretches that a day is summed up in no time, and short enough that the one which the edge of a window cuts
 * is soon walked.
 */
const STRETCH_MS = 5 * 60_000;

export const IMMUNE_EVENTS: Collection<ImmuneEvent> = {
  name: 'immune',
  item: 'event',
  version: 1,
  indexVersion: 1,
  id: storedId,
  order: createdMs,
  indexes: {
    severity: ({ severity }) => severity,
    type: ({ type }) => type,
    agent_id: ({ agent_id }) => agent_id,
    module: ({ module }) => module,
    kind: kindOf,
  },
  stretches: { kind: STRETCH_MS },
};

/** Rows of one millisecond are ordered by the text of their id, so all of them have one length. */
export function storedId({ id }: ImmuneEvent): string {
  return String(id).padStart(ID_LENGTH, '0');
}

export function createdMs({ created_at }: ImmuneEvent): number {
  return Date.parse(created_at);
}

/** What the window is counted by: each event is of one kind, so all the numbers of a summary come from one count. */
export function kindOf({ severity, type }: { severity: ImmuneSeverity; type: ImmuneType }): string {
  return `${severity} ${type}`;
}
