/** What a reader of the live stream gets: an event in the format it asked for, and what it has missed. */
import { nowSeconds } from '../../shared/clock.js';
import { cloudEvent } from '../log/cloud-event.js';
import type { EventFormat } from '../log/events.dto.js';
import type { MissedGap } from '../log/resume.js';
import type { StoredEvent } from '../log/stored-event.js';
import { type Frame, frame } from './sse.js';

export function eventFrame(event: StoredEvent, format: EventFormat): Frame {
  return frame(
    event.type as string,
    event.position,
    format === 'envelope' ? event.text : asCloudEvent(event),
  );
}

/** Its id is where the reader goes on, so that one that comes back is not told twice. */
export function gapFrame({ reason, from, to }: MissedGap): Frame {
  const id = reason === 'rollback' ? from : to;
  return frame('gap', id, JSON.stringify({ reason, from, to, detected_at: nowSeconds() }));
}

function asCloudEvent({ read }: StoredEvent): string {
  return JSON.stringify(read ? cloudEvent(read) : null);
}
