/** How documents and entries are stored as text, and the error for a text that cannot be read. */
import { BrainError } from '../shared/errors.js';
import type { Collection } from './store.js';

/** Puts the version in front of the JSON. A copy of each document with one more field would cost more than all the rest. */
export function encode<T>(collection: Collection<T>, doc: T): string {
  return `{"v":${collection.version},${JSON.stringify(doc).slice(1)}`;
}

export function decode<T>(collection: Collection<T>, id: string, json: string): T {
  try {
    const raw: unknown = JSON.parse(json);
    if (typeof raw !== 'object' || raw === null || Array.isArray(raw))
      throw new Error('it is not a JSON object');
    if (collection.read) return collection.read(raw as Record<string, unknown>);
    const { v: _v, ...doc } = raw as Record<string, unknown>;
    return doc as T;
  } catch (cause) {
    throw damaged(`the ${collection.item} ${id} (${collection.name}:${collection.item}:${id})`, cause);
  }
}

/** `what` names the entry in the error. */
export function parseEntry(json: string, what: string): object {
  try {
    return JSON.parse(json) as object;
  } catch (cause) {
    throw damaged(what, cause);
  }
}

/** The store holds a text that this service did not write. `what` names the key or the document. */
export function damaged(what: string, cause?: unknown): BrainError {
  const detail = `The store cannot read ${what}. Restore it from a backup, or remove it.`;
  return new BrainError('unavailable', 'store_damaged', detail, { cause });
}
