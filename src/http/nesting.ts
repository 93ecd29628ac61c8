/** Looks how deeply lists and objects of a JSON text are nested, before it is parsed. The bytes may be anything. */
import { MAX_JSON_DEPTH } from '../shared/json.js';

/** The deepest values are inside a few levels of the request itself. */
const MAX_DEPTH = 2 * MAX_JSON_DEPTH;
const QUOTE = 34;
const BACKSLASH = 92;
const LIST = 91;
const LIST_END = 93;
const OBJECT = 123;
const OBJECT_END = 125;

export function isNestedDeeply(text: Uint8Array): boolean {
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text[at];
    if (code === QUOTE) at = endOfString(text, at);
    else if (code === LIST || code === OBJECT) {
      depth += 1;
      if (depth > MAX_DEPTH) return true;
    } else if (code === LIST_END || code === OBJECT_END) depth -= 1;
  }
  return false;
}

function endOfString(text: Uint8Array, start: number): number {
  for (let end = text.indexOf(QUOTE, start + 1); end !== -1; end = text.indexOf(QUOTE, end + 1)) {
    let before = end;
    while (text[before - 1] === BACKSLASH && before - 1 > start) before -= 1;
    if ((end - before) % 2 === 0) return end;
  }
  return text.length;
}
