/** Reads the log for `GET /api/events`: by an index where the filter has one, else along the log with a limit per page. */
import { invalid } from '../../shared/errors.js';
import { type EventLog, type LogQuery, POSITION } from '../../storage/event-log.js';
import { MAX_CANDIDATES, MAX_PAGE_BYTES } from '../../storage/store.js';
import { acceptsFoundOf, type EventFilter, indexKeyOf } from './filter.js';
import { ReadSize } from './read-size.js';
import { type ReadEvent, StoredEvent } from './stored-event.js';

export interface EventListing extends EventFilter {
  since?: number;
  until?: number;
  order: 'asc' | 'desc';
  limit: number;
  cursor?: string;
}

export class EventReader {
  constructor(private readonly log: EventLog) {}

  async read(listing: EventListing): Promise<{ events: ReadEvent[]; next_cursor: string | null }> {
    const accepts = acceptsFoundOf(listing);
    const events: ReadEvent[] = [];
    const size = new ReadSize(MAX_PAGE_BYTES);
    const query: LogQuery = { ...rangeOf(listing), limit: Math.min(size.events, listing.limit + 1) };
    let read = 0;
    let characters = 0;
    while (read < MAX_CANDIDATES) {
      const chunk = await this.log.read(query);
      for (const logged of chunk) {
        if (events.length === listing.limit) return { events, next_cursor: cursorOf(query.after) };
        const event = new StoredEvent(logged);
        const found = accepts(event) ? event.read : undefined;
        if (found) characters += logged.json.length;
        if (characters > MAX_PAGE_BYTES && events.length > 0)
          return { events, next_cursor: cursorOf(query.after) };
        read += 1;
        query.after = logged.position;
        if (found) events.push(found);
      }
      if (chunk.length < query.limit) return { events, next_cursor: null };
      // Most of the next events may not match, so their number does not depend on the page.
      size.learn(chunk);
      query.limit = size.events;
    }
    return { events, next_cursor: cursorOf(query.after) };
  }
}

function rangeOf(listing: EventListing): Omit<LogQuery, 'limit'> {
  const { order, since, until, cursor } = listing;
  return {
    order,
    key: indexKeyOf(listing),
    after: cursor === undefined ? undefined : positionOf(cursor),
    from: since === undefined ? undefined : `${Math.ceil(since * 1000)}-0`,
    until: until === undefined ? undefined : `${Math.floor(until * 1000)}-${Number.MAX_SAFE_INTEGER}`,
  };
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
