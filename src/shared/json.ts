/** Checks that JSON values and texts survive every store and every client unchanged. */

/** More than real data needs, and far below the depth at which a recursion fails. */
export const MAX_JSON_DEPTH = 32;

/** JSON that can be stored and returned unchanged. */
export function isJson(value: unknown): boolean {
  return value !== undefined && isPlainJson(value, MAX_JSON_DEPTH, Number.MAX_VALUE);
}

/** JSON whose numbers are those that were sent: a whole number beyond these bounds is rounded when it is parsed. */
export function isExactJson(value: unknown): boolean {
  return value !== undefined && isPlainJson(value, MAX_JSON_DEPTH, Number.MAX_SAFE_INTEGER);
}

export function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Text without NUL and without half a surrogate pair. */
export function isCleanText(value: string): boolean {
  return !value.includes('\0') && isWellFormed(value);
}

function isPlainJson(value: unknown, depth: number, largest: number): boolean {
  if (typeof value === 'string') return isWellFormed(value);
  if (typeof value === 'number') return value >= -largest && value <= largest;
  if (typeof value !== 'object' || value === null) return true;
  if (depth === 0) return false;
  if (Array.isArray(value)) return value.every((member) => isPlainJson(member, depth - 1, largest));
  const members = value as Record<string, unknown>;
  return Object.keys(members).every(
    (key) => isWellFormed(key) && isPlainJson(members[key], depth - 1, largest),
  );
}

/** `String.prototype.isWellFormed` is in Node 20, but not in the library of the compiler target. */
export function isWellFormed(value: string): boolean {
  return (value as string & { isWellFormed(): boolean }).isWellFormed();
}
