/** The frames for a reader of the live stream: an event in its format, and a gap. */
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

/** Its id is the position where the reader continues, so that a reader that comes back gets the gap once. */
export function gapFrame({ reason, from, to }: MissedGap): Frame {
  const id = reason === 'rollback' ? from : to;
  return frame('gap', id, JSON.stringify({ reason, from, to, detected_at: nowSeconds() }));
}

function asCloudEvent({ read }: StoredEvent): string {
  return JSON.stringify(read ? cloudEvent(read) : null);
}
