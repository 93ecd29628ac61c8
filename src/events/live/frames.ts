/** The frames for a reader of the live stream: an event in its format, and a gap. */
import { nowSeconds } from '../../shared/clock.js';
import type { Fork, ReaderPosition } from '../../storage/event-log.js';
import { cloudEvent } from '../log/cloud-event.js';
import type { EventFormat } from '../log/events.dto.js';
import { readerId } from '../log/reader-id.js';
import type { MissedGap } from '../log/resume.js';
import type { StoredEvent } from '../log/stored-event.js';
import { type Frame, frame, heartbeat } from './sse.js';

/** `forks` are those of the history in which the event was read. */
export function eventFrame(event: StoredEvent, format: EventFormat, forks: Fork[] | undefined): Frame {
  return frame(
    event.type as string,
    readerId(event.position, forks),
    format === 'envelope' ? event.text : asCloudEvent(event),
  );
}

export function heartbeatFrame({ position, forks }: ReaderPosition): Frame {
  return heartbeat(readerId(position, forks));
}

/** Its id is the position where the reader goes on, so that a reader that comes back gets the gap once. */
export function gapFrame({ next, ...gap }: MissedGap): Frame {
  return frame('gap', next, JSON.stringify({ ...gap, detected_at: nowSeconds() }));
}

function asCloudEvent({ read }: StoredEvent): string {
  return JSON.stringify(read ? cloudEvent(read) : null);
}
