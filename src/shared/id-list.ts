/**
 * A list of ids on a key: which agents it may speak for, or which roles it may name. An entry is an exact id, a prefix such as
 * `team-*`, or `*` for every id. The check is on the way of each decision, so it is a look-up, and a loop over the prefixes only.
 */
import type { Fault } from './errors.js';

/** The prefix must end at a boundary: `team-1*` would also match `team-10`. */
const ENTRY = /^(?:\*|[^*]+|[^*]*[-.:_/]\*)$/;
/** Ids of the service itself. No list has them, not even `*`. */
const SERVICE = 'brain:';
export const MAX_ENTRIES = 100;

export class IdList {
  /** The first exact id: what a request gets that names none. */
  readonly first: string | undefined;
  /** Whether `*` is an entry. */
  readonly hasAll: boolean;
  private readonly exact: ReadonlySet<string>;
  private readonly prefixes: readonly string[];

  constructor(readonly entries: readonly string[]) {
    const exact = entries.filter((entry) => !entry.endsWith('*'));
    this.first = exact[0];
    this.hasAll = entries.includes('*');
    this.exact = new Set(exact);
    this.prefixes = entries
      .filter((entry) => entry.endsWith('*') && entry !== '*')
      .map((entry) => entry.slice(0, -1));
  }

  has(id: string): boolean {
    if (this.exact.has(id)) return true;
    if (this.hasAll) return !isOfService(id);
    return this.prefixes.length > 0 && this.prefixes.some((prefix) => id.startsWith(prefix));
  }
}

export function isOfService(id: string): boolean {
  return id.startsWith(SERVICE);
}

/** The faults of the entries of a new list. */
export function entryFaults(entries: readonly string[], pointer: string): Fault[] {
  return entries.flatMap((entry, i) => {
    const detail = isOfService(entry)
      ? 'must not begin with `brain:`; these ids belong to the service'
      : 'must be an id, a prefix that ends in - . : _ or / followed by *, or * alone';
    const isSound = ENTRY.test(entry) && !isOfService(entry);
    return isSound ? [] : [{ pointer: `${pointer}/${i}`, detail, code: 'id_list_entry' }];
  });
}
