/** Hides the values at the paths in BRAIN_MASK before an event is written. `*` in a path matches any key or index. */
export const MASKED = '[masked]';

export type Mask = (payload: object) => object;

export function compileMask(pointers: string[]): Mask {
  if (pointers.length === 0) return (payload) => payload;
  const paths = pointers.map((pointer) =>
    pointer
      .slice(1)
      .split('/')
      .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~')),
  );
  return (payload) => {
    // The payload shares objects with the document, so only a copy may be changed.
    const copy = JSON.parse(JSON.stringify(payload)) as object;
    for (const path of paths) hide(copy, path);
    return copy;
  };
}

function hide(value: unknown, [part, ...rest]: string[]): void {
  if (typeof value !== 'object' || value === null || part === undefined) return;
  const members = value as Record<string, unknown>;
  const keys = part === '*' ? Object.keys(members) : Object.hasOwn(members, part) ? [part] : [];
  for (const key of keys) {
    if (rest.length === 0) members[key] = MASKED;
    else hide(members[key], rest);
  }
}
