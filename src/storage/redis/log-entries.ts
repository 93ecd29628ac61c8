/** The entries of the streams of the log, and their places in its index. */
import { type IndexedEvent, type LoggedEvent, type ReaderPosition, splitPosition } from '../event-log.js';

export type Entry = [position: string, fields: string[]];

export function loggedOf([position, fields]: Entry): LoggedEvent {
  return { position, json: fields[fields.indexOf('event') + 1] ?? '' };
}

/** The index names are in a second field, which other programs do not write. */
export function indexedOf(entry: Entry): IndexedEvent {
  const [, fields] = entry;
  return { ...loggedOf(entry), names: fields[2] === 'keys' ? fields[3] : undefined };
}

/** Compares the event as well, if the reader knows it: another history may have another event at that position. */
export function isAt({ json }: ReaderPosition, [found]: (Entry | undefined)[]): boolean {
  return found !== undefined && (json === undefined || json === loggedOf(found).json);
}

/** The member of an index for a position. The members sort by bytes in the order of the log. */
export function indexMemberOf(position: string): string {
  return splitPosition(position)
    .map((part) => String(part).padStart(15, '0'))
    .join('-');
}

/** The bound of a query for an index. `(` excludes the position itself. */
export function memberBoundOf(bound: string | undefined): string | undefined {
  if (bound === undefined) return undefined;
  return bound.startsWith('(') ? `(${indexMemberOf(bound.slice(1))}` : `[${indexMemberOf(bound)}`;
}
