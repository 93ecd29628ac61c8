/** Reads the log for `GET /api/events`: by index where there is one, else along the log, a bounded way per page. */
import { invalid } from '../shared/errors.js';
import { type EventLog, type LoggedEvent, type LogQuery, POSITION } from '../storage/event-log.js';
import { MAX_CANDIDATES } from '../storage/store.js';
import { type Envelope, priorityOf, typeFilter } from './event.js';

export interface EventFilter {
  types: string[];
  priority?: string;
  source?: string;
  correlationId?: string;
  subject?: string;
  since?: number;
  until?: number;
  order: 'asc' | 'desc';
  limit: number;
  cursor?: string;
}

export type ReadEvent = Envelope & { position: string };

/** So many events are read from the log at once; few where most of them are wanted, more where few are. */
const MAX_CHUNK = 500;

export class EventReader {
  constructor(private readonly log: EventLog) {}

  async read(filter: EventFilter): Promise<{ events: ReadEvent[]; next_cursor: string | null }> {
    const accepts = acceptsOf(filter);
    const events: ReadEvent[] = [];
    const query: LogQuery = { ...rangeOf(filter), limit: Math.min(MAX_CHUNK, filter.limit + 1) };
    let read = 0;
    while (read < MAX_CANDIDATES) {
      const chunk = await this.log.read(query);
      for (const logged of chunk) {
        if (events.length === filter.limit) return { events, next_cursor: cursorOf(query.after) };
        read += 1;
        query.after = logged.position;
        const event = parse(logged);
        if (event && accepts(event)) events.push(event);
      }
      if (chunk.length < query.limit) return { events, next_cursor: null };
      query.limit = MAX_CHUNK;
    }
    return { events, next_cursor: cursorOf(query.after) };
  }
}

function rangeOf({
  order,
  subject,
  correlationId,
  since,
  until,
  cursor,
}: EventFilter): Omit<LogQuery, 'limit'> {
  const key =
    subject !== undefined ? `s:${subject}` : correlationId !== undefined ? `c:${correlationId}` : undefined;
  return {
    order,
    key,
    after: cursor === undefined ? undefined : positionOf(cursor),
    from: since === undefined ? undefined : `${Math.ceil(since * 1000)}-0`,
    until: until === undefined ? undefined : `${Math.floor(until * 1000)}-${Number.MAX_SAFE_INTEGER}`,
  };
}

function acceptsOf({ types, priority, source, correlationId }: EventFilter): (event: ReadEvent) => boolean {
  const typed = typeFilter(types);
  return (event) =>
    typed(event.type) &&
    (priority === undefined || priorityOf(event.type) === priority) &&
    (source === undefined || event.source === source) &&
    (correlationId === undefined || event.meta.correlation_id === correlationId);
}

/** What another program wrote into the log and is no envelope is passed over: it has no type that anyone asked for. */
function parse({ position, json }: LoggedEvent): ReadEvent | undefined {
  try {
    const event = JSON.parse(json) as Envelope;
    if (typeof event.type !== 'string' || typeof event.meta !== 'object' || event.meta === null)
      return undefined;
    return { ...event, position };
  } catch {
    return undefined;
  }
}

function cursorOf(position: string | undefined): string | null {
  return position === undefined ? null : Buffer.from(position).toString('base64url');
}

function positionOf(cursor: string): string {
  const position = Buffer.from(cursor, 'base64url').toString('utf8');
  if (POSITION.test(position)) return position;
  const detail = 'Take `cursor` from `next_cursor` of the page before, unchanged, or leave it out.';
  throw invalid(detail, [{ pointer: '/cursor', detail, code: 'invalid_cursor' }]);
}
