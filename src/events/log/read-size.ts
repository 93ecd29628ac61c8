/**
 * How many events to read at once, so that a read has about a certain number of bytes: events have between half a kilobyte and
 * hundreds. It starts low and grows, because the size of the first events is not known.
 */
import type { LoggedEvent } from '../../storage/event-log.js';

const FIRST = 64;
const MOST = 500;
const LEAST = 4;

export class ReadSize {
  /** The number of events to read next. */
  events = FIRST;

  constructor(private readonly bytes: number) {}

  /** To be called with each read. Texts are counted in characters, which are bytes for nearly all events. */
  learn(read: LoggedEvent[]): void {
    if (read.length === 0) return;
    const perEvent = charactersOf(read) / read.length;
    const fitting = Math.floor(this.bytes / Math.max(1, perEvent));
    this.events = Math.max(LEAST, Math.min(MOST, 2 * this.events, fitting));
  }
}

export function charactersOf(events: LoggedEvent[]): number {
  return events.reduce((sum, { json }) => sum + json.length, 0);
}
