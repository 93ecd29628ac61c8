/** The filters of a reader: the same for the list and for the live stream. */
import { indexName } from '../../storage/index-names.js';
import { correlationKey, priorityOf, subjectKey, typeFilter } from '../event.js';
import type { StoredEvent } from './stored-event.js';

export interface EventFilter {
  types: string[];
  priority?: string;
  source?: string;
  correlationId?: string;
  subject?: string;
}

/** The size of the cache of a filter. There are fewer types, unless another program writes into the log. */
const TYPES_KEPT = 200;

/** The type is checked first, because it is known without parsing the event. */
export function acceptsOf(filter: EventFilter): (event: StoredEvent) => boolean {
  const { source, correlationId, subject } = filter;
  const typed = typesOf(filter);
  const name = subject === undefined ? undefined : indexName(subjectKey(subject));
  const deep = source !== undefined || correlationId !== undefined;
  return (event) => {
    const { type } = event;
    if (type === undefined || !typed(type)) return false;
    if (name !== undefined && !event.indexNames.includes(name)) return false;
    if (!deep) return true;
    const { envelope } = event;
    return (
      envelope !== undefined &&
      (source === undefined || envelope.source === source) &&
      (correlationId === undefined || envelope.meta.correlation_id === correlationId)
    );
  };
}

/**
 * The same for events that `EventLog.read` found by `indexKeyOf`. The index has already compared the subject, and these events
 * come without their index names.
 */
export function acceptsFoundOf(filter: EventFilter): (event: StoredEvent) => boolean {
  return acceptsOf({ ...filter, subject: undefined });
}

/** The index key under which every event for this filter is found, if there is one. */
export function indexKeyOf({ subject, correlationId }: EventFilter): string | undefined {
  if (subject !== undefined) return subjectKey(subject);
  return correlationId === undefined ? undefined : correlationKey(correlationId);
}

function typesOf({ types, priority }: EventFilter): (type: string) => boolean {
  const matches = typeFilter(types);
  const known = new Map<string, boolean>();
  return (type) => {
    let wanted = known.get(type);
    if (wanted === undefined) {
      wanted = matches(type) && (priority === undefined || priorityOf(type) === priority);
      if (known.size < TYPES_KEPT) known.set(type, wanted);
    }
    return wanted;
  };
}
